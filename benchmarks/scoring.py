"""Scoring a video: windows computed together against the peers' loop, one window at a time.

The peers run the whole network on a batch of one window for every frame, in fp32, and keep
one of its 16 output frames. Both sides have the same frames in memory and score the same
frames of the same video with the same weights; that the scores agree is checked here too.
Each side is a process of its own, as its users run it, and they take turns.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common import Row, seconds
from benchmarks.sides import Turn, in_turns

if TYPE_CHECKING:
    from torch import nn

FRAMES = 120
"""Of the video, the length of one of Ped2's."""

SIZE = 256
RUNS = 4

PEER_FRAMES = range(12, FRAMES, 24)
"""The peers' loop takes the same time for every window, so a few of them tell it."""

AGREEMENT = 1e-3
"""Largest relative difference of scores that the goal allows."""


def rows() -> list[Row]:
    """The row ``scoring``, in milliseconds a scored frame at 256 x 256."""
    turns = in_turns(make, RUNS)
    ours, peer = turns[-1][0][1], turns[-1][1][1]
    difference = float(np.max(np.abs(ours[list(PEER_FRAMES)] / peer - 1)))
    if difference > AGREEMENT:
        raise AssertionError(f"scores differ by {difference:.2g} from the plain loop's")
    mine = statistics.median(a[0] for a, _ in turns)
    peers = statistics.median(b[0] for _, b in turns)
    ratio = statistics.median(b[0] / a[0] for a, b in turns)
    note = f"fp32, {SIZE} px, scores equal to {difference:.0e}"
    return [Row("scoring", 1e3 * mine, 1e3 * peers, ratio, 8.0, "ms/frame", note)]


def make(side: str) -> Turn:
    """Score the video; seconds a frame and the scores."""
    import torch

    from training.networks.build import build_autoencoder

    torch.manual_seed(0)
    model = build_autoencoder().eval()
    video = np.random.default_rng(0).integers(0, 256, (FRAMES, SIZE, SIZE, 3), np.uint8)
    score = score_fast if side == "ours" else score_plainly

    def turn() -> tuple[float, np.ndarray]:
        found: list[np.ndarray] = []
        taken = seconds(lambda: found.append(score(model, video)))
        return taken / len(found[0]), found[0]

    return turn


def score_fast(model: nn.Module, video: np.ndarray) -> np.ndarray:
    """Every frame of the video, its ends included."""
    from evaluation.indicators.base import joined
    from evaluation.indicators.reconstruction import error_stream
    from evaluation.indicators.settings import Scoring

    stream = error_stream(model, Scoring(batch=4, maps=0))
    parts = [stream.push(video[t : t + 4]) for t in range(0, len(video), 4)]
    values = joined([*parts, stream.finish()]).values
    assert values is not None
    return values


def score_plainly(model: nn.Module, video: np.ndarray) -> np.ndarray:
    """The peers' loop, over some of the frames."""
    import torch

    errors = []
    with torch.no_grad():
        for t in PEER_FRAMES:
            clip = torch.from_numpy(video[t - 8 : t + 8]).permute(3, 0, 1, 2)[None]
            clip = clip.contiguous().float() / 127.5 - 1
            output = model(clip)
            errors.append((output[0, :, 8] - clip[0, :, 8]).square().mean().item())
    return np.array(errors)
