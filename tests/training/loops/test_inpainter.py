"""Training of the inpainter: resuming, what is learnt, and what is written."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.inpainting.latent import LatentInpaintingPipeline
from tests.training.toys import write_dataset
from training.loops.inpainter import learning_rate, train_inpainter
from training.settings.base import RunSettings
from training.settings.inpainter import InpainterArchitecture, InpainterTraining

CPU = torch.device("cpu")
SMALL = InpainterTraining(
    vq_steps=6,
    unet_steps=6,
    batch=4,
    side=16,
    large_side=32,
    architecture=InpainterArchitecture(vq_channels=(16, 32, 48), codes=32, unet_channels=(32, 32)),
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    videos = {"train/01": 20, "train/02": 18, "train/03": 16}
    folder = tmp_path_factory.mktemp("toy")
    return write_dataset(folder, videos, holdout=("train/03",), size=32, stages=("frames",))


def weights(folder):
    pipe = LatentInpaintingPipeline.from_pretrained(folder)
    return {**pipe.vqvae.state_dict(), **{"u." + k: v for k, v in pipe.unet.state_dict().items()}}


def test_trains_and_writes_a_pipeline(shards, tmp_path):
    model = train_inpainter(shards, tmp_path / "out", SMALL, RunSettings(log_steps=1))
    pipe = LatentInpaintingPipeline.from_pretrained(model)
    pipe.set_progress_bar_config(disable=True)
    images = np.zeros((1, 32, 32, 3), np.uint8)
    masks = np.ones((1, 32, 32), np.uint8)
    filled = pipe(images, masks, num_inference_steps=2).images
    assert filled.shape == images.shape
    recipe = json.loads((tmp_path / "out" / "recipe.json").read_text())
    assert recipe["kind"] == "inpainter"
    assert recipe["data"]["videos"] == ["train/01", "train/02"]
    assert math.isfinite(recipe["result"]["holdout_loss"])
    lines = [json.loads(li) for li in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert [line["phase"] for line in lines] == ["vq"] * 6 + ["unet"] * 6
    stored = {t.dtype for f in model.rglob("*.safetensors") for t in load(f).values()}
    assert stored == {torch.float16}


def load(path):
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.parametrize("stop", [1, 2, 3, 6, 9])
def test_resumes_bit_for_bit(shards, tmp_path, stop, monkeypatch):
    """Stopped before, at and after the codes are taken and the UNet begins."""
    whole = train_inpainter(shards, tmp_path / "whole", SMALL)
    asked = {"steps": 0}

    class StopAfter:
        signalled = True

        def __init__(self, minutes=None):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            pass

        @property
        def wanted(self):
            asked["steps"] += 1
            return asked["steps"] >= stop

    with monkeypatch.context() as patch:
        patch.setattr("training.loops.session.Stopper", StopAfter)
        with pytest.raises(KeyboardInterrupt):
            train_inpainter(shards, tmp_path / "parts", SMALL)
    assert (tmp_path / "parts" / "checkpoint.pt").is_file()
    torch.manual_seed(99)
    parts = train_inpainter(shards, tmp_path / "parts", SMALL, resume=True)
    assert not (tmp_path / "parts" / "checkpoint.pt").exists()
    wanted, found = weights(whole), weights(parts)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_another_training_in_the_folder_is_refused(shards, tmp_path, capsys):
    out = tmp_path / "out"
    train_inpainter(shards, out, SMALL)
    train_inpainter(shards, out, SMALL)
    assert "nothing to do" in capsys.readouterr().out
    other = dataclasses.replace(SMALL, seed=1)
    with pytest.raises(ConfigurationError, match=r"settings\.seed: 0 there, 1 asked for"):
        train_inpainter(shards, out, other)
    with pytest.raises(ConfigurationError, match="no checkpoint to resume"):
        train_inpainter(shards, tmp_path / "new", SMALL, resume=True)
    (out / "model" / "unet" / "config.json").write_text("{}")
    with pytest.raises(DataError, match="--overwrite"):
        train_inpainter(shards, out, SMALL)
    train_inpainter(shards, out, other, overwrite=True)


def test_begins_with_other_weights(shards, tmp_path):
    first = train_inpainter(shards, tmp_path / "first", dataclasses.replace(SMALL, weights="fp32"))
    still = dataclasses.replace(
        SMALL, start=str(first), vq_steps=0, unet_steps=1, unet_learning_rate=1e-12, weights="fp32"
    )
    second = train_inpainter(shards, tmp_path / "second", still)
    before, after = weights(first), weights(second)
    assert all(torch.allclose(after[name], before[name], atol=1e-6) for name in before)
    assert "start_sha256" in json.loads((tmp_path / "second/recipe.json").read_text())["data"]
    other = InpainterArchitecture(vq_channels=(16, 32, 48), codes=32, unet_channels=(32, 64))
    for change, message in (
        ({"start": str(tmp_path / "none")}, "start: .*none is not there"),
        ({"start": str(tmp_path)}, "start: .*vqvae.* is not there"),
        ({"architecture": other}, "start: .* of another architecture"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            train_inpainter(shards, tmp_path / "third", dataclasses.replace(still, **change))
    with pytest.raises(ConfigurationError, match="vq_steps: 0"):
        dataclasses.replace(SMALL, vq_steps=0)


def test_reuse_is_not_for_inpainters(shards, tmp_path):
    with pytest.raises(ConfigurationError, match=r"reuse: .*an inpainter takes start"):
        train_inpainter(shards, tmp_path, SMALL, RunSettings(reuse="elsewhere"))


def test_frames_smaller_than_crops_are_named(shards, tmp_path):
    large = dataclasses.replace(SMALL, side=64, large_side=64)
    with pytest.raises(ConfigurationError, match="64 px do not fit frames of 32x32"):
        train_inpainter(shards, tmp_path / "out", large)


@pytest.mark.parametrize(
    "change",
    [
        {"vq_steps": 0},
        {"side": 20},
        {"large_share": 1.5},
        {"ema": 1.0},
        {"unet_learning_rate": 0.0},
        {"precision": "int8"},
        {"weights": "fp8"},
        {"seed": -1},
    ],
)
def test_wrong_settings_are_named(change):
    (name,) = change
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        dataclasses.replace(SMALL, **change)
    with pytest.raises(ConfigurationError, match="unet_channels"):
        InpainterArchitecture(unet_channels=(30, 64))


def test_the_learning_rate_rises_and_falls():
    settings = dataclasses.replace(SMALL, vq_steps=100, unet_steps=200, warmup=0.1)
    rates = [learning_rate(settings, step) for step in range(300)]
    assert rates[9] == rates[10] == settings.vq_learning_rate
    assert max(rates[100:]) == settings.unet_learning_rate
    assert rates[99] < 0.05 * settings.vq_learning_rate
    assert rates[299] < 0.05 * settings.unet_learning_rate
    assert rates[100] < 0.1 * settings.unet_learning_rate


def test_the_command_line(shards, tmp_path):
    command = [sys.executable, "-m", "training", "inpainter", "--shards", shards]
    command += ["--out", tmp_path / "out", "--vq_steps", "2", "--unet_steps", "2", "--batch", "2"]
    command += ["--side", "16", "--large_side", "32", "--architecture.vq_channels", "[16,32,48]"]
    command += ["--architecture.unet_channels", "[32,32]"]
    root = Path(__file__).parents[3]
    subprocess.run([str(c) for c in command], check=True, cwd=root, capture_output=True)
    assert (tmp_path / "out" / "model" / "model_index.json").is_file()
