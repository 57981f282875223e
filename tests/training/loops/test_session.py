"""What all trainings share, and that looking at losses now and then changes no weight."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipeline.shards.reader import open_dataset
from training.__main__ import build_parser
from training.feed.clips import load_steps
from training.loops import autoencoder as loop
from training.loops.autoencoder import Losses, Position, train_autoencoder
from training.loops.plan import plan_training, prepare
from training.loops.session import Session, TrainingError
from training.networks.autoencoder import begin_normal, reconstruction_loss
from training.networks.build import build_autoencoder
from training.record.folder import RunFolder
from training.record.processes import Group
from training.settings.base import RunSettings

CPU = torch.device("cpu")
ALONE = Group(0, 1, CPU)
TRAINING = Path(__file__).parents[3] / "training"


def settings_of(preset, network, **changes):
    """Return the settings of a preset with the paper's method, on few small clips."""
    arguments = [
        *("autoencoder", "--network", network, "--shards", "x", "--out", "x"),
        *("--config", str(TRAINING / f"presets/{preset}.yaml")),
        *("--config", str(TRAINING / "methods/unified.yaml")),
        *("--architecture.channels", "[2,2,4,4]", "--max_clips", "6", "--batch", "3"),
        *("--size", "null"),
    ]
    for name, value in changes.items():
        arguments += [f"--{name}", str(value)]
    parser = build_parser(network)
    given = parser.instantiate(parser.parse_args(arguments)).autoencoder
    return loop.AutoencoderTraining(
        **{name: given[name] for name in loop.AutoencoderTraining.__dataclass_fields__}
    )


def plain_loop(shards, settings):
    """Return the weights by the few lines that define a training."""
    plan = plan_training(open_dataset(shards), settings, ALONE)
    torch.manual_seed(settings.seed)
    network = build_autoencoder(settings.architecture).train()
    if settings.initialisation == "normal":
        begin_normal(network)
    if settings.channels_last:
        network.to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    whole = {"rank": 0, "processes": 1, "workers": 0, "pin": False}
    for batch in load_steps(plan.clips, plan.schedule, 0, 0, **whole):
        clips, target, signs = prepare(batch, plan, CPU)
        output, penalty = network(clips, penalty=True)
        losses = reconstruction_loss(output, target) * signs
        optimizer.zero_grad()
        ((losses.sum() + penalty * len(losses)) * (1 / len(losses))).backward()
        optimizer.step()
    return network.state_dict()


PRESETS = sorted(path.stem for path in (TRAINING / "presets").glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("network", ["spatial", "temporal"])
def test_every_preset_trains_the_weights_of_the_plain_loop(shards, tmp_path, preset, network):
    settings = settings_of(preset, network, precision="fp32")
    train_autoencoder(shards, tmp_path, settings, RunSettings(workers=0))
    found, wanted = load_file(tmp_path / "weights.safetensors"), plain_loop(shards, settings)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("every", [2, 3, 100])
def test_looking_now_and_then_changes_neither_weights_nor_metrics(
    shards, small, tmp_path, monkeypatch, every
):
    run = RunSettings(workers=0, log_steps=every)
    train_autoencoder(shards, tmp_path / "each", small(), run)
    looks = []
    look = Losses.look
    monkeypatch.setattr(loop, "look_every", lambda device, run: run.log_steps)
    monkeypatch.setattr(Losses, "look", lambda *given: looks.append(1) or look(*given))
    train_autoencoder(shards, tmp_path / "seldom", small(), run)
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("each", "seldom"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    read = [
        [
            {key: value for key, value in yaml.safe_load(line).items() if key != "seconds"}
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("each", "seldom")
    ]
    assert len(looks) < read[0][-1]["step"]
    for here, there in zip(*read, strict=True):
        assert here.pop("type") == there.pop("type")
        assert here == pytest.approx(there, rel=1e-12)


def test_losses_are_added_by_kind_over_steps():
    losses, position = Losses(ALONE), Position()
    pseudo = torch.tensor([False, True, False])
    losses.add(torch.tensor([1.0, -8.0, 2.0]), pseudo)
    losses.add(torch.tensor([4.0, 16.0, 1.0]), pseudo)
    mean, stop, save = losses.look(position, True, False)
    assert (mean, stop, save) == (7.0, 1.0, 0.0)
    assert (position.normal_loss, position.normal) == (8.0, 4.0)
    assert (position.pseudo_loss, position.pseudo) == (8.0, 2.0)
    losses.add(torch.tensor([3.0]), torch.tensor([False]))
    assert losses.look(position) == (3.0,)
    assert position.normal_loss == 11.0


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_only_finite_losses_pass(tmp_path, loss):
    session = Session(RunFolder(tmp_path), {}, RunSettings(), ALONE, None, None, None)
    session.check_finite(-3.0, "epoch 1", "nothing")
    with pytest.raises(TrainingError, match=r"epoch 1, step 0.*checkpoint is kept.*less haste"):
        session.check_finite(loss, "epoch 1, step 0", "less haste")
