"""Which frames are scored, and on what scale: ω1, ω2 and ω3 (docs/method.md, 8).

=========== ==========================================================================
protocol    meaning
=========== ==========================================================================
``lntra``   the peers': of a window of 16 frames at every start only the 9th is scored,
            so the first 8 and the last 7 frames of a video are left out
``dense``   every frame; windows at the video's ends repeat its first or last frame
``local``   every frame, by its most unusual place (:mod:`evaluation.protocols.local.local`);
            flow itself is an indicator too. Only with ``normalise: heldout``, which here is
            the rate of false alarms on those frames: 3 means one normal frame in a thousand
=========== ==========================================================================

============ =========================================================================
normalise    ω1 and ω2 are scaled by the smallest and the largest value of
============ =========================================================================
``video``    the test video: uses its future, and presumes an anomaly in each
``dataset``  all test videos
``heldout``  the held-out normal training videos: knows nothing of the test, so the
             scale means the same everywhere and a stream can be scored; values above 1
             are more unusual than any of those frames
``none``     nothing: ω1 is -PSNR in dB, ω2 the squared error
============ =========================================================================

MemAE's ω1 is its own error instead of PSNR (docs/method.md, 9). ω3 is D's probability, averaged
over the window of 16, and is not scaled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.indicators.window import WINDOW
from evaluation.protocols.kind import NORMALISE, Kind
from evaluation.protocols.registry import kind_of
from evaluation.record.scores import RunScores, VideoScores
from pipeline.base.errors import ConfigurationError, DataError

Limits = Mapping[str, Any]
"""Indicator to its scale: the values that become 0 and 1, or what the protocol has instead."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A protocol with its scale; every result carries both."""

    name: str = "lntra"
    """lntra, dense or local."""

    normalise: str = "video"
    """video, dataset, heldout or none."""

    def __post_init__(self) -> None:
        if self.normalise not in NORMALISE:
            raise ConfigurationError(
                f"normalise: {self.normalise!r} is none of {', '.join(NORMALISE)}"
            )
        if self.normalise not in self.kind.SCALES:
            raise ConfigurationError(
                f"protocol: {self.name} has no scale by {self.normalise!r}; write "
                f"{{name: {self.name}, normalise: {self.kind.SCALES[0]}}}"
            )

    def __str__(self) -> str:
        return f"{self.name}/{self.normalise}"

    @property
    def kind(self) -> Kind:
        """The protocol itself, without the scale."""
        return kind_of(self.name)

    def scored(self, frames: int) -> slice:
        """Return the frames of a video of so many frames that are scored."""
        return self.kind.scored(frames)


def heldout_limits(
    heldout: Sequence[VideoScores], protocol: Protocol, normal: Sequence[VideoScores] = ()
) -> dict[str, Any]:
    """Return the limits of each scaled indicator on held-out normal videos.

    Parameters
    ----------
    normal
        What counts as well, as the protocol's ``normal`` gives.

    Raises
    ------
    ConfigurationError
        If there are no held-out videos.
    """
    if not heldout:
        raise ConfigurationError(
            "normalise: heldout: no normal video was held out; run the pipeline with "
            "--source.holdout above 0, or choose another normalise"
        )
    kind = protocol.kind
    for one in heldout:
        kind.check(one)
    return {
        name: kind.limits(
            [
                _scored(one, name, protocol)
                for one in [*heldout, *normal]
                if name in kind.available(one)
            ]
        )
        for name in kind.available(heldout[0])
        if kind.scaled(name)
    }


def run_limits(scores: RunScores, protocol: Protocol) -> dict[str, Any] | None:
    """Return the limits that ``normalise: heldout`` needs of a run, None for others."""
    if protocol.normalise != "heldout":
        return None
    held = scores.select(holdout=True)
    return heldout_limits(held, protocol, protocol.kind.normal(scores))


def omegas(
    videos: Sequence[VideoScores], protocol: Protocol, heldout: Limits | None = None
) -> list[dict[str, np.ndarray]]:
    """Return ω1, ω2, ω3 of the scored frames of each video.

    Parameters
    ----------
    videos
        Their raw scores; all with the same indicators.
    heldout
        For ``normalise: heldout``, what :func:`heldout_limits` returned.

    Returns
    -------
    list of dict
        For each video indicator to (n,) float64, n the number of scored frames.
    """
    for one in videos:
        if one.video.frames < WINDOW:
            raise DataError(
                f"{one.video.name}: has {one.video.frames} frames; {protocol.name} needs at least "
                f"{WINDOW}; leave the video out of the manifest"
            )
        protocol.kind.check(one)
    result: list[dict[str, np.ndarray]] = [{} for _ in videos]
    for name in protocol.kind.available(videos[0]) if videos else ():
        raw = [_scored(one, name, protocol) for one in videos]
        for scaled, values in zip(result, scale_all(raw, name, protocol, heldout), strict=True):
            scaled[name] = values
    return result


def scale_all(
    raw: Sequence[np.ndarray], name: str, protocol: Protocol, heldout: Limits | None
) -> list[np.ndarray]:
    """Scale one indicator's raw values of several videos as the protocol says."""
    kind = protocol.kind
    if not kind.scaled(name) or protocol.normalise == "none":
        return list(raw)
    if protocol.normalise == "video":
        return [kind.scale(values, kind.limits([values])) for values in raw]
    if protocol.normalise == "dataset":
        everywhere = kind.limits(raw)
        return [kind.scale(values, everywhere) for values in raw]
    if heldout is None:
        raise ConfigurationError("normalise: heldout: the limits of held-out videos are needed")
    return [kind.scale(values, heldout[name]) for values in raw]


def constant(videos: Sequence[VideoScores], protocol: Protocol) -> list[str]:
    """Say which indicators are constant within a video, which scaling over it turns into 0."""
    if protocol.normalise != "video":
        return []
    return [
        f"{one.video.name}: {name} is the same in every scored frame; its scaled value is 0"
        for one in videos
        for name in protocol.kind.available(one)
        if protocol.kind.scaled(name) and np.ptp(_scored(one, name, protocol)) == 0
    ]


def _scored(one: VideoScores, name: str, protocol: Protocol) -> np.ndarray:
    return protocol.kind.raw(one, name)[protocol.scored(one.video.frames)]
