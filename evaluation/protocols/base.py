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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evaluation.indicators.base import whole_omega
from evaluation.indicators.registry import FUSIONS, INDICATORS, by_name, ordered
from evaluation.indicators.window import AFTER, POSITION, WINDOW
from evaluation.protocols.local.local import Calibration
from evaluation.record.scores import VideoScores
from pipeline.base.errors import ConfigurationError, DataError

Name = Literal["lntra", "dense", "local"]
Streamed = Literal["local", "dense"]
"""The protocols that a stream can be scored by."""

Normalise = Literal["video", "dataset", "heldout", "none"]

Range = tuple[float, float] | Calibration
"""A scale: the values that become 0 and 1, or for ``local`` the tail of normal frames."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A protocol with its scale; every result carries both."""

    name: Name = "lntra"
    """lntra, dense or local."""

    normalise: Normalise = "video"
    """video, dataset, heldout or none."""

    def __post_init__(self) -> None:
        if self.name not in ("lntra", "dense", "local"):
            raise ConfigurationError(f"protocol: {self.name!r} is none of lntra, dense, local")
        if self.normalise not in ("video", "dataset", "heldout", "none"):
            raise ConfigurationError(
                f"normalise: {self.normalise!r} is none of video, dataset, heldout, none"
            )
        if self.name == "local" and self.normalise != "heldout":
            raise ConfigurationError(
                f"protocol: local has no scale by {self.normalise!r}; write "
                "{name: local, normalise: heldout}"
            )

    def __str__(self) -> str:
        return f"{self.name}/{self.normalise}"

    def scored(self, frames: int) -> slice:
        """Return the frames of a video of so many frames that are scored.

        >>> Protocol(name="lntra").scored(180)
        slice(8, 173, None)
        """
        if self.name == "lntra":
            return slice(POSITION, max(frames - AFTER, POSITION))
        return slice(0, frames)


def raw_indicator(
    scores: VideoScores, indicator: str, suffix: str = "", protocol: str = ""
) -> np.ndarray:
    """Return an indicator before scaling, higher = more anomalous, for every frame (N,).

    Parameters
    ----------
    suffix
        ``_pa`` or ``_mover`` for the video's pseudo-anomalies.
    protocol
        For ``local``: (N, windows).
    """
    if protocol == "local" and not by_name(indicator).MAP:
        return raw_indicator(scores, indicator, suffix)[:, None]
    name = indicator + suffix + ("_local" if protocol == "local" else "")
    if name not in scores.values:
        raise ConfigurationError(
            f"scores of {scores.video.name} have no {name}; train that network and score again"
            + (" with scoring.maps above 0 and shards of flow" if protocol == "local" else "")
        )
    values = np.asarray(scores.values[name], np.float64)
    if not np.isfinite(values).all():
        frame = int(np.argwhere(~np.isfinite(values))[0][0])
        raise DataError(
            f"scores of {scores.video.name}: {name} of frame {frame} is {values[frame]}: the "
            "network diverged; train it again with a smaller learning rate"
        )
    if protocol == "local":
        return values
    return whole_omega(by_name(indicator), values, scores.measures.get(indicator, "frame"))


def scale(values: np.ndarray, limits: Range) -> np.ndarray:
    """Map ``limits`` to 0 and 1, linearly; where both limits are equal, all values become 0.

    For the protocol ``local``, bring values to the scale of false alarms.
    """
    if isinstance(limits, Calibration):
        return limits(values)
    low, high = limits
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def limits(parts: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the smallest and the largest of all values."""
    return float(min(part.min() for part in parts)), float(max(part.max() for part in parts))


def heldout_limits(
    heldout: Sequence[VideoScores], protocol: Protocol, normal: Sequence[VideoScores] = ()
) -> dict[str, Range]:
    """Return the limits of each scaled indicator on held-out normal videos.

    Parameters
    ----------
    normal
        For ``local``: clips of normal training videos, which count as well
        (:mod:`evaluation.protocols.local.scores`).

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
    if protocol.name == "local":
        _check_local(heldout)
        return {
            name: Calibration.of(
                np.concatenate(
                    [
                        _scored(one, name, protocol)
                        for one in [*heldout, *normal]
                        if name in available(one, protocol)
                    ]
                )
            )
            for name in available(heldout[0], protocol)
        }
    scaled = [name for name in available(heldout[0], protocol) if by_name(name).SCALED]
    return {name: limits([_scored(one, name, protocol) for one in heldout]) for name in scaled}


def omegas(
    videos: Sequence[VideoScores],
    protocol: Protocol,
    heldout: dict[str, Range] | None = None,
) -> list[dict[str, np.ndarray]]:
    """Return ω1, ω2, ω3 of the scored frames of each video.

    Parameters
    ----------
    videos
        Their raw scores; all with the same indicators.
    protocol
        ``lntra``, ``dense`` or ``local``.
    heldout
        For ``normalise: heldout``, what :func:`heldout_limits` returned.

    Returns
    -------
    list of dict
        For each video indicator to (n,) float64, n the number of scored frames.
    """
    _check_length(videos, protocol)
    if protocol.name == "local":
        _check_local(videos)
    result: list[dict[str, np.ndarray]] = [{} for _ in videos]
    for name in available(videos[0], protocol) if videos else ():
        raw = [_scored(one, name, protocol) for one in videos]
        for scaled, values in zip(result, scale_all(raw, name, protocol, heldout), strict=True):
            scaled[name] = values
    return result


def scale_all(
    raw: Sequence[np.ndarray], name: str, protocol: Protocol, heldout: dict[str, Range] | None
) -> list[np.ndarray]:
    """Scale one indicator's raw values of several videos as the protocol says."""
    plain = not by_name(name).SCALED and protocol.name != "local"
    if plain or protocol.normalise == "none":
        return list(raw)
    if protocol.normalise == "video":
        return [scale(values, limits([values])) for values in raw]
    if protocol.normalise == "dataset":
        everywhere = limits(raw)
        return [scale(values, everywhere) for values in raw]
    if heldout is None:
        raise ConfigurationError("normalise: heldout: the limits of held-out videos are needed")
    return [scale(values, heldout[name]) for values in raw]


def constant(videos: Sequence[VideoScores], protocol: Protocol) -> list[str]:
    """Say which indicators are constant within a video, which scaling over it turns into 0."""
    if protocol.normalise != "video":
        return []
    return [
        f"{one.video.name}: {name} is the same in every scored frame; its scaled value is 0"
        for one in videos
        for name in available(one, protocol)
        if by_name(name).SCALED and np.ptp(_scored(one, name, protocol)) == 0
    ]


def available(one: VideoScores, protocol: Protocol) -> tuple[str, ...]:
    """Return the indicators that a protocol has for a video, in order.

    Under ``local`` an indicator with maps is judged by them, another one by its value.
    """
    found = ordered(one.named)
    if protocol.name == "local":
        local = [name.removesuffix("_local") for name in one.values if name.endswith("_local")]
        found = ordered([*local, *(indicator.NAME for indicator in found if not indicator.MAP)])
    return tuple(indicator.NAME for indicator in found)


def rows(protocol: Protocol) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the rows of the AUC table and the indicators that each fuses.

    Every indicator alone, then the paper's fusions; under ``local`` also what each adds to the
    flow, or takes away.
    """
    plain = [(f"{one.SYMBOL} alone", (one.NAME,)) for one in INDICATORS if one.VALUE]
    if protocol.name != "local":
        return (*plain, *FUSIONS)
    ways = [one for one in INDICATORS if one.MAP == 2]
    others = [one for one in INDICATORS if one.MAP < 2]
    alone = [(f"{one.SYMBOL} alone", (one.NAME,)) for one in (*ways, *others)]
    added = [(f"{w.SYMBOL} + {o.SYMBOL}", (w.NAME, o.NAME)) for w in ways for o in others]
    fused = [
        (f"{w.SYMBOL} {n.removesuffix(' (ours)')}", (w.NAME, *of))
        for w in ways
        for n, of in FUSIONS
    ]
    return (*alone, *FUSIONS, *added, *fused)


def _scored(one: VideoScores, name: str, protocol: Protocol) -> np.ndarray:
    raw = raw_indicator(one, name, protocol=protocol.name)
    return raw[protocol.scored(one.video.frames)]


def _check_local(videos: Sequence[VideoScores]) -> None:
    for one in videos:
        if "flow_local" not in one.values:
            raise ConfigurationError(
                f"scores of {one.video.name} have no values of the protocol local; run "
                "`python -m evaluation score` again, with shards of flow"
            )


def _check_length(videos: Sequence[VideoScores], protocol: Protocol) -> None:
    for one in videos:
        if one.video.frames < WINDOW:
            raise DataError(
                f"{one.video.name}: has {one.video.frames} frames; {protocol.name} needs at least "
                f"{WINDOW}; leave the video out of the manifest"
            )
