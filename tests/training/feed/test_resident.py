"""A data set on the device: the clips of the loader, and the weights of a training without it."""

import pytest
import torch
from safetensors.torch import load_file

from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import open_dataset
from training.feed import resident
from training.feed.clips import load_steps
from training.loops.autoencoder import train_autoencoder
from training.loops.plan import plan_training
from training.record.processes import Group
from training.settings.base import RunSettings

CPU = torch.device("cpu")
KINDS = [
    {},
    {"size": None},
    {"p": 0},
    {"network": "temporal"},
    {"network": "temporal", "size": None, "stride": 1},
    {"pseudo_anomaly": "skip-frame"},
    {"pseudo_anomaly": "skip-frame", "negative": True},
]


def plan_of(shards, settings):
    return plan_training(open_dataset(shards), settings, Group(0, 1, CPU))


@pytest.mark.parametrize("changes", KINDS)
@pytest.mark.parametrize(("rank", "processes"), [(0, 1), (1, 2)])
def test_what_is_picked_is_what_is_read(shards, small, changes, rank, processes):
    plan = plan_of(shards, small(**changes))
    place = (plan.clips, plan.schedule, 0, 1)
    read = load_steps(*place, rank=rank, processes=processes, workers=0, pin=False)
    picked = resident.resident_steps(*place, rank=rank, processes=processes, device=CPU)
    some = False
    for one, two in zip(read, picked, strict=True):
        assert (one.step.clips == two.step.clips).all()
        assert torch.equal(one.target.float(), two.target.float())
        assert torch.equal(one.pseudo, two.pseudo)
        assert torch.equal(one.replaced.float(), two.replaced.float())
        some |= bool(one.pseudo.any())
    assert some == (plan.settings.p > 0)


@pytest.mark.parametrize("changes", [{}, {"network": "temporal", "size": None}])
def test_the_weights_do_not_depend_on_it(shards, small, tmp_path, changes):
    for kept in ("on", "off"):
        run = RunSettings(workers=0, resident=kept)
        train_autoencoder(shards, tmp_path / kept, small(epochs=2, **changes), run)
    one, two = (load_file(tmp_path / kept / "weights.safetensors") for kept in ("on", "off"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_it_is_kept_where_it_fits_into_half_of_what_a_gpu_has_free(shards, small, monkeypatch):
    clips = plan_of(shards, small()).clips
    frames = sum(video.frames for video in clips.videos)
    assert resident.bytes_needed(clips) == 2 * frames * 16 * 16 * 3  # frames and inpainted ones
    gpu = torch.device("cuda")
    for free, kept in ((4 * frames * 16 * 16 * 3, True), (4 * frames * 16 * 16 * 3 - 2, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 0))
        assert resident.is_resident("auto", clips, gpu) == kept
    assert not resident.is_resident("auto", clips, CPU)


def test_patches_are_read(shards, small):
    clips = plan_of(shards, small(pseudo_anomaly="patch")).clips
    assert not resident.is_resident("auto", clips, torch.device("cuda"))
    with pytest.raises(ConfigurationError, match="resident: on"):
        resident.is_resident("on", clips, CPU)
