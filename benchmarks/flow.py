"""TV-L1 flow against OpenCV's DualTVL1, on one core: speed and errors.

Textured pairs are photographs warped by a known flow; near-static ones are frames of UCSD
Ped2 where that data set is at hand, else of the demo plaza. Ratios are medians over the
pairs, each measured in turn with OpenCV on the same pair; errors are means over the pairs,
of each pair's mean distance of flow vectors, in pixels.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.common import Row, in_pairs
from pipeline.data.video.file import file_frames
from pipeline.models.flow.tvl1 import FAST, opencv_tvl1, tvl1

SIZE = 256
PED2 = Path(__file__).parents[1].parent / "shared/data/ped2"

UNIT = "px (error)"
GOALS = {"textured": 0.015, "static": 0.03, "truth": 1.01}
"""Largest distances from OpenCV's flow, and largest endpoint error relative to OpenCV's."""

Pair = tuple[np.ndarray, np.ndarray]


def rows() -> list[Row]:
    """The rows ``tvl1``, ``tvl1_fast`` and their errors."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return _rows()
    finally:
        cv2.setNumThreads(threads)


def _rows() -> list[Row]:
    textured, truths = textured_pairs()
    static, name = static_pairs()
    static_note = f"{len(static)} near-static pairs of {name}"
    textured_note = f"{len(textured)} textured pairs with known motion"
    kinds = (("textured", textured, textured_note), ("static", static, static_note))
    table = [
        speed("tvl1", tvl1, textured, static, 25.0),
        speed("tvl1_fast", fast, textured, static, 60.0),
    ]
    peer = {kind: [opencv_tvl1(*p) for p in pairs] for kind, pairs, _ in kinds}
    for row, ours, has_goals in (("tvl1", tvl1, True), ("tvl1_fast", fast, False)):
        for kind, pairs, note in kinds:
            flows = zip(pairs, peer[kind], strict=True)
            apart = statistics.mean(distance(ours(*p), theirs) for p, theirs in flows)
            goal = GOALS[kind] if has_goals else None
            note = f"mean distance from OpenCV's flow, {note}"
            ratio = apart / GOALS[kind]
            table.append(Row(f"{row}_error_{kind}", apart, 0.0, ratio, goal, UNIT, note))
        found = mean_distance([ours(*p) for p in textured], truths)
        theirs = mean_distance(peer["textured"], truths)
        note = f"endpoint error against the truth, {textured_note}"
        goal = GOALS["truth"] if has_goals else None
        table.append(Row(f"{row}_error_truth", found, theirs, found / theirs, goal, UNIT, note))
    return table


def speed(
    name: str,
    ours: Callable[[np.ndarray, np.ndarray], np.ndarray],
    textured: list[Pair],
    static: list[Pair],
    goal: float,
) -> Row:
    """One row of times, over all pairs."""
    timed = [
        in_pairs(partial(ours, *p), partial(opencv_tvl1, *p), runs=3)
        for p in (*textured[::4], *static)
    ]
    mine, theirs, ratios = (statistics.median(column) for column in zip(*timed, strict=True))
    note = f"one core, {SIZE}x{SIZE}; ratios by pair {min(t[2] for t in timed):.1f} to "
    note += f"{max(t[2] for t in timed):.1f}"
    return Row(name, mine, theirs, ratios, goal, "s a pair", note)


def fast(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The flow of ``engine: fast``."""
    return tvl1(first, second, FAST)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean length of the difference of two flows."""
    return float(np.linalg.norm(a - b, axis=-1).mean())


def mean_distance(flows: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Mean of :func:`distance` over pairs of flows."""
    return statistics.mean(distance(a, b) for a, b in zip(flows, others, strict=True))


def textured_pairs() -> tuple[list[Pair], list[np.ndarray]]:
    """Photographs and textures, warped by smooth flows of at most 1 and 3 pixels."""
    from skimage import data

    pairs, truths = [], []
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    for name in ("camera", "brick", "grass", "gravel", "coins"):
        second = cv2.resize(getattr(data, name)(), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        for size in (1, 3):
            u = (size * np.sin(y / 40 + x / 70)).astype(np.float32)
            v = (0.7 * size * np.cos(x / 50)).astype(np.float32)
            first = cv2.remap(second, x + u, y + v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
            pairs.append((first, second))
            truths.append(np.stack([u, v], axis=-1))
    return pairs, truths


def static_pairs() -> tuple[list[Pair], str]:
    """Neighbouring frames of a fixed camera."""
    if PED2.is_dir():
        found = []
        for video, start in (("train/01", 0), ("train/09", 60), ("test/04", 100), ("test/09", 20)):
            frames = list(file_frames(PED2 / f"{video}.mp4", range(start, start + 2)))
            found.append(gray_pair(frames))
        return found, "UCSD Ped2"
    from pipeline.data.plaza.demo import render_scene

    clips = [[r.frame for r in render_scene(seed, frames=16)] for seed in range(4)]
    return [gray_pair(frames[-2:]) for frames in clips], "the demo plaza"


def gray_pair(frames: list[np.ndarray]) -> Pair:
    """Two frames, gray in three channels or RGB, as gray at the benchmark's size."""
    a, b = (cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (SIZE, SIZE)) for f in frames[:2])
    return a, b
