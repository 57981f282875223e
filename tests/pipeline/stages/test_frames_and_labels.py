from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.data.truth.truth import TruthFile, VideoTruth
from pipeline.data.video.video import Video
from pipeline.stages.base import Array, Job
from pipeline.stages.frames import Frames
from pipeline.stages.labels import Labels, resize_mask
from tests.pipeline.data.filmed import all_frames, masks_for, moving, write_images, write_video

LABELS = np.array([0] * 5 + [1] * 6 + [0] * 9, np.uint8)


def job(video: Video, frames: range) -> Job:
    return Job(video=video.name, frames=frames, source=video, truth=video)


def test_frames_are_the_peers_resize(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", moving(20))
    video = Video(name="train/a", split="train", path=path)
    stage = Frames(size=64)
    assert stage.arrays({}) == {"image": Array("uint8", (64, 64, 3))}
    shards = [stage.compute(job(video, frames))["image"] for frames in (range(8), range(8, 20))]
    brute = [cv2.resize(image, (64, 64)) for image in all_frames(path)]
    assert np.array_equal(np.concatenate(shards), brute)


def test_frames_of_their_own_size_are_not_touched(tmp_path: Path) -> None:
    images = moving(16, 64, 64)
    video = Video(name="train/a", split="train", path=write_images(tmp_path, images), images=True)
    for interpolation in ("linear", "area", "cubic", "nearest"):
        stage = Frames(size=64, interpolation=interpolation)
        assert np.array_equal(stage.compute(job(video, range(16)))["image"], images)


@pytest.mark.parametrize("settings", [{"size": 8}, {"size": 100}, {"interpolation": "lanczos"}])
def test_wrong_settings_of_frames(settings: dict) -> None:
    with pytest.raises(ConfigurationError, match=rf"frames\.{next(iter(settings))}"):
        Frames(**settings)
    with pytest.raises(ConfigurationError, match=r"labels\.size"):
        Labels(size=1)


def labelled(tmp_path: Path, pixels: bool) -> Video:
    np.save(tmp_path / "a.npy", LABELS)
    masks = write_images(tmp_path / "m", masks_for(LABELS) * np.uint8(255))
    truth = VideoTruth(
        TruthFile(format="npy", path=tmp_path / "a.npy"),
        TruthFile(format="mask_images", path=masks) if pixels else None,
    )
    folder = write_images(tmp_path / "v", moving(20))
    return Video(name="test/a", split="test", path=folder, images=True, source=truth)


def test_labels_with_and_without_pixels(tmp_path: Path) -> None:
    video = labelled(tmp_path, pixels=True)
    shards = [Labels(size=32).compute(job(video, frames)) for frames in (range(7), range(7, 20))]
    assert np.array_equal(np.concatenate([shard["label"] for shard in shards]), LABELS)
    masks = np.concatenate([shard["pixel_mask"] for shard in shards])
    assert masks.shape == (20, 32, 32)
    assert masks.dtype == np.uint8
    assert np.array_equal(masks.any((1, 2)), LABELS)
    assert set(np.unique(masks)) == {0, 1}
    assert set(Labels().compute(job(labelled(tmp_path, False), range(20)))) == {"label"}


def test_labels_need_labels(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "v", moving(20))
    video = Video(name="test/a", split="test", path=folder, images=True)
    with pytest.raises(DataError, match="test/a: has no labels"):
        Labels().compute(job(video, range(20)))


def test_masks_keep_their_area_and_never_vanish() -> None:
    rng = np.random.default_rng(0)
    large = np.zeros((240, 360), np.uint8)
    large[60:150, 40:200] = 1
    assert abs(resize_mask(large, 64).mean() - large.mean()) < 0.02
    for _ in range(20):
        dot = np.zeros((240, 360), np.uint8)
        dot[rng.integers(240), rng.integers(360)] = 1
        assert 1 <= resize_mask(dot, 32).sum() <= 4
    assert not resize_mask(np.zeros((240, 360), np.uint8), 32).any()
    assert resize_mask(np.ones((240, 360), np.uint8), 32).all()
