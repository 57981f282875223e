"""The peers' protocol: of a window of 16 frames at every start the 9th is scored."""

from __future__ import annotations

from evaluation.indicators.window import AFTER, POSITION
from evaluation.protocols.kind import Kind


class Lntra(Kind):
    """The first 8 and the last 7 frames of a video are left out."""

    NAME = "lntra"
    WHOLE = False

    def scored(self, frames: int) -> slice:
        """Return the frames that are the 9th of a window.

        >>> Lntra().scored(180)
        slice(8, 173, None)
        """
        return slice(POSITION, max(frames - AFTER, POSITION))
