"""How well scores separate anomalous frames from normal ones.

Micro AUC puts the frames of all videos into one ROC; macro AUC is the mean over videos;
the equal error rate is where false alarms and misses are equally frequent. Confidence
intervals resample whole videos, since the frames of one video are anything but
independent. Pixel-level measures are in :mod:`evaluation.measures.regions`.

Every function raises :class:`UndefinedMeasure` where a measure does not exist; none
returns NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base.errors import DataError


class UndefinedMeasure(DataError):
    """The measure does not exist for these labels, e.g. an AUC of frames that are all normal."""


@dataclass(frozen=True)
class Interval:
    """A bootstrap confidence interval.

    Attributes
    ----------
    low, high
        Its ends, in [0, 1].
    level
        Its confidence, e.g. 0.95.
    samples
        Resamples that count: those that hold both classes.
    """

    low: float
    high: float
    level: float
    samples: int


@dataclass(frozen=True)
class MacroAUC:
    """The mean of the videos' AUCs, and how many videos have frames of one class only."""

    value: float
    videos: int
    one_class: int


def micro_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC of all frames, ties counted half.

    Parameters
    ----------
    labels
        (N,) of 0 (normal) and 1 (anomalous).
    scores
        (N,) float, higher = more anomalous.

    Raises
    ------
    UndefinedMeasure
        If the labels are all of one class, or there are none.
    DataError
        If the lengths differ, a label is neither 0 nor 1, or a score is not finite.

    Examples
    --------
    >>> micro_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    positive, scores = checked(labels, scores)
    _need_both(positive)
    return _weighted_auc(*_sorted(positive, scores), np.ones(len(scores)))


def macro_auc(labels: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> MacroAUC:
    """Mean over videos of each video's AUC.

    Each video is padded with one normal frame of the lowest score of all videos and one
    anomalous frame of the highest, as published evaluations do (there 0 and 1), so that a
    video of one class has an AUC too.

    Parameters
    ----------
    labels, scores
        One (N,) array a video, as for :func:`micro_auc`.

    Raises
    ------
    UndefinedMeasure
        If there are no videos, or no video has a normal frame, or none an anomalous one.
    """
    pairs = [checked(one, two) for one, two in zip(labels, scores, strict=True)]
    if not pairs:
        raise UndefinedMeasure("macro AUC: undefined, there are no labelled videos")
    _need_both(np.concatenate([positive for positive, _ in pairs]))
    lowest = min(values.min() for _, values in pairs)
    highest = max(values.max() for _, values in pairs)
    areas = []
    for positive, values in pairs:
        padded = np.r_[False, positive, True], np.r_[lowest, values, highest]
        areas.append(_weighted_auc(*_sorted(*padded), np.ones(len(values) + 2)))
    one_class = sum(positive.all() or not positive.any() for positive, _ in pairs)
    return MacroAUC(float(np.mean(areas)), len(pairs), int(one_class))


def roc(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ROC's false positive rates, true positive rates and thresholds.

    Thresholds fall from +inf (nothing is called anomalous) to the lowest score; a frame is
    called anomalous when its score is at least the threshold. Raises as :func:`micro_auc`.
    """
    positive, scores = checked(labels, scores)
    _need_both(positive)
    order = np.argsort(-scores, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]
    hits = np.cumsum(positive[order])[ends]
    alarms = 1 + ends - hits
    return (
        np.r_[0.0, alarms / alarms[-1]],
        np.r_[0.0, hits / hits[-1]],
        np.r_[np.inf, scores[order][ends]],
    )


def equal_error_rate(labels: np.ndarray, scores: np.ndarray) -> float:
    """Rate at which false alarms and misses are equally frequent, in [0, 1].

    Linear between the points of the ROC. Raises as :func:`micro_auc`.
    """
    alarms, hits, _ = roc(labels, scores)
    excess = alarms - (1 - hits)  # rises from -1 to 1
    after = int(np.argmax(excess >= 0))
    before = after - 1
    step = -excess[before] / (excess[after] - excess[before])
    return float(alarms[before] + step * (alarms[after] - alarms[before]))


def bootstrap(
    labels: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the micro AUC under resampling of whole videos.

    Parameters
    ----------
    labels, scores
        One (N,) array a video.
    samples
        Resamples; those that happen to hold one class only do not count.
    seed
        Of the resampling.

    Raises
    ------
    UndefinedMeasure
        If there are fewer than two videos, or no resample holds both classes.
    """
    pairs = [checked(one, two) for one, two in zip(labels, scores, strict=True)]
    if len(pairs) < 2:
        raise UndefinedMeasure("confidence interval: undefined, it needs at least two videos")
    positive, values = (np.concatenate(part) for part in zip(*pairs, strict=True))
    video = np.repeat(np.arange(len(pairs)), [len(part) for part, _ in pairs])
    order = np.argsort(values, kind="stable")
    positive, values, video = positive[order], values[order], video[order]
    draws = np.random.default_rng(seed).integers(len(pairs), size=(samples, len(pairs)))
    areas = []
    for draw in draws:
        weights = np.bincount(draw, minlength=len(pairs))[video]
        if weights[positive].any() and weights[~positive].any():
            areas.append(_weighted_auc(positive, values, weights))
    if not areas:
        raise UndefinedMeasure("confidence interval: undefined, no resample holds both classes")
    low, high = np.quantile(areas, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, len(areas))


def checked(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as booleans and scores as float64, or raise DataError."""
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise DataError(
            f"labels of shape {labels.shape} for scores of shape {scores.shape}: "
            "one label a scored frame is needed"
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError("labels: values other than 0 (normal) and 1 (anomalous)")
    if not np.isfinite(scores).all():
        frame = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise DataError(f"scores: the value of frame {frame} is {scores[frame]}; score again")
    return labels.astype(bool), scores


def _need_both(positive: np.ndarray) -> None:
    if not len(positive):
        raise UndefinedMeasure("AUC: undefined, there are no labelled frames")
    if positive.all() or not positive.any():
        kind = "anomalous" if positive.all() else "normal"
        raise UndefinedMeasure(f"AUC: undefined, all {len(positive)} labelled frames are {kind}")


def _sorted(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(scores, kind="stable")
    return positive[order], scores[order]


def _weighted_auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """AUC of frames in rising order of score, each counted ``weights`` times."""
    ends = np.r_[np.flatnonzero(np.diff(scores)), len(scores) - 1]
    above = np.diff(np.cumsum(weights * positive)[ends], prepend=0)  # by group of equal scores
    below = np.cumsum(weights * ~positive)[ends]
    halfway = below - np.diff(below, prepend=0) / 2
    return float(above @ halfway / (above.sum() * below[-1]))
