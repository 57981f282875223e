"""Every frame is scored; windows at the video's ends repeat its first or last frame."""

from __future__ import annotations

from evaluation.protocols.kind import Kind


class Dense(Kind):
    """No frame is left out."""

    NAME = "dense"

    def scored(self, frames: int) -> slice:
        """Return all frames."""
        return slice(0, frames)
