"""The peers' own schedule: gray, whole batches alone, MemAE's beginning; and old recipes' keys."""

import cv2
import numpy as np
import pytest
import torch

from evaluation.indicators.reconstruction import SharedErrors, WindowErrors, shower
from evaluation.indicators.settings import Scoring
from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import open_dataset
from tests.training.toys import write_dataset
from training.feed.order import Schedule
from training.feed.reading import to_network
from training.loops.autoencoder import train_autoencoder
from training.networks.autoencoder import AutoencoderSettings, begin_normal
from training.networks.build import build_autoencoder
from training.record.folder import load_trained
from training.record.recipe import make_recipe
from training.settings.base import AutoencoderTraining, RunSettings

GRAY = AutoencoderSettings(channels=(2, 2, 4, 4), channels_in=1)


def test_gray_is_opencvs_but_for_its_rounding():
    frames = np.random.default_rng(1).integers(0, 256, (1, 2, 16, 16, 3), np.uint8)
    found = (to_network(torch.from_numpy(frames), channels=1) + 1) * 127.5
    wanted = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames[0]])
    assert found.shape == (1, 1, 2, 16, 16)
    assert np.abs(found[0, 0].numpy() - wanted).max() <= 0.51


def test_an_epoch_of_whole_batches_leaves_out_the_rest():
    frames = (26, 21)  # 11 + 6 clips
    every = Schedule(frames, 1, 4, 3, 0)
    whole = Schedule(frames, 1, 4, 3, 0, drop_last=True)
    assert [len(step) for step in every.epoch(0)] == [4, 4, 3, 3, 3]
    assert [len(step) for step in whole.epoch(0)] == [4, 4, 4, 4]
    assert np.array_equal(np.concatenate(whole.epoch(0)), np.concatenate(every.epoch(0))[:16])
    # Ped2's 16 training videos, 2 550 frames: LNTRA's steps of 60 epochs (docs/method.md, 6).
    ped2 = (120, 150, 150, 180, 180, 150, 150, 120, 180, 180, 180, 180, 150, 150, 120, 180)
    assert (sum(ped2) - 15 * len(ped2)) // 4 == Schedule(ped2, 1, 4, 60, 0, drop_last=True).steps(0)


def test_memaes_beginning_is_normal():
    torch.manual_seed(3)
    network = build_autoencoder(AutoencoderSettings(channels=(32, 32, 64, 64)))
    bias = network.encoder[0].bias.clone()
    begin_normal(network)
    weight = network.encoder[3].weight
    assert weight.mean().abs() < 1e-3
    assert weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert network.encoder[1].weight.mean().item() == pytest.approx(1, abs=0.02)
    assert not network.encoder[1].bias.any()
    assert torch.equal(network.encoder[0].bias, bias)


def test_a_gray_network_trains_loads_and_scores_frames_in_one_channel(shards, small, tmp_path):
    settings = small(epochs=1, architecture=GRAY, drop_last=True, initialisation="normal", size=32)
    train_autoencoder(shards, tmp_path, settings, RunSettings(workers=0))
    network, recipe = load_trained(tmp_path)
    assert recipe["architecture"]["channels_in"] == 1
    show = shower(channels=1)
    frames = np.random.default_rng(2).integers(0, 256, (20, 32, 32, 3), np.uint8)
    scoring = Scoring(batch=3, stride=1)
    streams = SharedErrors(network, scoring, show), WindowErrors(network, scoring, "frame", show)
    first, second = (
        np.concatenate([part.values for part in (one.push(frames), one.finish())])
        for one in streams
    )
    np.testing.assert_allclose(first, second, rtol=1e-4)


def test_gray_is_for_frames_and_the_plain_engine(small):
    with pytest.raises(ConfigurationError, match="channels_in: 1"):
        small(network="temporal", architecture=GRAY)
    with pytest.raises(ConfigurationError, match="channels_in: 1"):
        build_autoencoder(AutoencoderSettings(channels=(32, 32, 32, 32), channels_in=1), "fast")
    with pytest.raises(ConfigurationError, match="channels_in: 2"):
        AutoencoderSettings(channels_in=2)


def test_a_training_from_before_there_were_these_settings_has_the_key_it_had(tmp_path):
    dataset = open_dataset(write_dataset(tmp_path, {"train/01": 20}))
    settings = AutoencoderTraining(network="spatial")
    videos = list(dataset.videos)
    recipe = make_recipe(
        "spatial", settings, settings.architecture, dataset, settings.stages, videos, []
    )
    assert recipe["key"] == "71c9a01176a6e8de"
