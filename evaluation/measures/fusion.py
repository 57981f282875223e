"""ω_agg = η1·ω1 + η2·ω2 + η3·ω3 (equation 6), and how η is chosen.

``label-free``
    Held-out *normal* training videos choose η: for each of them test videos are imagined, its
    normal frames followed by the same frames with pseudo-anomalies, scaled as the protocol
    scales a test video. The η that separates best, by micro AUC over all of them, is taken.
    Nothing of the test videos is used. Which pseudo-anomalies:

    ``movers`` (the default): of a kind that no network was trained on
    (:mod:`evaluation.scoring.movers`), seen by all indicators at once.

    ``own``: those of the training, as (a) the spatial, (b) the temporal, (c) both.
``tuned-on-test``
    The η with the best micro AUC on the test labels: the optimistic number, reported
    beside the other under that name, as it is what published results are silent about.
``equal``
    The same weight for each.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.indicators.registry import by_name
from evaluation.measures.metrics import checked, micro_auc
from evaluation.protocols import base as protocols
from evaluation.protocols.base import Limits, Protocol
from evaluation.record.scores import VideoScores
from pipeline.base.errors import ConfigurationError

Eta = dict[str, float]

KINDS: dict[str, tuple[tuple[str, set[str]], ...]] = {
    "own": (
        ("_pa", {"frames", "features"}),
        ("_pa", {"flow"}),
        ("_pa", {"frames", "flow", "features"}),
    ),
    "movers": (("_mover", {"frames", "flow", "features", "patches"}),),
}
"""Imagined anomalies: which scores they are, and which stages show them."""


@dataclass(frozen=True)
class Choice:
    """Weights, the criterion that they reached, and how they were chosen.

    Attributes
    ----------
    eta
        Indicator to weight; weights are at least 0 and sum to 1.
    auc
        Micro AUC on what they were chosen on.
    how
        ``label-free``, ``tuned-on-test``, ``equal`` or ``given``.
    """

    eta: Eta
    auc: float | None
    how: str


def fuse(omegas: Mapping[str, np.ndarray], eta: Eta) -> np.ndarray:
    """Weighted sum of indicators, (n,) float64 (equation 6).

    Examples
    --------
    >>> fuse({"spatial": np.array([0.0, 1.0]), "temporal": np.array([1.0, 1.0])},
    ...      {"spatial": 0.25, "temporal": 0.5})
    array([0.5 , 0.75])
    """
    missing = [name for name, weight in eta.items() if weight and name not in omegas]
    if missing:
        raise ConfigurationError(
            f"eta: {missing[0]} has a weight but was not scored; train that network and score again"
        )
    return np.sum([weight * omegas[name] for name, weight in eta.items() if name in omegas], axis=0)


def simplex(names: Sequence[str], steps: int) -> list[Eta]:
    """Return all weights that are multiples of 1/steps and sum to 1.

    >>> simplex(("x", "y"), 2)
    [{'x': 0.0, 'y': 1.0}, {'x': 0.5, 'y': 0.5}, {'x': 1.0, 'y': 0.0}]
    """
    return [
        dict(zip(names, (part / steps for part in parts), strict=True))
        for parts in itertools.product(range(steps + 1), repeat=len(names))
        if sum(parts) == steps
    ]


def best(
    names: Sequence[str],
    labels: Sequence[np.ndarray],
    omegas: Sequence[Mapping[str, np.ndarray]],
    how: str,
    steps: int = 20,
) -> Choice:
    """Search the simplex for the weights with the best micro AUC.

    Of equally good weights the one nearest to their mean is taken, so that a plateau is
    entered in its middle and not at a corner.

    Parameters
    ----------
    names
        The indicators that may have a weight.
    labels, omegas
        For each video its labels (n,) and its indicators (n,).
    """
    positive = np.concatenate([np.asarray(part) for part in labels])
    stacked = {name: np.concatenate([part[name] for part in omegas]) for name in names}
    for values in stacked.values():
        checked(positive, values)
    candidates = simplex(names, steps)
    areas = np.array([micro_auc(positive, fuse(stacked, eta)) for eta in candidates])
    equally_good = [candidates[i] for i in np.flatnonzero(areas >= areas.max() - 1e-9)]
    middle = {name: np.mean([eta[name] for eta in equally_good]) for name in names}
    chosen = min(
        equally_good, key=lambda eta: sum((eta[name] - middle[name]) ** 2 for name in names)
    )
    return Choice(chosen, float(areas.max()), how)


def equal(names: Sequence[str]) -> Choice:
    """Give each indicator the same weight."""
    return Choice({name: 1 / len(names) for name in names}, None, "equal")


def imagined(
    heldout: Sequence[VideoScores],
    protocol: Protocol,
    limits: Limits | None,
    pseudo: str = "own",
) -> tuple[list[np.ndarray], list[dict[str, np.ndarray]]]:
    """Return labels and indicators of the videos that label-free choices are made on.

    Parameters
    ----------
    heldout
        Raw scores of held-out normal videos with those of their pseudo-anomalies.
    protocol
        Says which frames count and how they are scaled.
    limits
        For ``normalise: heldout``, as :func:`evaluation.protocols.base.heldout_limits` gives.
    pseudo
        ``movers`` or ``own``.

    Raises
    ------
    ConfigurationError
        If there are no held-out videos, or their pseudo-anomalies were not scored.
    """
    kinds = KINDS[pseudo]
    if len(kinds) > 1 and protocol.kind.EQUAL:
        raise ConfigurationError(
            f"fusing.pseudo: {pseudo}: those of A^s and A^t differ and have no common flow; for "
            f"the protocol {protocol.name} set it to movers, or eta to equal"
        )
    ready = [one for one in heldout if protocol.kind.imagined(one, kinds[0][0])]
    if not ready:
        raise ConfigurationError(
            "eta: label-free: needs held-out normal videos and the scores of their "
            f"pseudo-anomalies ({pseudo}); run the pipeline with --source.holdout above 0, score "
            "again with scoring.movers: true, or set eta to equal"
        )
    raw = [
        _normal_then_anomalous(one, protocol, touched, suffix)
        for one, (suffix, touched) in itertools.product(ready, kinds)
        if any(touched & set(by_name(n).READS) for n in protocol.kind.available(one))
    ]
    labels = [np.repeat([0, 1], len(next(iter(part.values()))) // 2) for part in raw]
    scaled: list[dict[str, np.ndarray]] = [{} for _ in raw]
    for name in raw[0]:
        values = protocols.scale_all([part[name] for part in raw], name, protocol, limits)
        for target, array in zip(scaled, values, strict=True):
            target[name] = array
    return labels, scaled


def _normal_then_anomalous(
    one: VideoScores, protocol: Protocol, touched: set[str], suffix: str
) -> dict[str, np.ndarray]:
    """Raw indicators of a video's scored frames, then of the same with pseudo-anomalies."""
    frames = protocol.scored(one.video.frames)
    return {
        name: np.concatenate(
            [
                protocol.kind.raw(one, name, kind)[frames]
                for kind in ("", suffix if touched & set(by_name(name).READS) else "")
            ]
        )
        for name in protocol.kind.available(one)
    }
