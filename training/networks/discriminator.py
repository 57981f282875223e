"""D (docs/method.md, 7): normal frame or spatial pseudo-anomaly, from one frame's features.

The network alone; its loop is in :mod:`training.loops.discriminator`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.base.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSettings:
    """What D is; everything that fixes the shapes of its weights and what it is fed."""

    features: int = 512
    """Length of a frame's feature vector (512 for ViFi-CLIP, 1280 for EfficientNet-Lite0)."""

    hidden: int = 256
    """Width of the hidden layer."""

    normalise: bool = True
    """Whether features are scaled to unit L2 norm first."""

    def __post_init__(self) -> None:
        for name in ("features", "hidden"):
            if getattr(self, name) < 1:
                raise ConfigurationError(
                    f"discriminator.{name}: {getattr(self, name)}: must be at least 1"
                )


class Discriminator(nn.Module):
    """Linear, ReLU, Linear: features (N, D) to logits (N,), above 0 for a pseudo-anomaly.

    ``torch.sigmoid`` of a logit is ω3 before its sliding window.
    """

    def __init__(self, settings: DiscriminatorSettings) -> None:
        super().__init__()
        self.settings = settings
        self.layers = nn.Sequential(
            nn.Linear(settings.features, settings.hidden),
            nn.ReLU(),
            nn.Linear(settings.hidden, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N,) of float features (N, D).

        Raises
        ------
        ConfigurationError
            If the features are not of the length that D was made for.
        """
        if features.ndim != 2 or features.shape[1] != self.settings.features:
            raise ConfigurationError(
                f"features of shape {tuple(features.shape)}: this discriminator was made for "
                f"(frames, {self.settings.features}); use the features that it was trained on"
            )
        if self.settings.normalise:
            features = F.normalize(features, dim=1)
        return self.layers(features).squeeze(1)


def build_discriminator(settings: DiscriminatorSettings | None = None) -> Discriminator:
    """Make D with fresh weights (PyTorch's default initialisation)."""
    return Discriminator(settings or DiscriminatorSettings())
