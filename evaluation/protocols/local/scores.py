"""The protocol ``local`` on a run: from saved error maps and flow shards to one value a frame.

::

    scores/local/test/01.npz    a video's values, made again when its scores are
    scores/local/normal/...     the same of stretches of normal training videos
    scores/local/levels/...     what normal frames reach at each place, for streams

What is normal at a place, scene by scene, is taken from stretches of the normal training videos
(:mod:`evaluation.record.stretches`), the scale of false alarms from those and the held-out
videos. Training videos count although A^s and A^t were trained on them: videos differ more from
one another than errors on trained ones from errors on others, and a few held-out videos do not
show how much.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.indicators.base import run_through
from evaluation.indicators.registry import INDICATORS, by_name
from evaluation.indicators.settings import Scoring
from evaluation.protocols.local import local
from evaluation.protocols.local.lasting import Form, Lasting, lasting_maps, on_grid
from evaluation.record.material import Stored
from evaluation.record.run import Run
from evaluation.record.scores import (
    RunScores,
    file_name,
    is_saved,
    open_arrays,
    open_scores,
    save_video,
)
from evaluation.record.stretches import (
    NORMAL_FRAMES,
    Stretch,
    normal_stretches,
    whole,
)
from pipeline.base.errors import ConfigurationError

LEVELS = "levels/normal"
"""Where the levels of a run are saved, as if they were a video's scores."""


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
    if not is_saved(scores.local, LEVELS, scores.local_mark()):
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
    normal = normal_stretches(run.dataset)
    if not normal:
        progress("local: there are no normal training videos, so it is not available")
        return
    wanted = [*normal, *map(whole, scores.videos.values())]
    missing = [
        stretch for stretch in wanted if not is_saved(folder, stretch.name, mark(stretch.name))
    ]
    if not missing and is_saved(folder, LEVELS, mark()):
        return
    progress(f"local: the level of normal frames, then {len(missing)} videos and stretches")
    form = Form()
    levels = normal_levels(run, scores, form)
    save_video(folder, LEVELS, levels.arrays(), mark())
    for stretch in missing:
        values = stretch_values(run, scores, stretch, levels, form)
        save_video(folder, stretch.name, values, mark(stretch.name))


def normal_levels(
    run: Run, scores: RunScores, form: Form, stretches: Sequence[Stretch] | None = None
) -> Levels:
    """Return the level of each indicator at each place on normal training frames, or others."""
    parts: dict[tuple[str, int, str], list[np.ndarray]] = {}
    stretches = normal_stretches(run.dataset) if stretches is None else stretches
    # What lasts changes slowly, so of many frames some are enough, and memory is bounded.
    step = max(1, sum(stretch.stop - stretch.start for stretch in stretches) // NORMAL_FRAMES)
    for stretch in stretches:
        for found in lasting_maps(stretch_maps(run, scores, stretch), form):
            for (name, size), values in found.items():
                for scene in {stretch.video.scene, ""}:
                    parts.setdefault((name, size, scene), []).append(values[::step])
    levels = Levels()
    for key in sorted(parts, key=lambda key: key[2]):  # all scenes first: their floor counts
        normal = np.concatenate(parts[key])
        floor = local.FLOOR * float(levels.maps[*key[:2], ""].max()) if key[2] else 0.0
        levels.maps[key] = (
            local.level(normal, floor)
            if form.place and by_name(key[0]).PLACE
            else np.full(normal.shape[1:], max(float(normal.max()), 1e-12), np.float32)
        )
    return levels


def stretch_maps(
    run: Run, scores: RunScores, stretch: Stretch, suffix: str = ""
) -> dict[str, np.ndarray]:
    """Return the maps of a scored stretch on the grid: indicator to (N, 64, 64, C) float32."""
    values = scores.load(stretch.name, maps=True).values
    found = {}
    for indicator in (one for one in INDICATORS if one.MAP):
        maps = values.get(f"{indicator.NAME}{suffix}_map")
        if maps is None and not indicator.SAVED and not suffix:
            begin = indicator.load(run, Scoring())
            (part,) = run_through([begin()], Stored(run.dataset, stretch), indicator.READS)
            maps = part.maps
        if maps is not None:
            found[indicator.NAME] = on_grid(maps)
    return found


def beyond(found: Lasting, levels: Levels, scene: str) -> dict[str, np.ndarray]:
    """Return how far places go beyond their level: indicator to (windows, n, 64, 64) float32."""
    parts: dict[str, list[np.ndarray]] = {}
    for (name, size), values in found.items():
        parts.setdefault(name, []).append(values / levels.of(name, size, scene))
    return {name: np.stack(each) for name, each in parts.items()}


def stretch_values(
    run: Run, scores: RunScores, stretch: Stretch, levels: Levels, form: Form
) -> dict[str, np.ndarray]:
    """Return a stretch's values: ``flow_local`` and so on, (N, windows) float64."""
    saved = scores.load(stretch.name, maps=True).values
    result = {}
    for suffix in ("", "_mover"):
        if suffix and f"flow{suffix}_map" not in saved:
            continue
        parts: dict[str, list[np.ndarray]] = {}
        for found in lasting_maps(stretch_maps(run, scores, stretch, suffix), form):
            for indicator, ratios in beyond(found, levels, stretch.video.scene).items():
                parts.setdefault(indicator, []).append(ratios.max((2, 3)).T)
        for indicator, pieces in parts.items():
            result[f"{indicator}{suffix}_local"] = np.concatenate(pieces).astype(np.float64)
    return result
