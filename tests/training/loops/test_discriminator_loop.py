"""D's training: against the same steps written out, resuming, what goes wrong."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import open_dataset
from tests.training.loops.test_loop import StopAt
from tests.training.toys import FEATURES, write_dataset
from training.loops import discriminator as discriminator_loop
from training.loops import session
from training.loops.discriminator import read_examples, train_discriminator
from training.loops.session import TrainingError
from training.networks.discriminator import DiscriminatorSettings, build_discriminator
from training.record.folder import load_trained
from training.settings.base import DiscriminatorTraining, RunSettings

SETTINGS = DiscriminatorTraining(epochs=3, hidden=4, batch=8)


def weights(folder):
    return load_file(folder / "weights.safetensors")


def lines(folder):
    return [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]


def test_examples_are_normal_and_inpainted_frames_of_these_videos(shards):
    dataset = open_dataset(shards)
    examples = read_examples(dataset, dataset.select("train", holdout=False))
    assert examples.labels.tolist() == [0.0] * 47 + [1.0] * 47
    for at, stage, video in [(0, "features", "train/01"), (73, "pa_features", "train/02")]:
        wanted = dataset.arrays(stage, video)["feature"][:]
        assert (examples.features[at : at + len(wanted)].numpy() == wanted).all()


def test_training_is_sgd_on_cross_entropy_written_out(shards, tmp_path):
    train_discriminator(shards, tmp_path, SETTINGS)
    dataset = open_dataset(shards)
    examples = read_examples(dataset, dataset.select("train", holdout=False))
    torch.manual_seed(0)
    model = build_discriminator(DiscriminatorSettings(features=FEATURES, hidden=4))
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    first = True
    for epoch in range(3):
        order = np.random.default_rng((1, 0, epoch)).permutation(94)
        for at in range(0, 94, 8):
            chosen = torch.from_numpy(order[at : at + 8])
            probability = torch.sigmoid(model(examples.features[chosen]))
            truth = examples.labels[chosen]
            loss = -(truth * probability.log() + (1 - truth) * (1 - probability).log()).mean()
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for p, v, g in zip(model.parameters(), velocity, gradients, strict=True):
                    v.mul_(0.0 if first else 0.9).add_(g + 1e-3 * p)
                    p.sub_(0.02 * v)
            first = False
    for name, value in weights(tmp_path).items():
        assert torch.allclose(value, model.state_dict()[name], atol=1e-5), name


def test_held_out_videos_are_measured(shards, tmp_path):
    train_discriminator(shards, tmp_path, SETTINGS)
    model, recipe = load_trained(tmp_path)
    dataset = open_dataset(shards)
    held = read_examples(dataset, dataset.select("train", holdout=True))
    with torch.no_grad():
        probability = torch.sigmoid(model(held.features)).numpy()
    auc = roc_auc_score(held.labels.numpy(), probability)
    assert recipe["result"]["holdout_auc"] == pytest.approx(auc)
    assert recipe["architecture"]["features"] == FEATURES
    assert [line["epoch"] for line in lines(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize("stop", [1, 2])
def test_an_interrupted_training_goes_on_bit_for_bit(shards, tmp_path, monkeypatch, stop):
    train_discriminator(shards, tmp_path / "whole", SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr(session, "Stopper", lambda minutes: _Stops(stop))
        with pytest.raises(KeyboardInterrupt):
            train_discriminator(shards, tmp_path / "parts", SETTINGS)
    train_discriminator(shards, tmp_path / "parts", SETTINGS, resume=True)
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert len(lines(tmp_path / "parts")) == 3


class _Stops(StopAt):
    """Wants to stop from the given epoch on, however often it is asked."""

    def __init__(self, epoch):
        super().__init__(epoch)

    @property
    def wanted(self):
        self.left -= 1
        return self.left <= 0


def test_a_finished_training_is_not_repeated(shards, tmp_path, capsys):
    train_discriminator(shards, tmp_path, SETTINGS)
    train_discriminator(shards, tmp_path, SETTINGS)
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match=r"settings\.hidden: 4 there, 5 asked for"):
        train_discriminator(shards, tmp_path, DiscriminatorTraining(epochs=3, hidden=5, batch=8))


def test_missing_features_name_what_makes_them(tmp_path):
    path = write_dataset(tmp_path, {"train/01": 20}, stages=("frames", "features"))
    with pytest.raises(ConfigurationError, match=r"make toy\.pa_features"):
        train_discriminator(path, tmp_path / "out", SETTINGS)


def test_features_that_are_no_numbers_are_named(tmp_path, monkeypatch):
    path = write_dataset(tmp_path, {"train/01": 20}, nan_features=True)
    with pytest.raises(DataError, match="features of train/01, frame 3"):
        train_discriminator(path, tmp_path / "out", SETTINGS)


def test_a_loss_that_is_no_number_stops_the_training(shards, tmp_path):
    with pytest.raises(TrainingError, match="learning_rate"):
        train_discriminator(
            shards, tmp_path, DiscriminatorTraining(learning_rate=1e38, normalise=False)
        )


def test_several_processes_are_refused(shards, tmp_path, monkeypatch):
    from contextlib import nullcontext

    from training.record.processes import Group

    two = nullcontext(Group(0, 2, torch.device("cpu")))
    monkeypatch.setattr(discriminator_loop, "join_processes", lambda device: two)
    with pytest.raises(ConfigurationError, match="one process"):
        train_discriminator(shards, tmp_path, SETTINGS, RunSettings())
