"""The protocol ``local`` on frames that come one after the other.

The numbers are those of :func:`evaluation.protocols.local.scores.stretch_values` over the whole
video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.protocols.local import local
from evaluation.protocols.local.scores import Form, Levels, beyond, lasting_parts, on_grid, stacked


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
        self._levels, self._scene, self._form = levels, scene, Form()
        self._maps: list[dict[str, np.ndarray]] = []
        self._joined: list[np.ndarray] = []
        self._next = 0

    def push(self, maps: Mapping[str, np.ndarray]) -> list[Beyond]:
        """Take the next frame's maps; return what is now known, one frame or none.

        Parameters
        ----------
        maps
            Indicator to map, (h, w) or (h, w, C); ``flow`` (64, 64, 2) float32 in cells a frame
            must be there, and each time the same ones.
        """
        whole = {name: on_grid(one[None])[0] for name, one in maps.items()}
        self._maps.append(whole)
        self._joined.append(stacked(whole, whole))
        if len(self._joined) - self._next <= self._form.reach:
            return []
        return [self._judge()]

    def finish(self) -> list[Beyond]:
        """Say that no frame comes any more; return those that are left."""
        found = [self._judge() for _ in range(self._next, len(self._joined))]
        self._maps, self._joined, self._next = [], [], 0
        return found

    def _judge(self) -> Beyond:
        """Judge the next frame, and forget what no frame after it will need."""
        reach = self._form.reach
        before, after = (
            local.along(self._joined, self._next, step, reach)[None, ..., 2:] for step in (-1, 1)
        )
        maps = {name: one[None] for name, one in self._maps[self._next].items()}
        ratios = beyond(lasting_parts(maps, before, after, self._form), self._levels, self._scene)
        self._next += 1
        extra = max(self._next - reach, 0)
        del self._maps[:extra], self._joined[:extra]
        self._next -= extra
        return Beyond(
            {name: one.max((1, 2, 3)).astype(np.float64) for name, one in ratios.items()},
            {name: one.mean((0, 1)) for name, one in ratios.items()},
        )
