"""RBDC and TBDC against py-ssvad-metrics where it is installed, and against brute force."""

import contextlib
import sys
import warnings

import numpy as np
import pytest
from scipy import ndimage

from evaluation.measures.metrics import UndefinedMeasure
from evaluation.measures.regions import area_to_one, count_regions, region_criteria, tracks
from pipeline.base.errors import DataError

THRESHOLDS = np.linspace(1.01, -0.01, 103)


def scene(seed, frames=12, size=(24, 32), objects=1):
    """Masks of moving boxes (one stays away at times) and noisy maps that partly see them."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((frames, *size), np.uint8)
    for number in range(objects):
        top, left = 2 + 11 * number, rng.integers(0, 8)
        for frame in range(2, frames - 1):
            masks[frame, top : top + 7, left + frame : left + frame + 6] = 1
    maps = ndimage.gaussian_filter(rng.random((frames, *size)), (0, 2, 2))
    maps = (maps - maps.min()) / np.ptp(maps) * 0.7 + masks * rng.random((frames, 1, 1)) * 0.4
    return np.clip(maps, 0, 1).astype(np.float32), masks


def brute_force(videos, thresholds, alpha=0.1, beta=0.1):
    """The definitions, region by region, with scipy's labelling; tracks as given."""
    curve = []
    for threshold in thresholds:
        found = regions = false = frames = tracks_found = tracks_all = 0
        for maps, masks in videos:
            hits, sizes = {}, {}
            for one_map, (labels, ids) in zip(maps, tracks(masks), strict=True):
                frames += 1
                detected, count = ndimage.label(one_map >= threshold, np.ones((3, 3)))
                matched = set()
                for region, track in enumerate(ids, 1):
                    true = labels == region
                    good = [
                        j
                        for j in range(1, count + 1)
                        if (true & (detected == j)).sum() / (true | (detected == j)).sum() >= beta
                    ]
                    matched |= set(good)
                    found += bool(good)
                    regions += 1
                    hits[track] = hits.get(track, 0) + bool(good)
                    sizes[track] = sizes.get(track, 0) + 1
                false += count - len(matched)
            tracks_all += len(sizes)
            tracks_found += sum(hits[t] >= alpha * sizes[t] for t in sizes)
        curve.append((false / frames, found / regions, tracks_found / tracks_all))
    rate, rbdr, tbdr = np.array(curve).T
    return area_to_one(rate, rbdr), area_to_one(rate, tbdr)


@pytest.mark.parametrize("objects", [1, 2])
def test_equals_brute_force(objects):
    videos = [scene(seed, objects=objects) for seed in (0, 1)]
    thresholds = THRESHOLDS[::6]
    found = region_criteria(videos, thresholds)
    np.testing.assert_allclose((found.rbdc, found.tbdc), brute_force(videos, thresholds))
    assert found.tracks == 2 * objects
    assert found.regions == 2 * objects * 9
    assert found.frames == 24


@pytest.fixture
def peer():
    """py-ssvad-metrics 1.0.0, which is written for pydantic 1: given pydantic 2's copy of it."""
    v1 = pytest.importorskip("pydantic.v1")
    with borrowed("pydantic", v1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import ssvad_metrics
        except ImportError as error:
            pytest.skip(f"py-ssvad-metrics is not usable here: {error}")
    return ssvad_metrics


@contextlib.contextmanager
def borrowed(name, module):
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        yield
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before


def annotation(peer, folder, arrays, truth):
    folder.mkdir()
    frames = []
    for number, array in enumerate(arrays):
        path = folder / f"{number}.npy"
        np.save(path, array.astype(np.float32))
        frames.append(
            {
                "frame_id": number + 1,
                "anomaly_track_id": (0 if array.any() else -1) if truth else None,
                "pixel_level_scores_map": str(path),
            }
        )
    return peer.data_schema.VADAnnotation(
        is_gt=truth,
        frames_count=len(frames),
        is_anomalous_regions_available=True,
        is_anomaly_track_id_available=truth,
        frame_height=arrays.shape[1],
        frame_width=arrays.shape[2],
        frames=frames,
    )


def test_counts_equal_py_ssvad_metrics(peer, tmp_path):
    maps, masks = scene(3)
    ours = count_regions(maps, masks, THRESHOLDS)
    predicted = annotation(peer, tmp_path / "maps", maps, False)
    true = annotation(peer, tmp_path / "masks", masks, True)
    for number, threshold in enumerate(THRESHOLDS):
        counts = peer.criteria._get_cur_calcs(predicted, true, threshold, 0.1, 0.1, True, True)
        found, regions, false, frames, all_tracks, found_tracks = counts
        assert (regions, frames, all_tracks) == (ours.regions, ours.frames, ours.tracks)
        assert found == ours.found_regions[number], threshold
        assert false == ours.false[number], threshold
        # with alpha 0.1 of 9 regions, the peer and we need one of them; at none found both have 0
        assert found_tracks == ours.found_tracks[number], threshold


def test_area_equals_py_ssvad_metrics_where_the_curve_reaches_one(peer, tmp_path):
    """The peer ends at its last point up to 1, ours goes on level: here that point is at 1."""
    masks = scene(4)[1]
    maps = np.repeat(np.linspace(0.3, 0.9, len(masks)), masks[0].size).reshape(masks.shape)
    maps = maps * masks + 0.2 * (1 - masks)  # regions found one frame after the other ...
    maps[:, 20, 28] = np.linspace(0.25, 0.95, len(masks))  # ... and a false one in every frame
    maps = maps.astype(np.float32)
    theirs = peer.criteria.CurrentCriteriaAccumulator()(
        annotation(peer, tmp_path / "maps", maps, False),
        annotation(peer, tmp_path / "masks", masks, True),
    )
    found = region_criteria([(maps, masks)], THRESHOLDS[THRESHOLDS > 0.21])
    assert found.rbdc == pytest.approx(theirs["region_roc_auc"], abs=1e-6)
    assert found.tbdc == pytest.approx(theirs["track_roc_auc"], abs=1e-6)


def test_tracks_follow_overlap():
    masks = np.zeros((4, 10, 20), np.uint8)
    masks[0, 2:5, 2:5] = 1
    masks[1, 2:5, 4:7] = masks[1, 6:9, 12:15] = 1
    masks[3, 2:5, 4:7] = 1  # after a frame without regions it is a new track
    ids = [list(track) for _, track in tracks(masks)]
    assert ids == [[0], [0, 1], [], [2]]


def test_area_is_cut_at_one_false_region_a_frame():
    assert area_to_one(np.array([0.0]), np.array([1.0])) == pytest.approx(1.0)
    assert area_to_one(np.array([2.0]), np.array([1.0])) == pytest.approx(0.25)
    assert area_to_one(np.array([0.0, 0.5]), np.array([0.5, 1.0])) == pytest.approx(0.875)


def test_perfect_and_blind_maps():
    _, masks = scene(5)
    perfect = region_criteria([(masks.astype(np.float32), masks)], np.array([0.5]))
    assert (perfect.rbdc, perfect.tbdc) == (1, 1)
    blind = region_criteria([(1 - masks.astype(np.float32), masks)], np.array([2.0]))
    assert (blind.rbdc, blind.tbdc) == (0, 0)


def test_maps_of_another_size_are_resized():
    _, masks = scene(6)
    half = masks[:, ::2, ::2].astype(np.float32)
    assert region_criteria([(half, masks)], np.array([0.5])).rbdc == 1


def test_bad_input_is_said():
    maps, masks = scene(7)
    with pytest.raises(UndefinedMeasure, match="no frame has an anomalous region"):
        region_criteria([(maps, masks * 0)], THRESHOLDS)
    with pytest.raises(DataError, match="11 error maps for 12"):
        region_criteria([(maps[:-1], masks)], THRESHOLDS)
