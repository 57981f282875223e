"""The folder: files that belong together load, all others are refused by name."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from pipeline.base.errors import ConfigurationError, DataError
from training.networks.autoencoder import AutoencoderSettings
from training.networks.build import build_autoencoder
from training.networks.discriminator import DiscriminatorSettings, build_discriminator
from training.record.folder import (
    RunFolder,
    check_weights,
    load_trained,
    read_recipe,
    read_tensors,
)

RECIPE = {
    "format": 1, "kind": "spatial", "key": "k", "settings": {"p": 0.4}, "data": {},
    "architecture": {
        "channels": [2, 2, 2, 2], "tanh": True,
        "memory": {"slots": 0, "shrinkage": 0.0, "entropy_weight": 0.0, "similarity": "dot"},
    },
}  # fmt: skip


def network():
    return build_autoencoder(AutoencoderSettings(channels=(2, 2, 2, 2)))


def state(**changes):
    given = {"recipe": RECIPE, "model": {}, "optimizer": {}, "position": {}, "generator": 1}
    return given | changes


@pytest.fixture
def finished(tmp_path):
    folder = RunFolder(tmp_path)
    folder.finish(network(), RECIPE, {"steps": 1})
    return folder


def test_what_is_finished_loads_as_it_was(tmp_path):
    model = network()
    RunFolder(tmp_path).finish(model, RECIPE, {"steps": 1})
    loaded, recipe = load_trained(tmp_path)
    clip = torch.rand(1, 3, 16, 16, 16)
    assert torch.equal(model.eval()(clip), loaded(clip))
    assert recipe["result"] == {"steps": 1}


def test_a_discriminator_loads_too(tmp_path):
    architecture = {"features": 3, "hidden": 2, "normalise": True}
    model = build_discriminator(DiscriminatorSettings(**architecture))
    recipe = RECIPE | {"kind": "discriminator", "architecture": architecture}
    RunFolder(tmp_path).finish(model, recipe, {})
    loaded, _ = load_trained(tmp_path)
    assert torch.equal(model(torch.ones(2, 3)), loaded(torch.ones(2, 3)))


def test_finishing_drops_the_checkpoint(tmp_path):
    folder = RunFolder(tmp_path)
    folder.save(state())
    folder.finish(network(), RECIPE, {})
    assert not folder.checkpoint.exists() and folder.finished(RECIPE)


def test_a_checkpoint_comes_back(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.load(RECIPE) is None
    folder.save(state(model={"w": torch.arange(3)}))
    folder.save(state(model={"w": torch.arange(4)}))
    assert folder.load(RECIPE)["model"]["w"].tolist() == [0, 1, 2, 3]
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_another_recipes_checkpoint_is_refused_with_the_difference(tmp_path):
    folder = RunFolder(tmp_path)
    folder.save(state())
    other = RECIPE | {"key": "l", "settings": {"p": 0.5}}
    with pytest.raises(ConfigurationError, match=r"settings\.p: 0\.4 there, 0\.5 asked for"):
        folder.load(other)


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_a_truncated_checkpoint_is_named(tmp_path, cut):
    folder = RunFolder(tmp_path)
    folder.save(state(model={"w": torch.zeros(1000)}))
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"checkpoint\.pt: is no checkpoint.*--overwrite"):
        folder.load(RECIPE)


class Evil:
    def __reduce__(self):
        return os.mkdir, (str(Path("/tmp/never-made-by-a-checkpoint")),)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    folder = RunFolder(tmp_path)
    torch.save(state(model=Evil()) | {"format": 1}, folder.checkpoint)
    with pytest.raises(DataError, match="is no checkpoint"):
        folder.load(RECIPE)
    folder.checkpoint.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError):
        folder.load(RECIPE)
    assert not Path("/tmp/never-made-by-a-checkpoint").exists()


@pytest.mark.parametrize("content", [[], {"format": 2}, {"format": 1, "model": {}}])
def test_what_is_no_checkpoint_of_ours_is_named(tmp_path, content):
    folder = RunFolder(tmp_path)
    torch.save(content, folder.checkpoint)
    with pytest.raises(DataError, match="not a checkpoint of this program"):
        folder.load(RECIPE)


def test_weights_and_recipe_belong_together(finished):
    other = RunFolder(finished.path / "other")
    other.finish(network(), RECIPE, {})
    finished.weights.write_bytes(other.weights.read_bytes())
    for use in (lambda: finished.finished(RECIPE), lambda: load_trained(finished.path)):
        with pytest.raises(DataError, match=r"weights\.safetensors: is not the file"):
            use()
    finished.weights.unlink()
    with pytest.raises(DataError, match=r"weights\.safetensors: is missing"):
        check_weights(finished.path, read_recipe(finished.path))


def test_weights_of_another_architecture_are_named(finished):
    recipe = json.loads(finished.recipe.read_text())
    recipe["architecture"]["channels"] = [4, 2, 2, 2]
    finished.recipe.write_text(json.dumps(recipe))
    with pytest.raises(DataError, match="checkpoint of another architecture"):
        load_trained(finished.path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 1}', "\x00\xff"])
def test_what_is_no_recipe_is_named(tmp_path, content):
    (tmp_path / "recipe.json").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=r"recipe\.json: .*--overwrite"):
        read_recipe(tmp_path)


def test_an_architecture_of_another_version_is_named(finished):
    recipe = json.loads(finished.recipe.read_text())
    recipe["architecture"] = {"depth": 4, "memory": {}}
    finished.recipe.write_text(json.dumps(recipe))
    with pytest.raises(DataError, match=r"recipe\.json: architecture"):
        load_trained(finished.path)


def test_a_folder_without_a_finished_training_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="nothing was trained to its end"):
        load_trained(tmp_path / "nothing")


@pytest.mark.parametrize("content", [b"", b"1234", b"\xff" * 100])
def test_what_is_no_safetensors_file_is_named(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"w\.safetensors"):
        read_tensors(tmp_path / "w.safetensors")


def test_metrics_beyond_the_checkpoint_are_dropped(tmp_path):
    folder = RunFolder(tmp_path)
    folder.keep_metrics(0)
    folder.metrics.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    folder.keep_metrics(2)
    assert folder.metrics.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_strays_of_a_killed_run_are_removed(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / ".checkpoint.pt.0123.tmp").write_text("half")
    with folder.claimed():
        assert [p.name for p in tmp_path.iterdir()] == [".lock"]


def test_clearing_removes_what_a_training_left_and_nothing_else(finished):
    (finished.path / "notes.txt").write_text("mine")
    finished.save(state())
    finished.snapshot(network(), 1)
    finished.clear()
    assert [p.name for p in finished.path.iterdir()] == ["notes.txt"]


def test_two_runs_do_not_share_a_folder(tmp_path):
    with (
        RunFolder(tmp_path).claimed(),
        pytest.raises(ConfigurationError, match="another process is training into this folder"),
        RunFolder(tmp_path).claimed(),
    ):
        pass
    with RunFolder(tmp_path).claimed():
        pass
