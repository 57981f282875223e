"""The slow and plain way to an autoencoder's errors: one window of 16 a frame."""

import numpy as np
import torch

from evaluation.indicators.base import joined
from evaluation.indicators.errors import window_errors
from evaluation.indicators.reconstruction import error_stream, shower
from evaluation.indicators.settings import Scoring
from evaluation.indicators.window import window_frames


def plain_errors(network, stored, show=None, maps=0):
    """Return each frame's error (N,) and map (N, maps, maps), the network run once a frame."""
    shown = (show or shower())(stored)
    parts = []
    for t in range(len(stored)):
        clip = shown[torch.from_numpy(window_frames(t, len(stored)))].movedim(0, 1)[None]
        parts.append(window_errors(network, clip.contiguous(), maps=maps))
    errors, cells = zip(*parts, strict=True)
    return np.concatenate(errors), np.concatenate(cells) if maps else None


def streamed(network, stored, push=None, measure="frame", show=None, **settings):
    """Return errors and maps of a video that is pushed some frames at a time."""
    stream = error_stream(network, Scoring(**settings), measure, show)
    push = push or stream.chunk
    parts = [stream.push(stored[t : t + push]) for t in range(0, len(stored), push)]
    part = joined([*parts, stream.finish()])
    return part.values, part.maps
