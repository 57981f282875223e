"""One heat map of a frame from the error maps of several indicators."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def map_limits(maps: Mapping[str, np.ndarray], quantile: float = 0.999) -> dict[str, float]:
    """Return for each indicator the error that normal cells hardly ever pass.

    Parameters
    ----------
    maps
        Indicator to error maps (N, h, w) of held-out normal frames; without those, of the
        test itself.
    """
    return {
        name: max(float(np.quantile(np.asarray(part, np.float32), quantile)), 1e-12)
        for name, part in maps.items()
    }


def combined(maps: Mapping[str, np.ndarray], limits: Mapping[str, float]) -> np.ndarray:
    """Return one heat map (h, w) of a frame: at each cell the largest error, 0.5 at its limit.

    Parameters
    ----------
    maps
        Indicator to error map (h, w) of the frame.
    limits
        As :func:`map_limits` gives.
    """
    parts = [np.asarray(part, np.float32) / (2 * limits[name]) for name, part in maps.items()]
    return np.max(parts, axis=0)
