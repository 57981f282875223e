"""What lasts on maps of frames that come one after the other.

A stream defines it; a whole video is a stream that ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.indicators.flow import GRID, Flow
from evaluation.protocols.local import local
from evaluation.record.stretches import LONGEST

Lasting = dict[tuple[str, int], np.ndarray]
"""Indicator and window in places to what lasts, (n, 64, 64) float32."""


@dataclass(frozen=True)
class Form:
    """What is done to maps; the parts can be left out to see what each adds.

    Attributes
    ----------
    reach
        Frames that points are followed, 0 for none.
    along
        Along the flow, or else at the same place.
    both
        The smaller of before and after, or else the mean over all frames.
    place
        Relative to what is normal at the place, or else everywhere.
    windows
        Sides as shares of the frame's side.
    """

    reach: int = local.REACH
    along: bool = True
    both: bool = True
    place: bool = True
    windows: tuple[float, ...] = local.WINDOWS


def on_grid(maps: np.ndarray) -> np.ndarray:
    """Return maps (N, h, w) or (N, h, w, C) on the grid, (N, 64, 64, C) float32."""
    import cv2

    if maps.shape[1:3] == (GRID, GRID):
        return maps.reshape(*maps.shape[:3], -1).astype(np.float32)
    how = cv2.INTER_AREA if maps.shape[1] > GRID else cv2.INTER_LINEAR
    small = [cv2.resize(m.astype(np.float32), (GRID, GRID), interpolation=how) for m in maps]
    return np.stack(small).reshape(len(maps), GRID, GRID, -1)


class LastingStream:
    """Follows points over the frames before and after each, in memory that does not grow.

    Parameters
    ----------
    form
        What is done to the maps.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self._channels: dict[str, slice] = {}
        self._joined: list[np.ndarray] = []
        self._next = 0

    def push(self, maps: Mapping[str, np.ndarray]) -> Lasting:
        """Take the next frames' maps; return what is now known.

        Parameters
        ----------
        maps
            Indicator to (n, 64, 64, C) float32; that of the flow, in places a frame, must be
            there, and each time the same ones.
        """
        ends = np.cumsum([part.shape[-1] for part in maps.values()])
        starts = [0, *ends[:-1]]
        self._channels = {
            name: slice(int(a), int(b)) for name, a, b in zip(maps, starts, ends, strict=True)
        }
        self._joined.extend(joined(maps, self._form.along))
        return self._judge(len(self._joined) - self._form.reach - self._next)

    def finish(self) -> Lasting:
        """Say that no frame comes any more; return what is left."""
        return self._judge(len(self._joined) - self._next)

    def _judge(self, count: int) -> Lasting:
        """Judge the next frames, and forget what no frame after them will need."""
        if count < 1:
            return {}
        reach = self._form.reach
        before, after = (
            np.stack(
                [
                    local.along(self._joined, t, step, reach)[..., 2:]
                    for t in range(self._next, self._next + count)
                ]
            )
            for step in (-1, 1)
        )
        extra = max(self._next + count - reach, 0)
        del self._joined[:extra]
        self._next += count - extra
        return self._parts(before, after)

    def _parts(self, before: np.ndarray, after: np.ndarray) -> Lasting:
        if not self._form.both:
            before = after = (before + after) / 2
        found: Lasting = {}
        for name, channels in self._channels.items():
            one, two = (np.ascontiguousarray(part[..., channels]) for part in (before, after))
            for share in self._form.windows:
                size = local.window(share, GRID)
                found[name, size] = local.lasting(one, two, size)
        return found


def joined(maps: Mapping[str, np.ndarray], along: bool = True) -> np.ndarray:
    """Join the way and all maps, (n, 64, 64, C): the way's two channels come first.

    C is at least 5: up to 4 channels OpenCV interpolates by other code, which rounds otherwise,
    and what the flow says must not depend on what is computed beside it.
    """
    way = maps[Flow.NAME] if along else np.zeros_like(maps[Flow.NAME])
    parts = [way, *maps.values()]
    if sum(part.shape[-1] for part in parts) < 5:
        parts.append(np.zeros_like(parts[0][..., :1]))
    return np.concatenate(parts, axis=-1)


def lasting_maps(maps: Mapping[str, np.ndarray], form: Form) -> Iterator[Lasting]:
    """Yield, part by part, what lasts on the maps of a whole stretch."""
    stream = LastingStream(form)
    for start in range(0, len(maps[Flow.NAME]), LONGEST):
        found = stream.push({name: one[start : start + LONGEST] for name, one in maps.items()})
        if found:
            yield found
    yield stream.finish()
