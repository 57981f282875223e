"""Exemplars of what is normal: descriptors of places, none of which is near another.

A place is as odd as its descriptor is far from the nearest exemplar, wherever in the frame that
was seen. A video that exemplars were taken from is judged without them, as if it were new.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.files import replacing

ARRAYS = ("mean", "spread", "axes", "points", "origin")


@dataclass(frozen=True)
class Exemplars:
    """Exemplars, and how a descriptor is brought to their space.

    Attributes
    ----------
    mean, spread
        (C,) float32, of each channel over normal descriptors.
    axes
        (C, D) float32, the principal axes of what is so standardised.
    points
        (M, D) float32, the exemplars.
    origin
        (M,) int32, the place in ``videos`` of the video that each is of.
    videos
        Names of the videos.
    """

    mean: np.ndarray
    spread: np.ndarray
    axes: np.ndarray
    points: np.ndarray
    origin: np.ndarray
    videos: tuple[str, ...]

    def without(self, video: str) -> Exemplars:
        """Return those that are not of a video; all, if none is of it."""
        if video not in self.videos:
            return self
        kept = self.origin != self.videos.index(video)
        return dataclasses.replace(self, points=self.points[kept], origin=self.origin[kept])

    def distances(self, patches: np.ndarray) -> np.ndarray:
        """Return how far descriptors are from the nearest exemplar.

        Parameters
        ----------
        patches
            (..., C), as the stage ``patches`` stores them.

        Returns
        -------
        numpy.ndarray
            (...) float32, Euclidean, at least 0.
        """
        found, _ = self._search.kneighbors(self.project(patches))
        return found[:, 0].reshape(patches.shape[:-1]).astype(np.float32)

    def project(self, patches: np.ndarray) -> np.ndarray:
        """Return descriptors (..., C) in the exemplars' space, (n, D) float32."""
        flat = patches.reshape(-1, patches.shape[-1]).astype(np.float32)
        return ((flat - self.mean) / self.spread) @ self.axes

    @cached_property
    def _search(self) -> Any:
        from sklearn.neighbors import NearestNeighbors

        return NearestNeighbors(n_neighbors=1, algorithm="brute").fit(self.points)


def fit_space(patches: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and spread of descriptors (n, C), and their principal axes (C, D), float32."""
    flat = patches.astype(np.float64)
    mean, spread = flat.mean(0), flat.std(0) + 1e-6
    standard = (flat - mean) / spread
    _, axes = np.linalg.eigh(standard.T @ standard / len(standard))
    first = axes[:, ::-1][:, :dimensions]
    return mean.astype(np.float32), spread.astype(np.float32), first.astype(np.float32)


def farthest(points: np.ndarray, count: int) -> np.ndarray:
    """Choose points that cover all: each is the one farthest from those before it.

    Parameters
    ----------
    points
        (n, D) float32; the first is chosen first.

    Returns
    -------
    numpy.ndarray
        (min(count, n),) int64, places in ``points``.
    """
    squares = np.einsum("nd,nd->n", points, points)
    nearest = np.full(len(points), np.inf, np.float32)
    chosen = np.zeros(min(count, len(points)), np.int64)
    for place in range(1, len(chosen)):
        last = chosen[place - 1]
        away = squares + squares[last] - 2 * (points @ points[last])
        np.minimum(nearest, away, out=nearest)
        nearest[last] = -np.inf
        chosen[place] = int(nearest.argmax())
    return chosen


def save_exemplars(path: Path, exemplars: Exemplars) -> None:
    """Write them as plain arrays, whole or not at all."""
    arrays: dict[str, Any] = {name: getattr(exemplars, name) for name in ARRAYS}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, videos=np.array(exemplars.videos), **arrays)


def load_exemplars(path: Path) -> Exemplars:
    """Read what :func:`save_exemplars` wrote.

    Raises
    ------
    DataError
        If it is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ARRAYS}
            return Exemplars(**arrays, videos=tuple(map(str, archive["videos"])))
    except Exception as error:  # zipfile, numpy and the system each have their own
        raise DataError(
            f"{path}: cannot be read ({error}); remove its folder and run `python -m training "
            "bank` again"
        ) from None
