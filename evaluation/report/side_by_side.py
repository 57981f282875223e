"""Several methods beside each other: the rows of pictures of the paper's Figures 2 and 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.indicators.registry import by_name, with_error_map
from evaluation.measures.methods import METHODS
from evaluation.measures.results import Scored
from evaluation.measures.threshold import intervals
from evaluation.record.run import Run
from evaluation.record.scores import open_scores
from evaluation.record.stretches import spread
from evaluation.report.heatmaps import Heat
from evaluation.report.page import Page, Picture, Sheet
from evaluation.report.pictures import jpeg, outlined
from evaluation.report.sheets import Row, pseudo_anomaly_rows
from pipeline.base.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What the figures show; nothing chosen: all videos, and the middles of anomalies."""

    videos: tuple[str, ...] = ()
    """Videos of the timelines, such as test/02."""

    frames: tuple[str, ...] = ()
    """Frames of the heat maps, such as test/02:60 (counted from 0)."""

    count: int = 4
    """How many frames are shown where none are chosen."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "videos", tuple(self.videos))
        object.__setattr__(self, "frames", tuple(self.frames))
        if self.count < 1:
            raise ConfigurationError(f"chosen.count: {self.count} is below 1")


def label_of(method: str) -> str:
    """Return a method's name as in Table 1.

    >>> label_of("patch"), label_of("unified")
    ('Patch', 'the paper')
    """
    label = next((label for label, name, _ in METHODS if name == method), method)
    return label.removesuffix(" w/o D")


def entry_of(method: str, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the row by which Table 1 judges a method, of one protocol's rows; else the last."""
    wanted = [row for _, name, row in METHODS if name == method]
    return next((e for row in wanted[::-1] for e in entries if e["row"] == row), entries[-1])


def chosen_videos(scored: Scored, chosen: Chosen) -> list[str]:
    """Return the names of the videos to show.

    Raises
    ------
    ConfigurationError
        If one was not scored.
    """
    names = [video.name for video in scored.videos]
    for name in chosen.videos:
        if name not in names:
            raise ConfigurationError(f"chosen.videos: {name} was not scored; {names[0]} was")
    return list(chosen.videos) or names


def chosen_frames(scored: Scored, chosen: Chosen) -> list[tuple[str, int]]:
    """Return (video, frame) of the pictures: those named, else the middles of anomalies.

    The middle of the longest anomaly of each video, videos spread evenly: no score has a say,
    so no method is shown at its best. Without labels: of each video.

    Raises
    ------
    ConfigurationError
        If a frame is not one of a scored video.
    """
    if chosen.frames:
        return [_parsed(text, scored) for text in chosen.frames]
    found = []
    for video, labels in zip(scored.videos, scored.labels, strict=True):
        start = scored.protocol.scored(video.frames).start
        spans = [(0, video.frames - 1)] if labels is None else intervals(labels, start)
        if spans:
            first, last = max(spans, key=lambda span: span[1] - span[0])
            found.append((video.name, (first + last) // 2))
    return [found[int(i)] for i in spread(len(found), chosen.count)] if found else []


def _parsed(text: str, scored: Scored) -> tuple[str, int]:
    name, _, frame = text.rpartition(":")
    lengths = {video.name: video.frames for video in scored.videos}
    if name not in lengths or not frame.isdigit() or int(frame) >= lengths[name]:
        raise ConfigurationError(
            f"chosen.frames: {text!r} is no frame of a scored video; write it as "
            f"{next(iter(lengths))}:0"
        )
    return name, int(frame)


def heat_rows(
    runs: Mapping[str, Run], methods: Mapping[str, str], places: Sequence[tuple[str, int]]
) -> list[Row]:
    """Return the frame, the truth outlined, and each method's error maps over it (Figure 4).

    Parameters
    ----------
    runs
        By name, as the captions' order is.
    methods
        Name to method; all maps are shown of the paper's own method alone, the peers
        have none.
    places
        (video, frame).
    """
    heats: list[tuple[str, Heat]] = []
    for name, run in runs.items():
        label = label_of(methods[name])
        for network in with_error_map() if methods[name] == "unified" else with_error_map()[:1]:
            heat = Heat(run, open_scores(run.out / "scores"), {network: 1.0})
            if heat.limits:
                caption = (
                    f"{label}, {by_name(network).SYMBOL}" if methods[name] == "unified" else label
                )
                heats.append((caption, heat))
    first = next(iter(runs.values()))
    rows = []
    for video, frame in places:
        image = first.dataset.arrays("frames", video)["image"][frame]
        pictures = [("frame", _with_truth(first, video, frame, image))]
        pictures += [(c, heat.over(image, heat.maps(video), frame)) for c, heat in heats]
        rows.append((f"{video}, frame {frame}", pictures))
    return rows


def _with_truth(run: Run, video: str, frame: int, image: np.ndarray) -> np.ndarray:
    labelled = {one.name: one.labelled for one in run.test_videos}
    if not labelled.get(video):
        return image
    arrays = run.dataset.arrays("labels", video)
    return outlined(image, arrays["pixel_mask"][frame]) if "pixel_mask" in arrays else image


def pseudo_rows(runs: Sequence[Run], count: int) -> list[Row]:
    """Return frame, mask, inpainted frame, flow and mixed flow (Figure 2); none without PAs."""
    for run in runs:
        try:
            rows = pseudo_anomaly_rows(run, None, None, count)
        except ConfigurationError:
            continue
        return rows
    return []


def sheet(heading: str, text: str, rows: Sequence[Row], page: Page) -> Sheet:
    """Return rows of pictures for a page, each picture's caption below it."""
    return Sheet(
        heading,
        text,
        [
            [
                Picture(jpeg(image, page.side), caption if n else f"{title}")
                for n, (caption, image) in enumerate(row)
            ]
            for title, row in rows
        ],
    )
