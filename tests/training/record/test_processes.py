"""Several processes: what they learn together equals what one learns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipeline.base.errors import ConfigurationError
from training.loops.autoencoder import train_autoencoder
from training.record.processes import GlobalBatchNorm3d, globally_normalised, join_processes
from training.settings.base import RunSettings

ROOT = Path(__file__).parents[3]


def test_one_process_is_alone():
    with join_processes("cpu") as group:
        model = nn.Linear(2, 2)
        assert group.first and group.processes == 1
        assert group.share(model) is model
        assert group.sums([1.5, 2.0]) == [1.5, 2.0]
        group.wait()


@pytest.mark.parametrize("device", ["tpu", "mps", "cuda" if not torch.cuda.is_available() else "x"])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(ConfigurationError, match=f"device: '{device}'"), join_processes(device):
        pass


def test_replacing_batch_norm_keeps_names_and_parameters():
    model = nn.Sequential(nn.Conv3d(3, 2, 1), nn.Sequential(nn.BatchNorm3d(2)))
    before = {name: value.data_ptr() for name, value in model.state_dict().items()}
    model = globally_normalised(model)
    assert isinstance(model[1][0], GlobalBatchNorm3d)
    assert {name: value.data_ptr() for name, value in model.state_dict().items()} == before


def test_global_batch_norm_is_batch_norm(monkeypatch):
    """On one process, forward, backward and running statistics equal PyTorch's own."""
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: None)
    torch.manual_seed(0)
    ours, theirs = GlobalBatchNorm3d(3), nn.BatchNorm3d(3)
    for layer in (ours, theirs):
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    for _ in range(3):
        x = torch.randn(2, 3, 4, 5, 6) * 3 + 7
        weight = torch.randn_like(x)
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [layer(i) for layer, i in zip((ours, theirs), inputs, strict=True)]
        for output in outputs:
            (output * weight).sum().backward()
        assert torch.allclose(*outputs, atol=1e-5)
        assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=1e-5)
    for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert torch.allclose(a.float(), b.float(), rtol=1e-5)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-5)


def torchrun(shards, out, *arguments):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "training", "autoencoder", "--network", "spatial", "--size", "16", "--batch", "4",
        "--epochs", "3", "--stride", "2", "--p", "0.5", "--architecture.channels", "[2,2,2,2]",
        "--workers", "0", "--log_steps", "1", "--device", "cpu", "--shards", str(shards),
        "--out", str(out), *arguments,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(out.parent)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


def losses(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(x)["loss"] for x in lines]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_and_resume(shards, small, tmp_path):
    train_autoencoder(shards, tmp_path / "one", small(), RunSettings(workers=0, log_steps=1))
    stopped = torchrun(shards, tmp_path / "two", "--max_minutes", "0.000001")
    assert stopped.returncode != 0
    assert (tmp_path / "two/checkpoint.pt").exists(), stopped.stderr
    done = torchrun(shards, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    # Adam turns a gradient that is rounding noise into a whole step of either sign. That is what
    # the biases before BatchNorm get, whose true gradient is 0, and running means follow them.
    steps, rate = len(list((tmp_path / "one/metrics.jsonl").open())), small().learning_rate
    for name, value in one.items():
        free = name.endswith(("bias", "running_mean"))
        assert torch.allclose(value, two[name], rtol=1e-3, atol=steps * rate if free else 2e-5), (
            name
        )
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    recipe = json.loads((tmp_path / "two/recipe.json").read_text())
    assert recipe["result"]["processes"] == 2
    assert recipe["key"] == json.loads((tmp_path / "one/recipe.json").read_text())["key"]
