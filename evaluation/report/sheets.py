"""Sheets of pictures for a report: the most telling frames, and the pseudo-anomalies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evaluation.measures.results import Scored
from evaluation.record.run import Run
from evaluation.record.scores import RunScores
from evaluation.record.stretches import spread
from evaluation.report.heatmaps import Heat
from evaluation.report.page import Page, Picture, Sheet
from evaluation.report.pictures import jpeg, outlined
from pipeline.base.errors import ConfigurationError

APART = 25
"""Frames that two pictured events of one video are apart, at least."""

FASTEST = 0.999
"""Share of the pixels that move no faster than what a flow picture shows in full colour."""

PSEUDO = (
    "Of held-out normal videos: the frame with the mask's outline, the mask, the inpainted frame "
    "(spatial pseudo-anomaly), flow, mixed flow (temporal pseudo-anomaly). The two flows of a row "
    "are shown on one scale, that of their fastest pixels."
)


def events(
    run: Run, scored: Scored, eta: Mapping[str, float], heat: Heat, page: Page
) -> list[Sheet]:
    """Return pictures of the clearest detections, false alarms and misses.

    Without labels: of the frames with the highest scores.
    """
    text = "Frame and error heat map; a picture leads to its video's timeline."
    kinds: list[tuple[str, int | None, bool]] = [("Highest scores", None, False)]
    if scored.truth:
        kinds = [
            ("Clearest detections: anomalous frames that score highest", 1, False),
            ("False alarms: normal frames that score highest", 0, False),
            ("Misses: anomalous frames that score lowest", 1, True),
        ]
    fused = scored.fused(dict(eta))
    sheets = []
    for heading, label, lowest in kinds:
        pictures = [
            _event(run, scored, fused, number, frame, heat, page)
            for number, frame in extremes(scored, fused, label, lowest, page.events)
        ]
        if pictures:
            sheets.append(Sheet(heading, text, [pictures]))
    return sheets


def _event(
    run: Run,
    scored: Scored,
    fused: list[np.ndarray],
    number: int,
    frame: int,
    heat: Heat,
    page: Page,
) -> Picture:
    video = scored.videos[number]
    image = run.dataset.arrays("frames", video.name)["image"][frame]
    value = fused[number][frame - scored.protocol.scored(video.frames).start]
    maps = heat.maps(video.name)
    return Picture(
        jpeg(image, page.side),
        f"{video.name}, frame {frame}, score {value:.3f}",
        f"video-{number}",
        jpeg(heat.over(image, maps, frame), page.side) if maps else "",
    )


def extremes(
    scored: Scored,
    fused: list[np.ndarray],
    label: int | None,
    lowest: bool,
    count: int,
) -> list[tuple[int, int]]:
    """Return (video number, frame) of the most extreme scores, events apart from each other.

    Parameters
    ----------
    label
        Of which frames; None for all.
    lowest
        Whether the lowest scores are wanted.
    """
    candidates = []
    for number, values in enumerate(fused):
        truth = scored.labels[number]
        if label is not None and truth is None:
            continue
        wanted = np.ones(len(values), bool) if label is None else truth == label
        start = scored.protocol.scored(scored.videos[number].frames).start
        sign = 1 if lowest else -1
        candidates += [(sign * values[i], number, int(i) + start) for i in np.flatnonzero(wanted)]
    chosen: list[tuple[int, int]] = []
    for _, number, frame in sorted(candidates):
        if all(number != n or abs(frame - f) >= APART for n, f in chosen):
            chosen.append((number, frame))
            if len(chosen) == count:
                break
    return chosen


def pseudo_anomalies(run: Run, scores: RunScores, heat: Heat, page: Page) -> Sheet:
    """Return rows of frame, mask, inpainted frame, flow, mixed flow and error maps."""
    heading = "Pseudo-anomalies"
    try:
        rows = pseudo_anomaly_rows(run, heat, scores, page.examples)
    except ConfigurationError as error:
        return Sheet(heading, f"Not shown: {error}")
    text = f"{PSEUDO} Then error heat maps."
    return Sheet(
        heading,
        text,
        [
            [
                Picture(jpeg(image, page.side), f"{title}, {caption}" if not n else caption)
                for n, (caption, image) in enumerate(row)
            ]
            for title, row in rows
        ],
    )


Row = tuple[str, list[tuple[str, np.ndarray]]]


def pseudo_anomaly_rows(
    run: Run, heat: Heat | None, scores: RunScores | None, count: int
) -> list[Row]:
    """Return (title, captions with pictures) of ``count`` frames of normal videos.

    The frames are spread over the held-out videos, or over all training videos where none
    are held out. Error heat maps follow where ``heat`` and ``scores`` are given.

    Raises
    ------
    ConfigurationError
        If a stage that they come from was not run.
    """
    videos = run.heldout_videos or run.dataset.select(split="train")
    each = -(-count // max(len(videos), 1))
    places = [
        (videos[int(number)], int(frame))
        for number in spread(len(videos), count)
        for frame in spread(videos[int(number)].frames - 1, each + 2)[1 : each + 1]
    ]
    return [
        (f"{video.name}, frame {frame}", _pictures(run, video.name, frame, heat, scores))
        for video, frame in places[:count]
    ]


def _pictures(
    run: Run, video: str, frame: int, heat: Heat | None, scores: RunScores | None
) -> list[tuple[str, np.ndarray]]:
    from training.feed.flow_display import flow_image

    data = run.dataset
    image = data.arrays("frames", video)["image"][frame]
    mask = data.arrays("masks", video)["mask"][frame]
    inpainted = data.arrays("inpaint", video)["image"][frame]
    hole = np.repeat(255 * mask[..., None], 3, 2)
    found = [("frame", outlined(image, mask)), ("mask", hole), ("inpainted", inpainted)]
    flows = [data.arrays(stage, video)["flow"][frame] for stage in ("flow", "mixed_flow")]
    speeds = np.linalg.norm(np.asarray(flows, np.float32), axis=-1)
    scale = max(float(np.quantile(speeds, FASTEST)), 1e-6)
    for caption, flow in zip(("flow", "mixed flow"), flows, strict=True):
        found.append((caption, flow_image(flow, scale)))
    if heat and scores and video in scores.videos:
        for suffix, base, caption in (
            ("", image, "errors of the frame"),
            ("_pa", inpainted, "errors of the pseudo-anomalies"),
        ):
            maps = heat.maps(video, suffix)
            if maps:
                found.append((caption, heat.over(base, maps, frame)))
    return found
