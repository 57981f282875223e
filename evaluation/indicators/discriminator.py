"""D: the probability that a frame is a pseudo-anomaly, by its features (docs/method.md, 8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from evaluation.indicators.base import FrameByFrame, Indicator, Part, Stream, ValueStream
from evaluation.indicators.networks import load_network, weights_of
from evaluation.indicators.settings import Scoring
from evaluation.indicators.window import WindowMeans
from evaluation.record.run import Run

if TYPE_CHECKING:
    from torch import nn

CHUNK = 4096
"""Features that D sees at once."""


class Discriminator(Indicator):
    """ω3 is D's probability, averaged over the window of 16; saved is that of each frame."""

    NAME = "discriminator"
    SYMBOL = "D"
    OMEGA = "ω3"
    COLOR = "#8a63c9"
    READS = ("features",)
    NETWORK = True
    SCALED = False

    def fingerprint(self, run: Run) -> str:
        """Return the digest of D's weights."""
        return weights_of(run, self.NAME)

    def load(self, run: Run, settings: Scoring) -> Callable[[], Stream]:
        """Load D onto the device."""
        network, _ = load_network(run, self.NAME, settings)
        return lambda: FrameByFrame(lambda features: Part(probabilities(features, network)), CHUNK)

    def omega(self, measure: str = "frame") -> ValueStream:
        """Begin a stream of means over the window of 16."""
        return WindowMeans()


def probabilities(features: np.ndarray, network: nn.Module) -> np.ndarray:
    """Return D's probability of a pseudo-anomaly for features (N, D), as (N,) float64."""
    import torch

    part = torch.from_numpy(np.asarray(features, np.float32))
    with torch.inference_mode():
        logits = network(part.to(next(network.parameters()).device))
        return torch.sigmoid(logits).double().cpu().numpy()
