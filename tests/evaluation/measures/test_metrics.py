import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from evaluation.measures.metrics import (
    UndefinedMeasure,
    bootstrap,
    equal_error_rate,
    macro_auc,
    micro_auc,
    roc,
)
from pipeline.base.errors import DataError

FRAMES = st.lists(st.tuples(st.integers(0, 1), st.integers(-5, 5)), min_size=2, max_size=60).filter(
    lambda frames: len({label for label, _ in frames}) == 2
)


@given(FRAMES)
def test_micro_auc_and_roc_are_scikit_learns(frames):
    labels, scores = (np.array(part) for part in zip(*frames, strict=True))
    assert micro_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    ours = roc(labels, scores)
    theirs = roc_curve(labels, scores, drop_intermediate=False)
    for one, two in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, two)


@given(FRAMES)
def test_micro_auc_is_the_chance_that_an_anomalous_frame_scores_higher(frames):
    labels, scores = (np.array(part) for part in zip(*frames, strict=True))
    wins = [(a > n) + (a == n) / 2 for a in scores[labels == 1] for n in scores[labels == 0]]
    assert micro_auc(labels, scores) == pytest.approx(np.mean(wins))


@given(FRAMES)
def test_equal_error_rate_lies_where_both_errors_meet(frames):
    labels, scores = (np.array(part) for part in zip(*frames, strict=True))
    rate = equal_error_rate(labels, scores)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    # on the polyline (false, 1 - true) both coordinates equal the rate
    on_line = [
        abs((b[0] - a[0]) * (rate - a[1]) - (b[1] - a[1]) * (rate - a[0])) < 1e-9
        and min(a[0], b[0]) - 1e-9 <= rate <= max(a[0], b[0]) + 1e-9
        for a, b in zip(
            list(zip(false, 1 - true, strict=True))[:-1],
            list(zip(false, 1 - true, strict=True))[1:],
            strict=True,
        )
    ]
    assert any(on_line)


def test_equal_error_rate_of_known_scores():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert equal_error_rate(labels, np.arange(8)) == 0
    assert equal_error_rate(labels, np.array([1, 2, 3, 5, 4, 6, 7, 8])) == pytest.approx(0.25)


def test_macro_auc_pads_each_video_as_published_code_does():
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 2, 20), np.ones(9, int), np.zeros(7, int)]
    scores = [rng.random(len(part)) for part in labels]
    scores[0][:2] = 0, 1  # so that the padding's extremes are 0 and 1
    found = macro_auc(labels, scores)
    expected = np.mean(
        [
            roc_auc_score(np.r_[0, one, 1], np.r_[0, two, 1])
            for one, two in zip(labels, scores, strict=True)
        ]
    )
    assert found.value == pytest.approx(expected)
    assert (found.videos, found.one_class) == (3, 2)


def test_bootstrap_resamples_videos():
    rng = np.random.default_rng(1)
    labels = [rng.integers(0, 2, n) for n in (15, 30, 22, 8)]
    scores = [np.round(rng.random(len(part)) + part * 0.5, 1) for part in labels]
    found = bootstrap(labels, scores, samples=200, level=0.9, seed=5)
    draws = np.random.default_rng(5).integers(4, size=(200, 4))
    areas = [
        roc_auc_score(
            np.concatenate([labels[i] for i in draw]), np.concatenate([scores[i] for i in draw])
        )
        for draw in draws
    ]
    np.testing.assert_allclose([found.low, found.high], np.quantile(areas, [0.05, 0.95]))
    assert found.samples == 200


def test_one_class_is_undefined_and_says_so():
    with pytest.raises(UndefinedMeasure, match="all 3 labelled frames are normal"):
        micro_auc(np.zeros(3), np.arange(3))
    with pytest.raises(UndefinedMeasure, match="anomalous"):
        equal_error_rate(np.ones(3), np.arange(3))
    with pytest.raises(UndefinedMeasure, match="no labelled frames"):
        micro_auc(np.zeros(0), np.zeros(0))
    with pytest.raises(UndefinedMeasure, match="two videos"):
        bootstrap([np.array([0, 1])], [np.array([0, 1])])
    with pytest.raises(UndefinedMeasure, match="no resample"):
        bootstrap([np.zeros(3)] * 2, [np.arange(3)] * 2)
    with pytest.raises(UndefinedMeasure, match="no labelled videos"):
        macro_auc([], [])


def test_wrong_input_is_refused():
    with pytest.raises(DataError, match="one label a scored frame"):
        micro_auc(np.array([0, 1, 1]), np.array([0.1, 0.2]))
    with pytest.raises(DataError, match="other than 0"):
        micro_auc(np.array([0, 1, 2]), np.array([0.1, 0.2, 0.3]))
    with pytest.raises(DataError, match="frame 1 is nan"):
        micro_auc(np.array([0, 1, 1]), np.array([0.1, np.nan, 0.2]))
