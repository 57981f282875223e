"""How frames are scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from evaluation.indicators.window import WINDOW
from pipeline.base.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How frames are scored; part of the provenance of every result."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """fp32, or bf16 for processors that have it: faster, AUC equal to 1e-3."""

    batch: int = 8
    """Windows that a network sees at once."""

    stride: int = 1
    """Frames from one window to the next: 1 judges each frame as the 9th of its own window,
    16 is the cheapest look, in which all frames of disjoint windows are judged."""

    maps: int = 64
    """Side in cells of the error maps that are saved; 0 saves none."""

    movers: bool = True
    """Also score held-out normal videos with movers in them (:mod:`evaluation.scoring.movers`), on
    which η is chosen."""

    features_model: str = ""
    """For movers and D on ViFi-CLIP or CLIP features: where that model lies."""

    device: str = "auto"
    """auto (a GPU if there is one), cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise ConfigurationError(
                f"scoring.precision: {self.precision!r} is neither fp32 nor bf16"
            )
        if self.batch < 1:
            raise ConfigurationError(f"scoring.batch: {self.batch} is below 1")
        if not 1 <= self.stride <= WINDOW:
            raise ConfigurationError(f"scoring.stride: {self.stride} is not in 1 ... {WINDOW}")
        if self.maps < 0:
            raise ConfigurationError(f"scoring.maps: {self.maps} is below 0")


def choose_device(name: str) -> Any:
    """Return the torch device that a setting names."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError(f"scoring.device: {name!r}: {error}") from None
