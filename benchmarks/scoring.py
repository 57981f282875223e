"""Scoring a video: windows computed together against the peers' loop, one window at a time.

The peers run the whole network on a batch of one window for every frame, in fp32, and keep
one of its 16 output frames. Both sides have the same frames in memory and score the same
frames of the same video with the same weights; that the scores agree is checked here too.
Each side is a process of its own, as its users run it, and they take turns.
"""

from __future__ import annotations

import multiprocessing
import statistics
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common import Row, seconds

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
    context = multiprocessing.get_context("spawn")
    sides = []
    for side in ("ours", "peer"):
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, side), daemon=True)
        process.start()
        sides.append((here, process))
    times: list[list[float]] = []
    scores: list[np.ndarray] = []
    for _ in range(RUNS + 1):
        scores, pair = [], []
        for pipe, _ in sides:
            pipe.send("score")
            taken, errors = pipe.recv()
            pair.append(taken)
            scores.append(errors)
        times.append(pair)
    for pipe, process in sides:
        pipe.send("stop")
        process.join()
    difference = float(np.max(np.abs(scores[0][list(PEER_FRAMES)] / scores[1] - 1)))
    if difference > AGREEMENT:
        raise AssertionError(f"scores differ by {difference:.2g} from the plain loop's")
    mine, peers = (statistics.median(column) for column in zip(*times[1:], strict=True))
    ratio = statistics.median(pair[1] / pair[0] for pair in times[1:])
    note = f"fp32, {SIZE} px, scores equal to {difference:.0e}"
    return [Row("scoring", 1e3 * mine, 1e3 * peers, ratio, 8.0, "ms/frame", note)]


def serve(pipe: Connection, side: str) -> None:
    """Score when told to; answer with seconds a frame and the scores."""
    import torch

    from training.autoencoder import build_autoencoder

    torch.manual_seed(0)
    model = build_autoencoder().eval()
    video = np.random.default_rng(0).integers(0, 256, (FRAMES, SIZE, SIZE, 3), np.uint8)
    score = score_fast if side == "ours" else score_plainly
    while pipe.recv() == "score":
        found: list[np.ndarray] = []
        taken = seconds(lambda: found.append(score(model, video)))  # noqa: B023
        pipe.send((taken / len(found[0]), found[0]))


def score_fast(model: nn.Module, video: np.ndarray) -> np.ndarray:
    """Every frame of the video, its ends included."""
    from evaluation.sliding import score_video

    return score_video(model, lambda first, end: video[first:end], len(video), batch=4)[0]


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
