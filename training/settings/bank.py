"""Settings of the exemplars of what normal places look like."""

from __future__ import annotations

from dataclasses import dataclass

from training.settings.base import require


@dataclass(frozen=True, kw_only=True)
class BankTraining:
    """What decides the exemplars; all of it is part of their recipe."""

    exemplars: int = 6000
    """How many are kept at most."""

    candidates: int = 60_000
    """Descriptors that they are chosen from, as many of each normal video."""

    dimensions: int = 32
    """Principal axes that a descriptor is brought to."""

    seed: int = 0
    """Decides which descriptors of a frame are candidates."""

    def __post_init__(self) -> None:
        require("exemplars", self.exemplars, self.exemplars >= 1, "1 or more")
        enough = self.candidates >= self.exemplars
        require("candidates", self.candidates, enough, "as many as exemplars, or more")
        require("dimensions", self.dimensions, self.dimensions >= 1, "1 or more")
