"""Windows around holes against brute force over pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.inpainting.holes import Windowing, hole_box, inpaint, ladder


def paint(colour):
    """A run that fills whole windows with one colour and notes what it was given."""
    calls = []

    def run(images, masks, seeds):
        calls.append((images.copy(), masks.copy(), list(seeds)))
        return np.full_like(images, colour)

    return run, calls


def box_masks(size, *boxes):
    masks = np.zeros((len(boxes), size, size), np.uint8)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 1
    return masks


def frames(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    top=st.integers(0, 90),
    left=st.integers(0, 90),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    margin=st.integers(0, 40),
    grid=st.sampled_from([8, 16, 32]),
)
def test_a_window_holds_hole_and_margin(top, left, height, width, margin, grid):
    size = 96
    (mask,) = box_masks(size, (top, left, top + height, left + width))
    window = Windowing(margin=margin, grid=grid).place(mask)
    assert window.side == window.run
    assert window.side % grid == 0
    assert 0 <= window.top <= size - window.side
    assert 0 <= window.left <= size - window.side
    assert window.cut(mask).sum() == mask.sum()
    for first, last, start in (
        (top, min(top + height, size), window.top),
        (left, min(left + width, size), window.left),
    ):
        # The margin is there, or the frame's edge is.
        assert start <= max(first - margin, 0) or window.side == size
        assert start + window.side >= min(last + margin, size) or window.side == size
    smaller = [side for side in ladder(grid, size) if side < window.side]
    assert all(
        side < max(min(height, size - top), min(width, size - left)) + 2 * margin
        for side in smaller
    )


def test_full_is_the_whole_frame():
    run, calls = paint(7)
    images, masks = frames(3, 48), box_masks(48, (1, 2, 9, 9), (40, 40, 48, 48), (0, 0, 48, 48))
    result = inpaint(images, masks, [5, 6, 7], run, Windowing(window="full", batch=2))
    assert [len(call[0]) for call in calls] == [2, 1]
    assert np.array_equal(np.concatenate([call[0] for call in calls]), images)
    assert [seed for call in calls for seed in call[2]] == [5, 6, 7]
    assert (result[masks == 1] == 7).all()
    assert np.array_equal(result[masks == 0], images[masks == 0])


def test_windows_of_one_size_share_batches_across_frames():
    run, calls = paint(0)
    boxes = [(10, 10, 15, 15), (100, 90, 140, 128), (60, 60, 66, 63), (0, 0, 5, 4)]
    masks = box_masks(256, *boxes)
    inpaint(frames(4, 256), masks, [0, 1, 2, 3], run, Windowing(margin=16, batch=8))
    assert [(call[0].shape[1], call[2]) for call in calls] == [(48, [0, 2, 3]), (96, [1])]
    for images, masks_given, _ in calls:
        assert masks_given.any(axis=(1, 2)).all()
        assert images.shape[:3] == masks_given.shape


def test_only_the_hole_is_changed():
    run, _ = paint(200)
    rng = np.random.default_rng(1)
    masks = np.zeros((5, 64, 64), np.uint8)
    for mask in masks:
        top, left = rng.integers(0, 50, 2)
        mask[top : top + 13, left : left + 9] = rng.random((13, 9)) < 0.5
        mask[top, left] = 1
    images = frames(5, 64)
    before = images.copy()
    result = inpaint(images, masks, range(5), run, Windowing(margin=3, grid=8))
    assert np.array_equal(images, before)
    assert np.array_equal(result[masks == 0], images[masks == 0])
    assert (result[masks == 1] == 200).all()


def test_a_window_as_large_as_the_frame_is_the_full_frame():
    full, hole = (
        Windowing(window=window, margin=30).place(box_masks(64, (20, 20, 40, 40))[0])
        for window in ("full", "hole")
    )
    assert full == hole


@pytest.mark.parametrize(
    ("resolution", "run", "side"), [(512, 128, 64), (128, 32, 64), (0, 64, 64)]
)
def test_windows_are_scaled_as_the_frame_is(resolution, run, side):
    seen, calls = paint(3)
    masks = box_masks(256, (100, 100, 120, 130))
    windowing = Windowing(margin=16, resolution=resolution, grid=16)
    window = windowing.place(masks[0])
    assert (window.run, window.side) == (run, side)
    images = np.full((1, 256, 256, 3), 90, np.uint8)
    result = inpaint(images, masks, [1], seen, windowing)
    assert calls[0][0].shape == (1, run, run, 3)
    assert (calls[0][0] == 90).all()
    assert (result[masks == 1] == 3).all()
    assert (result[masks == 0] == 90).all()


def test_a_thin_hole_survives_a_smaller_resolution():
    run, calls = paint(1)
    masks = box_masks(64, (30, 5, 31, 60))
    inpaint(frames(1, 64), masks, [0], run, Windowing(resolution=16, window="full"))
    assert calls[0][1].sum() >= 14


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"window": "half"}, "window"),
        ({"margin": -1}, "margin"),
        ({"batch": 0}, "batch"),
        ({"resolution": -8}, "resolution"),
    ],
)
def test_wrong_settings_are_named(kwargs, name):
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        Windowing(**kwargs)


def test_a_resolution_off_the_grid_is_named_with_its_neighbours():
    (mask,) = box_masks(100, (1, 1, 5, 5))
    with pytest.raises(ConfigurationError, match=r"100 px .* grid of 16 px; set 96 or 112"):
        Windowing().place(mask)


def test_bad_masks_are_named():
    with pytest.raises(DataError, match="all 0"):
        hole_box(np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"\(16, 32\).*square"):
        Windowing().place(np.ones((16, 32), np.uint8))
