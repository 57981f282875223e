import threading

import cv2
import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.models.flow import tvl1


def texture(height=120, width=150, seed=0):
    noise = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2)
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def moving_pair(amplitude=1.5):
    """Two frames and the flow between them, which makes the first out of the second."""
    second = texture()
    y, x = np.mgrid[: second.shape[0], : second.shape[1]].astype(np.float32)
    u = amplitude * np.sin(y / 25 + x / 40)
    v = amplitude * np.cos(x / 30).astype(np.float32)
    first = cv2.remap(second, x + u, y + v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return first, second, np.stack([u, v], axis=-1)


def static_pair():
    """Two frames of one still scene under sensor noise, with one small moving square."""
    rng = np.random.default_rng(1)
    frames = []
    for shift in (0, 2):
        image = texture().astype(np.float32)
        image[40:60, 50 + shift : 64 + shift] = texture(20, 14, seed=2)
        frames.append(np.clip(image + rng.normal(0, 1, image.shape), 0, 255).astype(np.uint8))
    return frames


def distance(a, b):
    return np.linalg.norm(a - b, axis=-1).mean()


@pytest.mark.parametrize("pair", [moving_pair()[:2], static_pair()], ids=["textured", "static"])
def test_agrees_with_opencv(pair):
    ours, theirs = tvl1.tvl1(*pair), tvl1.opencv_tvl1(*pair)
    assert ours.dtype == np.float32
    assert ours.shape == (*pair[0].shape, 2)
    assert distance(ours, theirs) <= 0.015


def test_as_near_to_the_truth_as_opencv():
    ours, theirs = 0.0, 0.0
    for amplitude in (0.5, 1, 1.5, 2):
        first, second, truth = moving_pair(amplitude)
        ours += distance(tvl1.tvl1(first, second), truth)
        theirs += distance(tvl1.opencv_tvl1(first, second), truth)
    assert ours / 4 < 0.1
    assert ours <= 1.01 * theirs


def test_fast_is_near_the_truth():
    first, second, truth = moving_pair()
    assert distance(tvl1.compute_flow(first, second, "fast"), truth) < 0.12


def test_a_shift_is_found_to_the_right_and_down():
    image = texture(160, 160)
    flow = tvl1.tvl1(image[10:130, 10:130], image[8:128, 13:133])
    assert np.median(flow[..., 0]) == pytest.approx(-3, abs=0.02)
    assert np.median(flow[..., 1]) == pytest.approx(2, abs=0.02)


def test_identical_images_do_not_move():
    image = texture()
    assert not tvl1.tvl1(image, image).any()


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (16, 200), (100, 33)])
def test_any_size_and_layout(shape):
    big, other = texture(120, 220), texture(120, 220, seed=3)
    a, b = big[: shape[0], : shape[1]], other[: shape[0], : shape[1]]
    flow = tvl1.tvl1(a, b)
    assert np.isfinite(flow).all()
    np.testing.assert_array_equal(flow, tvl1.tvl1(a.copy(), b.copy()))


def test_float_images_are_in_0_to_255_for_every_engine():
    first, second, _ = moving_pair()
    for engine in tvl1.ENGINES:
        flow = tvl1.compute_flow(first, second, engine)
        again = tvl1.compute_flow(first.astype(np.float32), second.astype(np.float32), engine)
        assert distance(flow, again) < 1e-3


def test_looking_ahead_changes_nothing(monkeypatch):
    pair = moving_pair()[:2]
    expected = tvl1.tvl1(*pair)
    solve = tvl1.solve
    calls = []

    def one_by_one(*arguments):
        calls.append(arguments[-1])
        return solve(*arguments[:-1], False)

    monkeypatch.setattr(tvl1, "solve", one_by_one)
    np.testing.assert_array_equal(tvl1.tvl1(*pair), expected)
    assert all(calls)


def test_a_level_that_went_too_far_is_solved_anew(monkeypatch):
    pair = moving_pair()[:2]
    expected = tvl1.tvl1(*pair)
    solve = tvl1.solve

    def too_far(*arguments):
        count = solve(*arguments)
        return -1 if arguments[-1] else count

    monkeypatch.setattr(tvl1, "solve", too_far)
    np.testing.assert_array_equal(tvl1.tvl1(*pair), expected)


def test_threads_do_not_disturb_each_other():
    pairs = [moving_pair(a)[:2] for a in (0.5, 1, 1.5, 2)]
    expected = [tvl1.tvl1(*pair) for pair in pairs]
    found = [[] for _ in pairs]

    def work(k):
        found[k] = [tvl1.tvl1(*pairs[k]) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(pairs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, flows in enumerate(found):
        assert len(flows) == 3
        for flow in flows:
            np.testing.assert_array_equal(flow, expected[k])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 3), np.uint8), "gray"),
        (np.zeros((20, 20)), np.zeros((20, 20)), "float64"),
        (np.zeros((20, 20), np.uint8), np.zeros((20, 21), np.uint8), "differ"),
        (np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.float32), "differ"),
        (np.zeros((15, 20), np.uint8), np.zeros((15, 20), np.uint8), "16"),
        (np.full((20, 20), np.nan, np.float32), np.zeros((20, 20), np.float32), "NaN"),
    ],
)
def test_bad_images_are_refused(first, second, message):
    for engine in tvl1.ENGINES:
        with pytest.raises(ValueError, match=message):
            tvl1.compute_flow(first, second, engine)


def test_an_unknown_engine_is_refused():
    image = texture(20, 20)
    with pytest.raises(ConfigurationError, match=r"flow\.engine: 'farneback'"):
        tvl1.compute_flow(image, image, "farneback")
