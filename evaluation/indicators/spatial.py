"""A^s: how badly the appearance autoencoder reconstructs a frame (docs/method.md, 8)."""

from __future__ import annotations

import numpy as np

from evaluation.indicators.base import ValueStream
from evaluation.indicators.reconstruction import Reconstruction


class Spatial(Reconstruction):
    """ω1 is -PSNR; of MemAE its own error (docs/method.md, 9)."""

    NAME = "spatial"
    SYMBOL = "A^s"
    OMEGA = "ω1"
    COLOR = "#1f93c0"
    READS = ("frames",)

    def omega(self, measure: str = "frame") -> ValueStream:
        """Begin a stream from errors to -PSNR in dB."""
        return Decibel() if measure == "frame" else ValueStream()


class Decibel(ValueStream):
    """Mean squared errors to -PSNR."""

    def push(self, values: np.ndarray) -> np.ndarray:
        """Return -PSNR in dB, (n,) float64."""
        return -psnr(np.asarray(values, np.float64))


def psnr(error: np.ndarray) -> np.ndarray:
    """10·log10(1 / error) in dB, of mean squared errors on [-1, 1] as the peers take it.

    An error of 0, which only a constant video reconstructed exactly has, counts as the
    smallest positive error of float64.
    """
    return -10 * np.log10(np.maximum(error, np.finfo(np.float64).tiny))
