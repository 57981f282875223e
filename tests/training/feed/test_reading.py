"""Reading: the right frames, the last flow once more, area means, the network's range."""

import json

import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import open_dataset
from tests.training.toys import write_dataset
from training.feed import reading
from training.feed.flow_display import show_flow
from training.feed.reading import area_resize, flow_scale, read_flow, read_frames, to_network


def test_frames_cross_shards(shards):
    dataset = open_dataset(shards)
    whole = dataset.arrays("frames", "train/01")["image"][:]
    assert (read_frames(dataset, "train/01", 7, 23) == whole[7:23]).all()
    pa = read_frames(dataset, "train/01", 7, 23, stage="inpaint")
    assert (pa == dataset.arrays("inpaint", "train/01")["image"][7:23]).all()


def test_the_last_flow_is_repeated_once_and_only_at_the_end(shards):
    dataset = open_dataset(shards)
    whole = dataset.arrays("flow", "train/01")["flow"][:].astype(np.float32)
    assert len(whole) == 25
    last = read_flow(dataset, "train/01", 10, 26)
    assert last.shape[0] == 16 and last.dtype == np.float32
    assert (last[:15] == whole[10:]).all() and (last[15] == whole[24]).all()
    assert (read_flow(dataset, "train/01", 9, 25) == whole[9:25]).all()
    assert (read_flow(dataset, "train/01", 25, 26)[0] == whole[24]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_shrinking_takes_means_of_areas(dtype):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 32, 32, 2)).astype(dtype)
    small = area_resize(frames, 16)
    means = frames.reshape(3, 16, 2, 16, 2, 2).mean((2, 4))
    assert small.dtype == dtype
    assert np.abs(small - means).max() <= (0.5 if dtype == np.uint8 else 1e-4)


def test_size_null_and_own_size_change_nothing():
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    assert area_resize(frames, None) is frames
    assert area_resize(frames, 32) is frames


def test_enlarging_is_refused():
    with pytest.raises(ConfigurationError, match="size: 64: the shards hold frames of 32x32 px"):
        area_resize(np.zeros((2, 32, 32, 3), np.uint8), 64)


def test_frames_become_clips_in_minus_one_to_one():
    stored = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, 16, 4, 6, 3)
    clips = to_network(stored)
    assert clips.shape == (2, 3, 16, 4, 6) and clips.dtype == torch.float32
    assert torch.allclose(clips[0, :, 3, 2, 1], torch.tensor([-1.0, -0.6, 1.0]))


def test_flow_becomes_clips_by_its_display():
    flow = torch.randn(2, 16, 4, 6, 2, generator=torch.Generator().manual_seed(0))
    clips = to_network(flow, 3.0, "color")
    alone = show_flow(flow[1, 5, 2, 3], 3.0, "color")  # SIMD lanes round otherwise
    assert torch.allclose(clips[1, :, 5, 2, 3], alone, atol=1e-6)


def with_scale(path, scale):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"settings": {"flow_scale": scale}}))
    return open_dataset(path)


def test_flow_scale_comes_from_the_manifest(shards, tmp_path):
    assert flow_scale(open_dataset(shards)) == 2.0
    path = write_dataset(tmp_path, {"train/01": 16}, stages=("flow",))
    for wrong in (0, -1.0, "fast"):
        with pytest.raises(ConfigurationError, match="flow_scale is"):
            flow_scale(with_scale(path, wrong))


def test_without_one_in_the_manifest_the_scale_is_measured(tmp_path, monkeypatch):
    videos = {"train/01": 30, "train/02": 18, "train/03": 40, "test/01": 20}
    holdout = ("train/03",)
    path = write_dataset(tmp_path, videos, stages=("flow",), holdout=holdout, flow_scale=None)
    dataset = open_dataset(path)
    flow = np.concatenate(
        [dataset.arrays("flow", name)["flow"][:] for name in ("train/01", "train/02")]
    ).astype(np.float32)
    speeds = sorted(np.quantile(np.hypot(u, v), 0.999) for u, v in flow.transpose(0, 3, 1, 2))
    place = 0.99 * (len(speeds) - 1)
    low = int(place)
    wanted = 2.5 * (speeds[low] + (place - low) * (speeds[low + 1] - speeds[low]))
    assert flow_scale(dataset) == flow_scale(with_scale(path, None)) == round(wanted, 1)
    monkeypatch.setattr(reading, "SAMPLED_FLOWS", 7)
    assert abs(flow_scale(dataset) - wanted) < 0.1 * wanted
    monkeypatch.setattr(reading, "LEAST_SCALE", 99.0)
    assert flow_scale(dataset) == 99.0
