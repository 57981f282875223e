"""Shared by the tests of training: one small data set, and settings that train in a second."""

from __future__ import annotations

import pytest

from tests.training.toys import write_dataset
from training.networks.autoencoder import AutoencoderSettings
from training.settings.base import AutoencoderTraining


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """Return shards.json of two training videos, a held-out one and a test video."""
    return write_dataset(
        tmp_path_factory.mktemp("shards"),
        {"train/01": 26, "train/02": 21, "train/03": 20, "test/01": 17},
        holdout=("train/03",),
    )


@pytest.fixture
def small():
    """Return a function that makes settings of a tiny network."""

    def make(**changes):
        given = {
            "network": "spatial",
            "size": 16,
            "batch": 4,
            "epochs": 3,
            "stride": 2,
            "p": 0.5,
            "architecture": AutoencoderSettings(channels=(2, 2, 2, 2)),
        }
        return AutoencoderTraining(**(given | changes))

    return make
