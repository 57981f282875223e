"""The loop: resuming by comparing weights, the loss by hand, the peers, what goes wrong."""

import json
import os
import signal
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import open_dataset
from tests.training.loops.test_plan import one_batch
from tests.training.toys import write_dataset
from training.loops import autoencoder as loop
from training.loops import session
from training.loops.autoencoder import train_autoencoder
from training.loops.plan import prepare
from training.loops.session import TrainingError
from training.networks.autoencoder import AutoencoderSettings
from training.networks.build import build_autoencoder
from training.networks.memory import MemorySettings
from training.record.folder import load_trained
from training.record.processes import Group
from training.settings.base import RunSettings

INLINE = RunSettings(workers=0, log_steps=1)


def weights(folder):
    return load_file(Path(folder) / "weights.safetensors")


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def lines(folder):
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]


def values(folder):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines(folder)]


class StopAt:
    """Stands for Stopper: asks to stop after so many steps."""

    signalled = True

    def __init__(self, step):
        self.left = step

    def __call__(self, max_minutes):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    @property
    def wanted(self):
        self.left -= 1
        return self.left == 0


@pytest.mark.parametrize("network", ["spatial", "temporal"])
def test_a_training_leaves_weights_recipe_and_metrics(shards, small, tmp_path, network):
    settings = small(network=network)
    train_autoencoder(shards, tmp_path, settings, RunSettings(log_steps=1))
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [".lock", "metrics.jsonl", "recipe.json", "weights.safetensors"]
    model, recipe = load_trained(tmp_path)
    assert recipe["kind"] == network
    assert recipe["data"]["shards"] == {s: f"key-of-{s}" for s in settings.stages}
    assert recipe["data"]["videos"] == ["train/01", "train/02"]
    assert recipe["data"]["holdout"] == ["train/03"]
    assert ("flow_scale" in recipe["data"]) == (network == "temporal")
    assert not model.training
    epochs = [line for line in lines(tmp_path) if line["type"] == "epoch"]
    steps = [line for line in lines(tmp_path) if line["type"] == "step"]
    assert [line["epoch"] for line in epochs] == [0, 1, 2]
    assert len(steps) == epochs[-1]["step"] == recipe["result"]["steps"]
    assert all(np.isfinite([e["loss"], e["pseudo_loss"], e["holdout_loss"]]).all() for e in epochs)


def test_the_held_out_loss_is_that_of_the_weights(shards, small, tmp_path):
    train_autoencoder(shards, tmp_path, small(), INLINE)
    model, recipe = load_trained(tmp_path)
    image = open_dataset(shards).arrays("frames", "train/03")["image"]
    import cv2

    frames = [cv2.resize(f, (16, 16), interpolation=cv2.INTER_AREA) for f in image[0:16]]
    clip = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.no_grad():
        wanted = float(((model(clip) - clip) ** 2).sum() / (16 * 3 * 16 * 16))
    assert recipe["result"]["holdout_loss"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_an_interrupted_training_goes_on_bit_for_bit(shards, small, tmp_path, monkeypatch, stop):
    train_autoencoder(shards, tmp_path / "whole", small(), INLINE)
    with monkeypatch.context() as patch:
        patch.setattr(session, "Stopper", StopAt(stop))
        with pytest.raises(KeyboardInterrupt):
            train_autoencoder(shards, tmp_path / "parts", small(), INLINE)
    assert (tmp_path / "parts/checkpoint.pt").exists()
    assert not (tmp_path / "parts/weights.safetensors").exists()
    torch.manual_seed(99)  # whatever else the process did must not matter
    train_autoencoder(shards, tmp_path / "parts", small(), INLINE, resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert values(tmp_path / "whole") == values(tmp_path / "parts")


def test_a_killed_training_goes_on_from_its_last_checkpoint(shards, small, tmp_path, monkeypatch):
    train_autoencoder(shards, tmp_path / "whole", small(), INLINE)

    say = loop._say

    class Killed(BaseException):
        pass

    def die(mean, step, *others):
        if step.epoch == 1 and step.number == 1:
            raise Killed
        return say(mean, step, *others)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_say", die)
        with pytest.raises(Killed):
            train_autoencoder(shards, tmp_path / "parts", small(), INLINE)
    train_autoencoder(shards, tmp_path / "parts", small(), INLINE)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert values(tmp_path / "whole") == values(tmp_path / "parts")


def test_a_signal_stops_with_a_checkpoint(shards, small, tmp_path, monkeypatch):
    say = loop._say

    def signal_once(mean, step, *others):
        if step.number == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return say(mean, step, *others)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_say", signal_once)
        with pytest.raises(KeyboardInterrupt):
            train_autoencoder(shards, tmp_path, small(epochs=100), INLINE)
    assert (tmp_path / "checkpoint.pt").exists()


def test_max_minutes_stops_without_changing_the_weights(shards, small, tmp_path):
    train_autoencoder(shards, tmp_path / "whole", small(), INLINE)
    short = RunSettings(workers=0, log_steps=1, max_minutes=1e-9)
    stops = 0
    while not (tmp_path / "parts/recipe.json").exists():
        try:
            train_autoencoder(shards, tmp_path / "parts", small(), short)
        except KeyboardInterrupt:
            stops += 1
    assert stops == lines(tmp_path / "whole")[-1]["step"] - 1
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_weights_depend_on_the_seed_and_not_on_workers(shards, small, tmp_path):
    train_autoencoder(shards, tmp_path / "a", small(), INLINE)
    train_autoencoder(shards, tmp_path / "b", small(), RunSettings(workers=2))
    train_autoencoder(shards, tmp_path / "c", small(seed=1), INLINE)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_a_finished_training_is_not_repeated(shards, small, tmp_path, capsys):
    train_autoencoder(shards, tmp_path, small(), INLINE)
    before = (tmp_path / "weights.safetensors").stat()
    train_autoencoder(shards, tmp_path, small(), RunSettings(workers=0, log_steps=5))
    assert "trained already, with these settings; nothing to do" in capsys.readouterr().out
    assert (tmp_path / "weights.safetensors").stat().st_ino == before.st_ino


def test_another_recipe_is_refused_and_the_difference_named(shards, small, tmp_path):
    train_autoencoder(shards, tmp_path, small(), INLINE)
    with pytest.raises(ConfigurationError, match=r"settings\.p: 0\.5 there, 0\.25 asked for"):
        train_autoencoder(shards, tmp_path, small(p=0.25), INLINE)
    train_autoencoder(shards, tmp_path, small(p=0.25), INLINE, overwrite=True)
    assert load_trained(tmp_path)[1]["settings"]["p"] == 0.25


def test_a_checkpoint_of_another_recipe_is_refused(shards, small, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(session, "Stopper", StopAt(2))
        with pytest.raises(KeyboardInterrupt):
            train_autoencoder(shards, tmp_path, small(), INLINE)
    wide = small(architecture=AutoencoderSettings(channels=(4, 4, 4, 4)))
    with pytest.raises(ConfigurationError, match=r"checkpoint\.pt: was made with other settings"):
        train_autoencoder(shards, tmp_path, wide, INLINE)


def test_resume_without_a_checkpoint_is_an_error(shards, small, tmp_path):
    with pytest.raises(ConfigurationError, match="no checkpoint to resume from"):
        train_autoencoder(shards, tmp_path, small(), INLINE, resume=True)


def test_a_missing_stage_names_what_makes_it(small, tmp_path):
    path = write_dataset(tmp_path, {"train/01": 20}, stages=("frames",))
    with pytest.raises(ConfigurationError, match=r"make toy\.inpaint"):
        train_autoencoder(path, tmp_path / "out", small(), INLINE)
    train_autoencoder(path, tmp_path / "out", small(p=0, epochs=1), INLINE)


def test_a_loss_that_is_no_number_stops_the_training(shards, small, tmp_path):
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf).*learning_rate"):
        train_autoencoder(shards, tmp_path, small(learning_rate=1e30), INLINE)
    assert not (tmp_path / "recipe.json").exists()


def test_the_fast_engine_is_for_one_process(shards, small, tmp_path, monkeypatch):
    two = nullcontext(Group(0, 2, torch.device("cpu")))
    monkeypatch.setattr(loop, "join_processes", lambda device: two)
    with pytest.raises(ConfigurationError, match="one process's clips"):
        train_autoencoder(shards, tmp_path, small(), RunSettings(engine="fast"))


def test_damaged_shards_are_named(small, tmp_path):
    path = write_dataset(tmp_path, {"train/01": 20})
    (tmp_path / "frames/train/01/00000.h5").write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"frames/train/01/00000\.h5"):
        train_autoencoder(path, tmp_path / "out", small(), INLINE)


def test_snapshots_are_kept_and_the_last_is_the_result(shards, small, tmp_path):
    train_autoencoder(shards, tmp_path, small(epochs=4), RunSettings(workers=0, snapshots=2))
    assert sorted(p.name for p in (tmp_path / "epochs").iterdir()) == [
        "00002.safetensors", "00004.safetensors",
    ]  # fmt: skip
    last = load_file(tmp_path / "epochs/00004.safetensors")
    assert same(weights(tmp_path), last)


def test_without_held_out_videos_that_loss_is_none(small, tmp_path):
    path = write_dataset(tmp_path, {"train/01": 20})
    train_autoencoder(path, tmp_path / "out", small(epochs=1), INLINE)
    assert lines(tmp_path / "out")[-1]["holdout_loss"] is None


@pytest.mark.parametrize("changes", [
    {"pseudo_anomaly": "patch"},
    {"pseudo_anomaly": "skip-frame"},
    {"pseudo_anomaly": "skip-frame", "negative": True},
    {"p": 0, "architecture": AutoencoderSettings(
        channels=(2, 2, 2, 2), tanh=False, memory=MemorySettings(slots=5))},
    {"precision": "bf16", "channels_last": True},
])  # fmt: skip
def test_every_peer_trains_in_the_same_loop(shards, small, tmp_path, changes):
    train_autoencoder(shards, tmp_path, small(epochs=1, **changes), INLINE)
    assert np.isfinite(lines(tmp_path)[-1]["loss"])


@pytest.mark.parametrize("negative", [False, True])
def test_one_step_is_the_equations(shards, small, tmp_path, negative):
    """Equations 4 and 5 and Adam, written out for the first step."""
    settings = small(
        epochs=1, max_clips=4, pseudo_anomaly="skip-frame", negative=negative, learning_rate=0.01
    )
    train_autoencoder(shards, tmp_path, settings, INLINE)
    batch, plan = one_batch(shards, settings)
    torch.manual_seed(settings.seed)
    model = build_autoencoder(settings.architecture)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    clips, target, _ = prepare(batch, plan, torch.device("cpu"))
    output = model(clips)
    loss = 0.0
    for k in range(4):
        error = ((output[k] - target[k]) ** 2).sum() / (16 * 3 * 16 * 16)
        loss = loss + (-error if negative and batch.pseudo[k] else error) / 4
    loss.backward()
    assert lines(tmp_path)[0]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    trained = weights(tmp_path)
    for name, p in model.named_parameters():
        # Adam's first step: m / sqrt(v) is g / |g|.
        wanted = start[name] - 0.01 * p.grad / (p.grad.abs() + 1e-8)
        clear = p.grad.abs() > 1e-5
        assert torch.allclose(trained[name][clear], wanted[clear], atol=1e-4), name
