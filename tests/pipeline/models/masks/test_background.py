"""Walkers before a still camera are found, each frame's mask whatever was asked before it."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.masks import background

PED2 = Path(__file__).parents[4].parent / "shared/data/ped2"


def scene(frames=60, noise=3.0, light=0.15, seed=0):
    """Textured ground, two walkers crossing it, sensor noise and slowly changing light."""
    rng = np.random.default_rng(seed)
    ground = rng.normal(120, 25, (96, 96, 1)) + rng.normal(0, 5, (96, 96, 3))
    images, truth = [], []
    for number in range(frames):
        image = ground.copy()
        mask = np.zeros((96, 96), np.uint8)
        left = 5 + number
        mask[20:44, left : left + 9] = 1
        mask[60:84, 80 - left : 89 - left] = 2
        image[mask == 1] = (200, 60, 40)
        image[mask == 2] = (30, 30, 35)
        image *= 1 + light * np.sin(number / frames * 3)
        image += rng.normal(0, noise, image.shape)
        images.append(np.clip(image, 0, 255).astype(np.uint8))
        truth.append(mask)
    return np.stack(images), np.stack(truth)


def overlap(one, other):
    return np.sum(one & other) / np.sum(one | other)


def test_walkers_are_found():
    images, truth = scene()
    still = background.background_image(images[background.sample_frames(range(60), 30)])
    for number in (0, 20, 50):
        mask = background.foreground(images[number], still, 18.0)
        labels, count = background.components(mask, 0.001)
        assert count == 2
        for walker in (1, 2):
            best = max(overlap(labels == label, truth[number] == walker) for label in (1, 2))
            assert best > 0.75  # a border of half a pixel is 0.1 of a walker


def test_the_background_holds_no_walker():
    images, _ = scene(light=0.0)
    empty, _ = scene(frames=1, noise=0.0, seed=0)
    still = background.background_image(images)
    ground = empty[0].astype(np.float32)
    clear = np.ones((96, 96), bool)
    clear[20:44, 5:14] = clear[60:84, 75:84] = False  # the walkers of the only frame
    assert np.abs(still - ground)[clear].mean() < 3


def test_nothing_moves():
    empty = np.broadcast_to(np.uint8(90), (20, 64, 64, 3))
    still = background.background_image(empty)
    assert not background.foreground(empty[0], still, 18.0).any()
    brighter = np.full((64, 64, 3), 110, np.uint8)
    assert not background.foreground(brighter, still, 18.0).any(), "light is no object"


def test_components_largest_first_and_capped():
    mask = np.zeros((64, 64), np.uint8)
    mask[:4, :4] = mask[10:30, 10:30] = mask[40:50, 40:50] = 1
    mask[60, 60] = 1
    labels, count = background.components(mask, 10 / 64**2)
    assert count == 3
    assert labels[20, 20] == 1
    assert labels[45, 45] == 2
    assert labels[0, 0] == 3
    assert labels[60, 60] == 0
    dots = np.zeros((64, 64), np.uint8)
    dots[::2, ::2] = 1
    labels, count = background.components(dots, 0.0)
    assert count == 1024
    assert len(np.unique(labels)) == 256
    assert background.components(np.zeros((8, 8), np.uint8), 0.1)[1] == 0


@given(st.integers(1, 50_000), st.integers(16, 10_000))
def test_spans_cover_the_video_once(frames, span):
    cut = background.spans(frames, span)
    assert [f for part in cut for f in (part.start, part.stop)] == sorted(
        f for part in cut for f in (part.start, part.stop)
    )
    assert cut[0].start == 0
    assert cut[-1].stop == frames
    assert all(a.stop == b.start for a, b in itertools.pairwise(cut))
    assert max(map(len, cut)) <= max(2 * span, frames // len(cut) + 1)


@given(st.integers(0, 1000), st.integers(1, 5000), st.integers(1, 200))
def test_samples_are_distinct_and_spread(start, length, samples):
    numbers = background.sample_frames(range(start, start + length), samples)
    assert len(set(numbers)) == len(numbers) == min(samples, length)
    assert numbers[0] == start
    assert numbers[-1] in (start + length - 1, start)
    assert numbers == sorted(numbers)


@pytest.mark.skipif(not PED2.exists(), reason="the real Ped2 is not here")
def test_ped2_walkers():
    import cv2

    capture = cv2.VideoCapture(str(PED2 / "train/01.mp4"))
    images = []
    while True:
        there, image = capture.read()
        if not there:
            break
        images.append(cv2.resize(image, (256, 256)))
    still = background.background_image(images)
    counts, areas = [], []
    for image in images[::10]:
        labels, count = background.components(background.foreground(image, still, 18.0), 0.0005)
        counts.append(count)
        areas += list(np.bincount(labels.ravel())[1:] / labels.size)
    assert min(counts) >= 5  # a crowded plaza: walkers in every frame
    assert 0.001 < np.median(areas) < 0.01
