"""The protocol ``local`` on a run: from saved error maps and flow shards to one value a frame.

::

    scores/local/test/01.npz    a video's values, made again when its scores are
    scores/local/normal/...     the same of clips of normal training videos

What is normal at a place, scene by scene, is taken from clips of the normal training videos
(:mod:`evaluation.clips`), the scale of false alarms from those and the held-out videos. Training
videos count although A^s and A^t were trained on them: videos differ more from one another than
errors on trained ones from errors on others, and a few held-out videos do not show how much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation import local
from evaluation.clips import CLIP, NORMAL_FRAMES, Clip, normal_clips, whole
from evaluation.run import Run
from evaluation.scores import RunScores, is_saved, open_scores, save_video
from pipeline.errors import DataError
from pipeline.reader import Dataset

ERRORS = ("spatial", "temporal")


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
    if not missing:
        return
    progress(f"local: the level of normal frames, then {len(missing)} videos and clips")
    form = Form()
    levels = normal_levels(run, scores, form)
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
    names = list(maps)
    way = maps["flow"] if form.along else np.zeros_like(maps["flow"])
    stack = np.concatenate([way, *(maps[name] for name in names)], axis=-1)
    for start in range(0, len(stack), CLIP):
        first, last = max(start - form.reach, 0), start + CLIP + form.reach
        kept = slice(start - first, start - first + CLIP)
        ways = local.follow(stack[first:last], form.reach)
        before, after = (part[kept, ..., 2:] for part in ways)
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
        yield found


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
            for indicator in dict.fromkeys(name for name, _ in found):
                highest = [
                    (values / levels.of(indicator, size, clip.video.scene)).max((1, 2))
                    for (name, size), values in found.items()
                    if name == indicator
                ]
                parts.setdefault(indicator, []).append(np.stack(highest, axis=1))
        for indicator, pieces in parts.items():
            result[f"{indicator}{suffix}_local"] = np.concatenate(pieces).astype(np.float64)
    return result


def _channels(maps: Mapping[str, np.ndarray]) -> list[tuple[str, slice]]:
    """Say which channels of the stacked maps belong to which indicator."""
    ends = np.cumsum([part.shape[-1] for part in maps.values()])
    starts = [0, *ends[:-1]]
    return [(n, slice(int(a), int(b))) for n, a, b in zip(maps, starts, ends, strict=True)]
