"""The protocol ``local`` on frames that come one after the other.

The numbers are those of :func:`evaluation.protocols.local.scores.stretch_values` over the whole
video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.protocols.local.lasting import Form, Lasting, LastingStream, on_grid
from evaluation.protocols.local.scores import Levels, beyond


@dataclass(frozen=True)
class Beyond:
    """How far one frame goes beyond what is normal at its places.

    Attributes
    ----------
    values
        Indicator to its highest place, (windows,) float64.
    maps
        Indicator to all places, (64, 64) float32, the mean over windows; 1 is the level that
        normal frames hardly ever pass.
    """

    values: dict[str, np.ndarray]
    maps: dict[str, np.ndarray]


class LocalStream:
    """Frame by frame, in memory that does not grow.

    Parameters
    ----------
    levels
        Of the run, as :func:`evaluation.protocols.local.scores.read_levels` gives.
    scene
        Whose levels to take; "" for those of all scenes.
    """

    def __init__(self, levels: Levels, scene: str = "") -> None:
        self._levels, self._scene = levels, scene
        self._stream = LastingStream(Form())

    def push(self, maps: Mapping[str, np.ndarray]) -> list[Beyond]:
        """Take the next frame's maps; return what is now known, one frame or none.

        Parameters
        ----------
        maps
            Indicator to map, (h, w) or (h, w, C); ``flow`` (64, 64, 2) float32 in places a frame
            must be there, and each time the same ones.
        """
        return self._judge(self._stream.push({n: on_grid(one[None]) for n, one in maps.items()}))

    def finish(self) -> list[Beyond]:
        """Say that no frame comes any more; return those that are left."""
        return self._judge(self._stream.finish())

    def _judge(self, found: Lasting) -> list[Beyond]:
        ratios = beyond(found, self._levels, self._scene)
        frames = min((one.shape[1] for one in ratios.values()), default=0)
        return [
            Beyond(
                {n: one[:, t].max((1, 2)).astype(np.float64) for n, one in ratios.items()},
                {n: one[:, t].mean(0) for n, one in ratios.items()},
            )
            for t in range(frames)
        ]
