"""The parts of TV-L1: each against OpenCV, a formula or a plain version of itself."""

import cv2
import numpy as np
import pytest

from pipeline.models.flow import median, tvl1
from pipeline.models.flow.kernels import AHEAD, iterations_ahead, sweep
from pipeline.models.flow.layout import (
    FIRST,
    GX,
    PLANES,
    SECOND,
    SECOND_X,
    SECOND_Y,
    C,
    Level,
    M,
    U,
    V,
)
from pipeline.models.flow.warp import IOTA, gradients, warp
from pipeline.models.simd import lanes


def filled_level(height, width, seed=0):
    """A workspace whose images and flow are random, and the flow."""
    level, rng = Level(height, width), np.random.default_rng(seed)
    work = np.zeros(level.plane * PLANES + 64, np.float32)
    for plane in (FIRST, SECOND):
        level.view(work, plane)[:] = rng.uniform(0, 255, (height, width))
    flow = rng.normal(0, 2, (2, height, width)).astype(np.float32)
    flow[:, : height // 2] *= 0.01
    flow[0, 0, 0], flow[1, -1, -1], flow[0, 3, 3] = -1e6, 1e6, 40
    level.view(work, U)[:], level.view(work, V)[:] = flow
    return level, work, flow


def test_going_too_far_is_noticed():
    level, work, _ = filled_level(40, 50)
    gradients(work, *level.geometry)
    # So large an epsilon that the first error is below it, once AHEAD is expected.
    args = (*level.geometry, level.tails, IOTA)
    assert tvl1.solve(work, *args, 1, 1, 30, 1e9, True) == 1
    assert [iterations_ahead(np.float32(e), 3) for e in (1, 1.5, 1.6, 2.4, 3.7, 99)] == [
        1,
        1,
        2,
        3,
        4,
        AHEAD,
    ]
    assert iterations_ahead(np.float32(6), 1) == 1


def test_several_iterations_in_one_pass_are_several_passes():
    works = []
    for counts in ([1] * 7, [3, 4], [2, 2, 3]):
        level, work, _ = filled_level(37, 50)
        level.view(work, U)[:] = level.view(work, V)[:] = 0
        gradients(work, *level.geometry)
        warp(work, *level.geometry, IOTA)
        errors, sums = np.zeros(AHEAD, np.float32), np.zeros(AHEAD * lanes.WIDTH, np.float32)
        for count in counts:
            sweep(work, *level.geometry, level.tails, sums, errors, count)
        works.append((level.view(work, U).copy(), level.view(work, V).copy()))
    np.testing.assert_array_equal(works[0], works[1])
    np.testing.assert_array_equal(works[0], works[2])
    assert np.abs(works[0]).max() > 0.1


def test_gradients_are_centred_differences():
    level, work, _ = filled_level(20, 37)
    gradients(work, *level.geometry)
    padded = np.pad(level.view(work, SECOND), 1, mode="edge")
    x = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    y = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    np.testing.assert_array_equal(level.view(work, SECOND_X), x)
    np.testing.assert_array_equal(level.view(work, SECOND_Y), y)


def test_warp_is_opencvs_remap():
    height, width = 40, 53
    level, work, (u, v) = filled_level(height, width)
    gradients(work, *level.geometry)
    warp(work, *level.geometry, IOTA)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    image, gx, gy = (
        cv2.remap(level.view(work, k).copy(), x + u, y + v, cv2.INTER_CUBIC)
        for k in (SECOND, SECOND_X, SECOND_Y)
    )
    norm = np.hypot(gx, gy)
    np.testing.assert_allclose(level.view(work, M), 0.15 * 0.3 * norm, atol=1e-3)
    np.testing.assert_allclose(level.view(work, GX) * norm, gx, atol=1e-2)
    constant = image - level.view(work, FIRST) - gx * u - gy * v
    flowing = (np.abs(u) < 100) & (np.abs(v) < 100) & (norm > 0)
    np.testing.assert_allclose((level.view(work, C) * norm)[flowing], constant[flowing], atol=0.05)
    assert not level.view(work, M)[0, 0]


@pytest.mark.parametrize("shape", [(16, 16), (17, 33), (40, 47)])
def test_median_is_opencvs(shape):
    image = np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)
    padded = np.zeros((shape[0] + 6, 96), np.float32)
    padded[3:-3, 32 : 32 + shape[1]] = image
    for rows in (1, 2):
        padded[3 - rows], padded[-4 + rows] = padded[3], padded[-4]
        padded[:, 32 - rows] = padded[:, 32]
        padded[:, 31 + shape[1] + rows] = padded[:, 31 + shape[1]]
    size = padded.size
    work = np.concatenate([padded.ravel(), np.zeros(size + 96 * median.SCRATCH_ROWS + 96)])
    work = work.astype(np.float32)
    for y in range(0, shape[0], 2):
        row = (y + 3) * 96 + 32
        both = y + 1 < shape[0]
        median.median_rows(work, row, size + row, 2 * size + 32, 96, shape[1], both)
    found = work[size : 2 * size].reshape(padded.shape)[3:-3, 32 : 32 + shape[1]]
    np.testing.assert_array_equal(found, cv2.medianBlur(image, 5))


@pytest.mark.parametrize("count", range(1, 9))
def test_networks_sort(count):
    pairs, wires = median.sorting(count)
    for bits in range(1 << count):  # the zero-one principle
        values = [bits >> k & 1 for k in range(count)]
        for low, high in pairs:
            values[low], values[high] = sorted((values[low], values[high]))
        assert [values[wire] for wire in wires] == sorted(values)


def test_core_of_window_finds_the_middle_six_of_twenty():
    pairs, wires = median.core_of_window()
    for a in range(9):
        for b in range(9):
            for c in range(5):  # the zero-one principle, for sorted groups
                values = [0] * (8 - a) + [1] * a + [0] * (8 - b) + [1] * b + [0] * (4 - c) + [1] * c
                expected = sorted(values)[7:13]
                for low, high in pairs:
                    values[low], values[high] = sorted((values[low], values[high]))
                assert [values[wire] for wire in wires] == expected
