"""MemAE's memory (Gong et al., ICCV 2019): the code is rebuilt from stored normal patterns.

Every position of the code is a query. Its attention over the memory's slots is a softmax of
similarities, hard-shrunk and rescaled to sum to one; the query is replaced by the weighted
sum of the slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.base.errors import ConfigurationError

EPSILON = 1e-12
"""Keeps divisions and logarithms finite, as in the authors' code."""


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """The memory between encoder and decoder."""

    slots: int = 0
    """Stored patterns; 0 means no memory, MemAE has 2000."""

    shrinkage: float = 0.0025
    """Attention below it becomes 0 (λ of the hard shrinkage)."""

    entropy_weight: float = 2e-4
    """Weight of the attention's entropy in the loss (α)."""

    similarity: Literal["dot", "cosine"] = "dot"
    """``dot`` is what the authors' code computes, ``cosine`` what their text says."""

    def __post_init__(self) -> None:
        for name, valid, expected in (
            ("slots", self.slots >= 0, "at least 0"),
            ("shrinkage", 0 <= self.shrinkage < 1, "in [0, 1)"),
            ("entropy_weight", self.entropy_weight >= 0, "at least 0"),
            ("similarity", self.similarity in ("dot", "cosine"), "dot or cosine"),
        ):
            if not valid:
                raise ConfigurationError(
                    f"memory.{name}: {getattr(self, name)}: must be {expected}"
                )


class Memory(nn.Module):
    """Replace each code vector by a sparse convex combination of stored ones.

    Parameters
    ----------
    channels
        Length of a code vector.
    settings
        Slots, shrinkage, entropy weight and similarity.
    """

    def __init__(self, channels: int, settings: MemorySettings) -> None:
        super().__init__()
        self.settings = settings
        bound = channels**-0.5
        self.slots = nn.Parameter(torch.empty(settings.slots, channels).uniform_(-bound, bound))

    def forward(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Rebuild a code from the memory.

        Parameters
        ----------
        code
            (B, C, ...) float.

        Returns
        -------
        rebuilt : Tensor
            Of the shape of ``code``.
        penalty : Tensor
            Scalar: the entropy weight times the mean entropy of the attention, in nats.
        """
        queries = code.movedim(1, -1)
        attention = shrink(self.similarities(queries).softmax(-1), self.settings.shrinkage)
        rebuilt = (attention @ self.slots).movedim(-1, 1)
        return rebuilt, self.settings.entropy_weight * entropy(attention).mean()

    def similarities(self, queries: Tensor) -> Tensor:
        """Similarity of queries (..., C) with every slot: (..., slots)."""
        if self.settings.similarity == "dot":
            return queries @ self.slots.T
        return F.normalize(queries, dim=-1) @ F.normalize(self.slots, dim=-1).T


def shrink(attention: Tensor, threshold: float) -> Tensor:
    """Hard shrinkage in its continuous form, rescaled to sum to one over the last axis.

    max(w - λ, 0)·w / (|w - λ| + ε), equation 7 of Gong et al.; λ = 0 changes nothing.
    """
    if threshold == 0:
        return attention
    excess = attention - threshold
    kept = excess.relu() * attention / (excess.abs() + EPSILON)
    return F.normalize(kept, p=1, dim=-1, eps=EPSILON)


def entropy(attention: Tensor) -> Tensor:
    """Entropy in nats over the last axis of attention weights."""
    return -(attention * (attention + EPSILON).log()).sum(-1)
