"""Settings: the defaults of docs/method.md, and every bad value named."""

import pytest

from pipeline.base.errors import ConfigurationError
from training.settings.base import AutoencoderTraining, DiscriminatorTraining, RunSettings


def test_defaults_are_the_papers():
    spatial = AutoencoderTraining(network="spatial")
    assert (spatial.p, spatial.batch, spatial.epochs, spatial.learning_rate, spatial.stride) == (
        0.4, 24, 25, 1e-4, 1,
    )  # fmt: skip
    d = DiscriminatorTraining()
    assert (d.learning_rate, d.momentum, d.weight_decay, d.batch, d.epochs, d.hidden) == (
        0.02, 0.9, 1e-3, 16, 20, 256,
    )  # fmt: skip


@pytest.mark.parametrize("name, value", [
    ("network", "audio"), ("seed", -1), ("size", 100), ("size", 0), ("display", "hsv"),
    ("stride", 0), ("pseudo_anomaly", "cutmix"), ("p", 1.5), ("p", -0.1), ("p", float("nan")),
    ("skip", ()), ("skip", (1, 2)), ("patch_side", 0), ("patch_move", -1), ("batch", 0),
    ("epochs", 0), ("max_clips", 0), ("learning_rate", 0), ("learning_rate", float("nan")),
    ("precision", "fp16"), ("block", 0), ("buffer", 0),
])  # fmt: skip
def test_bad_autoencoder_settings_are_named(name, value):
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        AutoencoderTraining(**({"network": "spatial"} | {name: value}))


@pytest.mark.parametrize("name, value", [
    ("hidden", 0), ("batch", 0), ("epochs", 0), ("learning_rate", -1), ("momentum", 1),
    ("weight_decay", -1), ("seed", 2**63),
])  # fmt: skip
def test_bad_discriminator_settings_are_named(name, value):
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        DiscriminatorTraining(**{name: value})


@pytest.mark.parametrize("name, value", [
    ("workers", -1), ("checkpoint_minutes", 0), ("max_minutes", 0), ("snapshots", 0),
    ("holdout_stride", 0), ("log_steps", 0), ("tracker", "excel"),
])  # fmt: skip
def test_bad_run_settings_are_named(name, value):
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        RunSettings(**{name: value})


def test_the_peers_pseudo_anomalies_are_for_frames():
    with pytest.raises(ConfigurationError, match="defined on frames"):
        AutoencoderTraining(network="temporal", pseudo_anomaly="patch", p=0.2)


@pytest.mark.parametrize("changes, stages", [
    ({"network": "spatial"}, ("frames", "inpaint")),
    ({"network": "temporal"}, ("flow", "mixed_flow")),
    ({"network": "spatial", "p": 0}, ("frames",)),
    ({"network": "temporal", "p": 0}, ("flow",)),
    ({"network": "spatial", "pseudo_anomaly": "patch"}, ("frames",)),
])  # fmt: skip
def test_only_the_stages_that_are_read_are_needed(changes, stages):
    assert AutoencoderTraining(**changes).stages == stages
