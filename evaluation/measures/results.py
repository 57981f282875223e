"""One row of the AUC table: indicators under a protocol, fused, measured, label-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from evaluation.indicators.registry import ordered
from evaluation.measures import fusion, metrics
from evaluation.measures.fusion import Choice, Eta
from evaluation.measures.metrics import UndefinedMeasure
from evaluation.protocols import base as protocols
from evaluation.protocols.base import Protocol
from evaluation.record.scores import RunScores
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import Dataset, VideoInfo


@dataclass(frozen=True, kw_only=True)
class Fusing:
    """How raw scores become a table."""

    protocols: tuple[Protocol, ...] = (
        Protocol(name="lntra", normalise="video"),
        Protocol(name="dense", normalise="video"),
        Protocol(name="dense", normalise="heldout"),
    )
    """The protocols, each with its scale."""

    eta: str = "label-free"
    """How the weights are chosen: label-free or equal. tuned-on-test is always beside it. The
    protocol local has equal ones, label-free as they are: its scores have one scale."""

    pseudo: Literal["movers", "own"] = "movers"
    """Held-out pseudo-anomalies for label-free η: movers, which no network was trained on, or
    own, those of the training."""

    steps: int = 20
    """Weights are multiples of 1/steps."""

    samples: int = 1000
    """Bootstrap resamples of the confidence intervals; 0 for none."""

    level: float = 0.95
    """Confidence of the intervals."""

    seed: int = 0
    """Of the resampling."""

    smooth: float = 3.0
    """Frames: beside each micro AUC stands that of scores smoothed over time, by a Gaussian of
    this sigma; 0 for none."""

    regions: int = 0
    """Thresholds of RBDC and TBDC, where there are error maps and pixel masks; 0 for none."""

    region_window: int = 5
    """Error maps are averaged over squares of so many cells before they are thresholded."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "protocols", tuple(self.protocols))
        if not self.protocols:
            raise ConfigurationError("fusing.protocols: none is named")
        if self.eta not in ("label-free", "equal"):
            raise ConfigurationError(f"fusing.eta: {self.eta!r} is neither label-free nor equal")
        if self.pseudo not in ("movers", "own"):
            raise ConfigurationError(f"fusing.pseudo: {self.pseudo!r} is neither movers nor own")
        if self.steps < 1:
            raise ConfigurationError(f"fusing.steps: {self.steps} is below 1")
        if not 0 <= self.smooth < np.inf:
            raise ConfigurationError(f"fusing.smooth: {self.smooth} is not at least 0")
        if self.samples < 0 or self.regions < 0:
            raise ConfigurationError("fusing.samples and fusing.regions: must be at least 0")
        if self.region_window < 1:
            raise ConfigurationError(f"fusing.region_window: {self.region_window} is below 1")
        if not 0 < self.level < 1:
            raise ConfigurationError(f"fusing.level: {self.level} is not between 0 and 1")


@dataclass(frozen=True)
class Scored:
    """The test videos under one protocol: indicators, and labels where there are any.

    Attributes
    ----------
    videos
        In order.
    omegas
        For each video indicator to (n,) float64 of its scored frames.
    labels
        For each video (n,) uint8, or None where it has no labels.
    """

    protocol: Protocol
    videos: tuple[VideoInfo, ...]
    omegas: tuple[dict[str, np.ndarray], ...]
    labels: tuple[np.ndarray | None, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def indicators(self) -> tuple[str, ...]:
        """The indicators that were scored."""
        return tuple(one.NAME for one in ordered(self.omegas[0] if self.omegas else ()))

    def fused(self, eta: Eta) -> list[np.ndarray]:
        """Return ω_agg of each video."""
        return [fusion.fuse(part, eta) for part in self.omegas]

    def labelled(self, values: Sequence[Any]) -> list[Any]:
        """Return the entries of ``values`` that belong to labelled videos."""
        return [v for v, truth in zip(values, self.labels, strict=True) if truth is not None]

    @property
    def truth(self) -> list[np.ndarray]:
        """Labels of the labelled videos."""
        return [part for part in self.labels if part is not None]


def read_labels(dataset: Dataset, video: VideoInfo) -> np.ndarray | None:
    """Return a video's frame labels (N,) uint8, or None where it has none.

    Raises
    ------
    DataError
        If there are more or fewer labels than frames, or a label is neither 0 nor 1.
    """
    if not video.labelled:
        return None
    array = dataset.arrays("labels", video.name)["label"]
    labels = np.asarray(array[0 : len(array)])
    if len(labels) != video.frames:
        raise DataError(
            f"labels of {video.name}: {len(labels)} labels for {video.frames} frames; they are "
            "never trimmed or padded; mend the label file and run the pipeline again"
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"labels of {video.name}: values other than 0 and 1")
    return labels.astype(np.uint8)


def apply(scores: RunScores, dataset: Dataset, protocol: Protocol) -> Scored:
    """Put the test videos' raw scores on a protocol's frames and scale."""
    tests = [scores.load(video.name) for video in dataset.select(split=dataset.evaluate)]
    omegas = protocols.omegas(tests, protocol, protocols.run_limits(scores, protocol))
    notes = protocols.constant(tests, protocol)
    labels = [read_labels(dataset, one.video) for one in tests]
    return Scored(
        protocol,
        tuple(one.video for one in tests),
        tuple(omegas),
        tuple(
            None if part is None else part[protocol.scored(one.video.frames)]
            for part, one in zip(labels, tests, strict=True)
        ),
        tuple(notes),
    )


def choose(names: Sequence[str], scored: Scored, scores: RunScores, settings: Fusing) -> Choice:
    """Choose η for a row without looking at the test labels."""
    if len(names) == 1:
        return Choice({names[0]: 1.0}, None, "given")
    if settings.eta == "equal" or scored.protocol.kind.EQUAL:
        return fusion.equal(names)
    held = scores.select(holdout=True)
    limits = protocols.run_limits(scores, scored.protocol)
    labels, omegas = fusion.imagined(held, scored.protocol, limits, settings.pseudo)
    return fusion.best(names, labels, omegas, "label-free", settings.steps)


def measure(scored: Scored, eta: Eta, settings: Fusing) -> dict[str, Any]:
    """Return every measure of one row; where one is undefined, its value is None and why."""
    truth, fused = scored.truth, scored.labelled(scored.fused(eta))
    result: dict[str, Any] = {}
    try:
        if not truth:
            raise UndefinedMeasure("no test video has labels")
        labels, values = np.concatenate(truth), np.concatenate(fused)
        result["micro_auc"] = metrics.micro_auc(labels, values)
        result["eer"] = metrics.equal_error_rate(labels, values)
        macro = metrics.macro_auc(truth, fused)
        if settings.smooth:
            smooth = [smoothed(one, settings.smooth) for one in fused]
            result["smoothed_micro_auc"] = metrics.micro_auc(labels, np.concatenate(smooth))
        result["macro_auc"] = macro.value
        result["macro_one_class_videos"] = macro.one_class
    except UndefinedMeasure as error:
        return {"micro_auc": None, "macro_auc": None, "eer": None, "undefined": str(error)}
    if settings.samples:
        try:
            interval = metrics.bootstrap(
                truth, fused, settings.samples, settings.level, settings.seed
            )
            result["micro_auc_interval"] = asdict(interval)
        except UndefinedMeasure as error:
            result["micro_auc_interval"] = None
            result["interval_undefined"] = str(error)
    return result


def smoothed(values: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a video's scores (n,) over time by a Gaussian; its ends are repeated."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(np.asarray(values, np.float64), sigma, mode="nearest")


def row(
    label: str, names: tuple[str, ...], scored: Scored, scores: RunScores, settings: Fusing
) -> dict[str, Any]:
    """Return one row of the table, label-free with tuned-on-test beside it."""
    choice = choose(names, scored, scores, settings)
    result = {
        "row": label,
        "protocol": scored.protocol.name,
        "normalise": scored.protocol.normalise,
        "eta": choice.eta,
        "eta_chosen": choice.how,
        "eta_criterion": choice.auc,
        **measure(scored, choice.eta, settings),
    }
    if len(names) > 1 and result["micro_auc"] is not None:
        tuned = fusion.best(
            names, scored.truth, scored.labelled(scored.omegas), "tuned-on-test", settings.steps
        )
        result["tuned_on_test"] = {"eta": tuned.eta, "micro_auc": tuned.auc}
    return result
