"""Patch and skip-frame against slow re-computations and the bounds of docs/method.md, 9."""

import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError, DataError
from training.feed.pseudo_anomalies import (
    add_patch,
    intruders_digest,
    load_intruders,
    patch_mask,
    skip_frames,
)


def slow_mask(cy, cx, height, width, shape):
    """The weight of each pixel from its distance beyond the box, one by one."""
    mask = np.zeros(shape)
    for y in range(shape[0]):
        for x in range(shape[1]):
            weights = []
            for at, middle, side in ((y, cy, height), (x, cx, width)):
                low, high, ramp = middle - side / 2, middle + side / 2, 0.1 * side / 2
                if at < low:
                    weights.append(max(0.0, (at - (low - ramp)) / ramp))
                elif at > high:
                    weights.append(max(0.0, (high + ramp - at) / ramp))
                else:
                    weights.append(1.0)
            mask[y, x] = weights[0] * weights[1]
    return mask


@pytest.mark.parametrize("box", [(20, 30, 12, 40), (0, 0, 30, 30), (39.5, 63.2, 55.5, 20)])
def test_mask_is_one_inside_and_falls_over_a_tenth_of_the_half_side(box):
    found = patch_mask(box[:2], box[2:], (40, 64))
    assert np.allclose(found, slow_mask(*box, (40, 64)), atol=1e-5)


def clip(height=64, width=64, gray=False):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 100, (16, height, width, 3), np.uint8)
    return np.repeat(image[..., :1], 3, -1) if gray else image


def white(side=32):
    return np.full((side, side, 3), 255, np.uint8)


def test_patch_changes_a_box_of_the_right_size_and_nothing_else():
    normal = clip(256, 256)
    for seed in range(20):
        mixed = add_patch(normal, white(), np.random.default_rng(seed))
        changed = (mixed != normal).any(-1)
        for frame in changed:
            rows, columns = np.flatnonzero(frame.any(1)), np.flatnonzero(frame.any(0))
            for found in (rows, columns):
                length = found.max() - found.min() + 1 if len(found) else 0
                assert length <= 0.5 * 256 * 1.1 + 1
            if len(rows):
                inside = mixed[0][changed[0]]
                assert (inside == 255).any()
    assert (normal == clip(256, 256)).all()


def test_patch_moves_at_most_ten_pixels_a_frame():
    normal = np.zeros((16, 256, 256, 3), np.uint8)
    moves = []
    for seed in range(30):
        mixed = add_patch(normal, white(), np.random.default_rng(seed), side=1e-6)
        where = [np.argwhere(frame[..., 0] == 255).mean(0) for frame in mixed if frame.any()]
        inner = [w for w in where if (w > 8).all() and (w < 247).all()]
        if len(inner) == 16:
            moves += list(np.abs(np.diff(inner, axis=0)).max(1))
    assert len(moves) > 100
    assert max(moves) <= 10.5 and max(moves) > 8


def test_pixel_measures_scale_with_the_frame():
    for size in (64, 128):
        mixed = add_patch(
            np.zeros((16, size, size, 3), np.uint8), white(), np.random.default_rng(3), side=1e-6
        )
        sides = [frame[..., 0].any(0).sum() for frame in mixed]
        assert max(sides) <= 10 * size / 256 * 1.1 + 1


def test_intruders_are_gray_in_gray_clips():
    intruder = np.zeros((8, 8, 3), np.uint8)
    intruder[..., 0] = 255
    gray = add_patch(clip(gray=True), intruder, np.random.default_rng(0))
    color = add_patch(clip(), intruder, np.random.default_rng(0))
    assert (gray == gray[..., :1]).all()
    assert not (color == color[..., :1]).all()


def test_patch_repeats_from_its_generator():
    one, two = (add_patch(clip(), white(), np.random.default_rng(5)) for _ in range(2))
    assert (one == two).all()


def test_skipped_frames_fit_where_they_can():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        start, picked = skip_frames(1000, int(rng.integers(985)), rng, (2, 3, 4, 5))
        steps = set(np.diff(picked).tolist())
        assert picked[0] == start and len(picked) == 16 and picked.max() < 1000
        assert start + 16 <= 1000
        assert len(steps) == 1 and steps <= {2, 3, 4, 5}


def test_a_video_too_short_is_clamped_to_its_last_frame():
    start, picked = skip_frames(16, 0, np.random.default_rng(0), (3,))
    assert start == 0
    assert picked.tolist() == [0, 3, 6, 9, 12] + [15] * 11


def test_shipped_samples_are_color_images_in_a_fixed_order():
    images = load_intruders("samples")
    assert len(images) == 13
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in images)
    assert intruders_digest(images) == intruders_digest(load_intruders("samples"))
    assert intruders_digest(images) != intruders_digest(images[::-1])


def test_cifar_records_are_decoded(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32, 3), np.uint8)
    record = bytes([3, 7]) + image.transpose(2, 0, 1).tobytes()
    (tmp_path / "train.bin").write_bytes(record * 2)
    found = load_intruders(str(tmp_path / "train.bin"))
    assert len(found) == 2 and (found[1] == image).all()


def test_folder_of_images_is_read_as_rgb(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 4, 3), (1, 2, 3), np.uint8))
    assert load_intruders(str(tmp_path))[0][0, 0].tolist() == [3, 2, 1]


def test_bad_intruders_are_named(tmp_path):
    with pytest.raises(ConfigurationError, match="no image"):
        load_intruders(str(tmp_path))
    with pytest.raises(ConfigurationError, match="not found"):
        load_intruders(str(tmp_path / "nothing"))
    (tmp_path / "half.bin").write_bytes(b"x" * 100)
    with pytest.raises(DataError, match="3074 bytes"):
        load_intruders(str(tmp_path / "half.bin"))
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.png"):
        load_intruders(str(tmp_path))
