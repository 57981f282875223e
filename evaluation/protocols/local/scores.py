"""The protocol ``local`` on a run: from saved error maps and flow shards to one value a frame.

::

    scores/local/test/01.npz    a video's values, made again when its scores are
    scores/local/normal/...     the same of clips of normal training videos
    scores/local/levels/...     what normal frames reach at each place, for streams

What is normal at a place, scene by scene, is taken from clips of the normal training videos
(:mod:`evaluation.scoring.normal_clips`), the scale of false alarms from those and the held-out
videos. Training videos count although A^s and A^t were trained on them: videos differ more from
one another than errors on trained ones from errors on others, and a few held-out videos do not
show how much.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.protocols.local import local
from evaluation.scoring.normal_clips import CLIP, NORMAL_FRAMES, Clip, normal_clips, whole
from evaluation.scoring.run import Run
from evaluation.scoring.scores import (
    RunScores,
    file_name,
    is_saved,
    open_arrays,
    open_scores,
    save_video,
)
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import Dataset

ERRORS = ("spatial", "temporal")

LEVELS = "levels/normal"
"""Where the levels of a run are saved, as if they were a video's scores."""


@dataclass(frozen=True)
class Form:
    """What is done to maps; the parts can be left out to see what each adds.

    Attributes
    ----------
    reach
        Frames that points are followed, 0 for none.
    along
        Along the flow, or else at the same place.
    both
        The smaller of before and after, or else the mean over all frames.
    place
        Relative to what is normal at the place, or else everywhere.
    windows
        Sides as shares of the frame's side.
    """

    reach: int = local.REACH
    along: bool = True
    both: bool = True
    place: bool = True
    windows: tuple[float, ...] = local.WINDOWS


@dataclass
class Levels:
    """What normal frames reach at each place: by window, by scene, "" for all scenes."""

    maps: dict[tuple[str, int, str], np.ndarray] = field(default_factory=dict)

    def of(self, name: str, size: int, scene: str) -> np.ndarray:
        """Return the level of an indicator; that of all scenes where one has no normal video."""
        return self.maps.get((name, size, scene), self.maps[name, size, ""])

    @property
    def scenes(self) -> set[str]:
        """The scenes that have levels of their own."""
        return {scene for _, _, scene in self.maps} - {""}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return them as plain arrays, to be saved."""
        keys = [json.dumps(key) for key in self.maps]
        return {"keys": np.array(keys), "levels": np.stack(list(self.maps.values()))}


def read_levels(scores: RunScores) -> Levels:
    """Return the levels that a run was scored with.

    Raises
    ------
    ConfigurationError
        If there are none of these scores.
    """
    if not is_saved(scores.local, LEVELS, scores.local_mark):
        raise ConfigurationError(
            f"{scores.folder}: has no levels of the protocol local; run `python -m evaluation "
            f"score --run {scores.folder.parent}` with shards of flow and scoring.maps above 0"
        )
    with open_arrays(scores.local / file_name(LEVELS)) as archive:
        keys = [tuple(json.loads(str(key))) for key in archive["keys"]]
        return Levels(dict(zip(keys, archive["levels"], strict=True)))


def add_local(run: Run, progress: Callable[[str], object] = print) -> None:
    """Compute and save the values of the protocol ``local`` for each scored video.

    Videos whose values were made from the very same scores are left alone.
    """
    scores = open_scores(run.out / "scores")
    if "flow" not in run.dataset.stages:
        progress("local: there are no shards of flow, so the protocol local is not available")
        return
    folder, mark = scores.local, scores.local_mark
    normal = normal_clips(run.dataset)
    if not normal:
        progress("local: there are no normal training videos, so it is not available")
        return
    wanted = [*normal, *map(whole, scores.videos.values())]
    missing = [clip for clip in wanted if not is_saved(folder, clip.name, mark)]
    if not missing and is_saved(folder, LEVELS, mark):
        return
    progress(f"local: the level of normal frames, then {len(missing)} videos and clips")
    form = Form()
    levels = normal_levels(run, scores, form)
    save_video(folder, LEVELS, levels.arrays(), mark)
    for clip in missing:
        save_video(folder, clip.name, clip_values(run, scores, clip, levels, form), mark)


def normal_levels(
    run: Run, scores: RunScores, form: Form, clips: Sequence[Clip] | None = None
) -> Levels:
    """Return the level of each indicator at each place on normal training frames, or others."""
    parts: dict[tuple[str, int, str], list[np.ndarray]] = {}
    clips = normal_clips(run.dataset) if clips is None else clips
    # What lasts changes slowly, so of many frames some are enough, and memory is bounded.
    step = max(1, sum(clip.stop - clip.start for clip in clips) // NORMAL_FRAMES)
    for clip in clips:
        for found in lasting_maps(clip_maps(run, scores, clip), form):
            for (name, size), values in found.items():
                for scene in {clip.video.scene, ""}:
                    parts.setdefault((name, size, scene), []).append(values[::step])
    levels = Levels()
    for key in sorted(parts, key=lambda key: key[2]):  # all scenes first: their floor counts
        normal = np.concatenate(parts[key])
        floor = local.FLOOR * float(levels.maps[*key[:2], ""].max()) if key[2] else 0.0
        levels.maps[key] = (
            local.level(normal, floor)
            if form.place
            else np.full(normal.shape[1:], max(float(normal.max()), 1e-12), np.float32)
        )
    return levels


def read_velocity(dataset: Dataset, clip: Clip) -> np.ndarray:
    """Return the flow (n, 64, 64, 2) of frames in cells a frame; a video's last is repeated."""
    array = dataset.arrays("flow", clip.video.name)["flow"]
    if not len(array):
        raise DataError(
            f"{clip.video.name}: has one frame, so no flow; leave the video out of the manifest"
        )
    parts = [
        local.cells(array[start : min(start + CLIP, clip.stop, len(array))], local.CELLS)
        for start in range(clip.start, min(clip.stop, len(array)), CLIP)
    ]
    if clip.stop > len(array):
        parts.append(parts[-1][-1:])
    return np.concatenate(parts)


def clip_maps(run: Run, scores: RunScores, clip: Clip, suffix: str = "") -> dict[str, np.ndarray]:
    """Return the maps of a scored clip: flow (N, 64, 64, 2), errors (N, 64, 64, 1)."""
    values = scores.load(clip.name, maps=True).values
    found = {
        "flow": values[f"flow{suffix}_map"].astype(np.float32)
        if suffix
        else read_velocity(run.dataset, clip)
    }
    for name in ERRORS:
        if f"{name}{suffix}_map" in values:
            found[name] = on_grid(values[f"{name}{suffix}_map"])[..., None]
    return found


def on_grid(maps: np.ndarray) -> np.ndarray:
    """Return maps (N, h, w) on the grid, (N, 64, 64) float32."""
    import cv2

    grid = (local.CELLS, local.CELLS)
    if maps.shape[1:] == grid:
        return maps.astype(np.float32)
    how = cv2.INTER_AREA if maps.shape[1] > local.CELLS else cv2.INTER_LINEAR
    return np.stack([cv2.resize(m.astype(np.float32), grid, interpolation=how) for m in maps])


def lasting_maps(
    maps: Mapping[str, np.ndarray], form: Form
) -> Iterator[dict[tuple[str, int], np.ndarray]]:
    """Yield, clip by clip, what lasts: (indicator, window in cells) to (n, 64, 64) float32."""
    stack = stacked(maps if form.along else {"flow": np.zeros_like(maps["flow"])}, maps)
    for start in range(0, len(stack), CLIP):
        first, last = max(start - form.reach, 0), start + CLIP + form.reach
        kept = slice(start - first, start - first + CLIP)
        ways = local.follow(stack[first:last], form.reach)
        before, after = (part[kept, ..., 2:] for part in ways)
        yield lasting_parts(maps, before, after, form)


def stacked(way: Mapping[str, np.ndarray], maps: Mapping[str, np.ndarray]) -> np.ndarray:
    """Join the way and all maps, (..., C), as ``follow`` of ``local.py`` takes them.

    C is at least 5: up to 4 channels OpenCV interpolates by other code, which rounds otherwise,
    and what the flow says must not depend on what is computed beside it.
    """
    parts = [way["flow"], *maps.values()]
    if sum(part.shape[-1] for part in parts) < 5:
        parts.append(np.zeros_like(parts[0][..., :1]))
    return np.concatenate(parts, axis=-1)


def lasting_parts(
    maps: Mapping[str, np.ndarray], before: np.ndarray, after: np.ndarray, form: Form
) -> dict[tuple[str, int], np.ndarray]:
    """Return what lasts, (indicator, window in cells) to (n, 64, 64) float32.

    Parameters
    ----------
    maps
        Indicator to maps; their last axes are joined in those that follow.
    before, after
        (n, 64, 64, C) float32, as ``follow`` of ``local.py`` returns, without the way.
    """
    if not form.both:
        before = after = (before + after) / 2
    found: dict[tuple[str, int], np.ndarray] = {}
    for name, channels in _channels(maps):
        for share in form.windows:
            size = local.window(share, local.CELLS)
            found[name, size] = local.lasting(
                np.ascontiguousarray(before[..., channels]),
                np.ascontiguousarray(after[..., channels]),
                size,
            )
    return found


def beyond(
    found: Mapping[tuple[str, int], np.ndarray], levels: Levels, scene: str
) -> dict[str, np.ndarray]:
    """Return how far places go beyond their level: indicator to (windows, n, 64, 64) float32."""
    parts: dict[str, list[np.ndarray]] = {}
    for (name, size), values in found.items():
        parts.setdefault(name, []).append(values / levels.of(name, size, scene))
    return {name: np.stack(each) for name, each in parts.items()}


def clip_values(
    run: Run, scores: RunScores, clip: Clip, levels: Levels, form: Form
) -> dict[str, np.ndarray]:
    """Return a clip's values: ``flow_local`` and so on, (N, windows) float64."""
    saved = scores.load(clip.name, maps=True).values
    result = {}
    for suffix in ("", "_mover"):
        if suffix and f"flow{suffix}_map" not in saved:
            continue
        parts: dict[str, list[np.ndarray]] = {}
        for found in lasting_maps(clip_maps(run, scores, clip, suffix), form):
            for indicator, ratios in beyond(found, levels, clip.video.scene).items():
                parts.setdefault(indicator, []).append(ratios.max((2, 3)).T)
        for indicator, pieces in parts.items():
            result[f"{indicator}{suffix}_local"] = np.concatenate(pieces).astype(np.float64)
    return result


def _channels(maps: Mapping[str, np.ndarray]) -> list[tuple[str, slice]]:
    """Say which channels of the stacked maps belong to which indicator."""
    ends = np.cumsum([part.shape[-1] for part in maps.values()])
    starts = [0, *ends[:-1]]
    return [(n, slice(int(a), int(b))) for n, a, b in zip(maps, starts, ends, strict=True)]
