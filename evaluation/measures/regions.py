"""Region- and track-based detection criteria from error maps and pixel masks.

B. Ramachandra and M. Jones, "Street Scene", WACV 2020, and "A Survey of Single-Scene Video
Anomaly Detection", TPAMI 2020, section 2.2. At each threshold the connected components of
the thresholded map are the detected regions:

- RBDR, the share of true regions that some detected region covers with an intersection over
  union of at least β;
- TBDR, the share of true tracks of which at least a share α of the regions is so detected;
- FPR, detected regions that match no true region, a frame.

RBDC and TBDC are the areas under RBDR and TBDR over FPR from 0 to 1.

**Choice**: data sets give pixel masks, not tracks; a track is made of true regions that
overlap from one frame to the next (:func:`tracks`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evaluation.measures.metrics import UndefinedMeasure
from pipeline.base.errors import DataError


@dataclass(frozen=True)
class RegionCriteria:
    """RBDC and TBDC, in [0, 1], and what they were computed from."""

    rbdc: float
    tbdc: float
    regions: int
    tracks: int
    frames: int


@dataclass(frozen=True)
class Counts:
    """What was counted, summed over videos.

    Attributes
    ----------
    found_regions, found_tracks, false
        At each threshold (K,): true regions found, true tracks found, detected regions
        that match none.
    regions, tracks, frames
        How many there are.
    """

    found_regions: np.ndarray
    found_tracks: np.ndarray
    false: np.ndarray
    regions: int
    tracks: int
    frames: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.found_regions + other.found_regions,
            self.found_tracks + other.found_tracks,
            self.false + other.false,
            self.regions + other.regions,
            self.tracks + other.tracks,
            self.frames + other.frames,
        )


def region_criteria(
    videos: Iterable[tuple[np.ndarray, np.ndarray]],
    thresholds: np.ndarray,
    alpha: float = 0.1,
    beta: float = 0.1,
) -> RegionCriteria:
    """Compute RBDC and TBDC over videos.

    Parameters
    ----------
    videos
        For each video its maps (N, h, w) float, higher = more anomalous, and its pixel
        masks (N, H, W) of 0 and 1. Maps of another size are resized (bilinear) to the
        masks.
    thresholds
        Rising or falling; a pixel counts as detected when its value is at least the
        threshold.
    alpha, beta
        Share of a track, and intersection over union, that count as detected.

    Raises
    ------
    UndefinedMeasure
        If no video has an anomalous region.
    DataError
        If maps and masks differ in length.
    """
    thresholds = np.sort(np.asarray(thresholds, np.float64))[::-1]
    zeros = np.zeros(len(thresholds))
    total = Counts(zeros, zeros, zeros, 0, 0, 0)
    for maps, masks in videos:
        total += count_regions(maps, masks, thresholds, alpha, beta)
    if not total.regions:
        raise UndefinedMeasure("RBDC and TBDC: undefined, no frame has an anomalous region")
    rate = total.false / total.frames
    return RegionCriteria(
        area_to_one(rate, total.found_regions / total.regions),
        area_to_one(rate, total.found_tracks / total.tracks),
        total.regions,
        total.tracks,
        total.frames,
    )


def area_to_one(rate: np.ndarray, detected: np.ndarray) -> float:
    """Area under ``detected`` over ``rate`` from 0 to 1, points in order of falling threshold.

    The curve starts at (0, 0), is linear between points and level after its last. A
    detector that never reaches one false region a frame loses nothing by that; one that
    passes it is cut there.

    Examples
    --------
    >>> area_to_one(np.array([0.0, 0.5]), np.array([0.5, 1.0]))
    0.875
    """
    order = np.argsort(rate, kind="stable")
    x, y = np.r_[0.0, rate[order]], np.r_[0.0, detected[order]]
    x, y = np.r_[x, max(1.0, x[-1])], np.r_[y, y[-1]]
    inside = x < 1.0
    cut = np.interp(1.0, x, y)
    return float(np.trapezoid(np.r_[y[inside], cut], np.r_[x[inside], 1.0]))


def tracks(masks: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Label the true regions of each frame and the track that each belongs to.

    Parameters
    ----------
    masks
        (N, H, W) of 0 and 1.

    Returns
    -------
    list of (labels, ids)
        For each frame the label image (H, W) int32, 0 = background and 1..R = its regions
        (8-connected), and the track number of each region, (R,) int, counted from 0. A
        region goes on with the track of the region that it overlaps most in the frame
        before; of several regions that would go on with one track, all do.
    """
    import cv2

    found = []
    before: np.ndarray = np.zeros(masks.shape[1:], np.int32)
    ids_before, fresh = np.zeros(0, int), 0
    for mask in masks:
        count, image = cv2.connectedComponents((np.asarray(mask) > 0).astype(np.uint8))
        labels = np.asarray(image)
        overlap = _overlaps(labels, count, before, len(ids_before) + 1)[1:, 1:]
        ids = np.empty(count - 1, int)
        for region in range(count - 1):
            if overlap.shape[1] and overlap[region].any():
                ids[region] = ids_before[int(np.argmax(overlap[region]))]
            else:
                ids[region] = fresh
                fresh += 1
        found.append((labels, ids))
        before, ids_before = labels, ids
    return found


def count_regions(
    maps: np.ndarray,
    masks: np.ndarray,
    thresholds: np.ndarray,
    alpha: float = 0.1,
    beta: float = 0.1,
) -> Counts:
    """Count one video's true, found and false regions and tracks at each threshold.

    Parameters and errors are those of :func:`region_criteria`.
    """
    if len(maps) != len(masks):
        raise DataError(f"{len(maps)} error maps for {len(masks)} pixel masks; score again")
    truth = tracks(masks)
    regions = sum(len(ids) for _, ids in truth)
    count = 1 + max((int(ids.max()) for _, ids in truth if len(ids)), default=-1)
    sizes = np.zeros(count)
    hits = np.zeros((len(thresholds), count))
    false = np.zeros(len(thresholds))
    for one_map, (labels, ids) in zip(maps, truth, strict=True):
        np.add.at(sizes, ids, 1)
        for number, (matched, unmatched) in enumerate(_matches(one_map, labels, thresholds, beta)):
            np.add.at(hits[number], ids[matched], 1)
            false[number] += unmatched
    found_tracks = (hits >= alpha * sizes).sum(1) if count else np.zeros(len(thresholds))
    return Counts(hits.sum(1), found_tracks, false, regions, count, len(masks))


def _matches(
    one_map: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, beta: float
) -> Iterable[tuple[np.ndarray, int]]:
    """For each threshold: which true regions are found (R,) bool, and unmatched detections."""
    import cv2

    one_map = np.asarray(one_map, np.float32)
    if one_map.shape != labels.shape:
        one_map = cv2.resize(one_map, labels.shape[::-1], interpolation=cv2.INTER_LINEAR)
    true = int(labels.max()) + 1
    highest = one_map.max()
    for threshold in thresholds:
        if threshold > highest:
            yield np.zeros(true - 1, bool), 0
            continue
        count, detected = cv2.connectedComponents((one_map >= threshold).astype(np.uint8))
        both = _overlaps(labels, true, detected, count)
        union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
        good = (both / np.maximum(union, 1) >= beta)[1:, 1:]
        yield good.any(1), int((~good.any(0)).sum())


def _overlaps(one: np.ndarray, ones: int, two: np.ndarray, twos: int) -> np.ndarray:
    """Pixels that each label of one image shares with each label of another, (ones, twos)."""
    pairs = one.ravel() * twos + two.ravel()
    return np.bincount(pairs, minlength=ones * twos).reshape(ones, twos)
