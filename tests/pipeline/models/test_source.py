"""Models are named by commit or by digest; what is missing is named with its remedy."""

import hashlib
import json

import huggingface_hub.constants
import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.models import source
from pipeline.models.source import ModelUse, check_name, identity, locate, model_table, resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = f"some/model@{COMMIT}"


def use(name, setting="features.model"):
    return ModelUse(setting, name, "a CLIP model")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty Hugging Face cache, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def download(name):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(source, "_download", download)
    return tmp_path / "hub/models--some--model/snapshots" / COMMIT


@pytest.mark.parametrize("name", ["", " ", "some/model@main", f"some/model@{COMMIT[:12]}", "a/b@"])
def test_names_that_mean_nothing_lasting(name):
    with pytest.raises(ConfigurationError, match=r"features\.model"):
        check_name(use(name))


@pytest.mark.parametrize("name", [NAME, "/a/b.pth", "weights/clip", "~/x@home/y.pth", "b.pth"])
def test_good_names(name):
    check_name(use(name))


def test_missing_repository_names_commit_place_and_setting(hub):
    with pytest.raises(ConfigurationError) as caught:
        resolve(use(NAME))
    message = str(caught.value)
    for part in ("features.model", "some/model", COMMIT, "a CLIP model", str(hub.parents[2])):
        assert part in message
    assert f"hf download some/model --revision {COMMIT}" in message
    assert "\n" not in message


def test_offline_is_one_error_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigurationError, match=r"features\.model.*hf download"):
        resolve(use(NAME))


def test_repository_in_the_cache(hub):
    hub.mkdir(parents=True)
    assert locate(use(NAME)) is None
    (hub / "config.json").write_text("{}")
    assert locate(use(NAME)) is None, "a configuration without weights is no model"
    (hub / "model.safetensors").write_bytes(b"x")
    assert resolve(use(NAME)) == hub
    assert identity(use(NAME), lambda path: "never called") == NAME


def test_repository_without_weights(hub, monkeypatch):
    monkeypatch.setattr(source, "_download", lambda name: None)
    with pytest.raises(ConfigurationError, match="no weights"):
        resolve(use(NAME))


def test_an_interrupted_download_is_not_complete(hub):
    hub.mkdir(parents=True)
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (hub / "config.json").write_text("{}")
    (hub / "model.safetensors.index.json").write_text(json.dumps(index))
    (hub / "model-1.safetensors").touch()
    assert locate(use(NAME)) is None
    (hub / "model-2.safetensors").touch()
    assert locate(use(NAME)) == hub


def test_a_pipeline_with_a_part_missing_is_not_complete(hub):
    hub.mkdir(parents=True)
    parts = {"_class_name": "X", "unet": ["diffusers", "U"], "vae": ["diffusers", "V"]}
    parts |= {"scheduler": ["diffusers", "S"], "safety_checker": [None, None]}
    (hub / "model_index.json").write_text(json.dumps(parts))
    for part, config in (("unet", "config"), ("scheduler", "scheduler_config"), ("vae", "config")):
        (hub / part).mkdir()
        (hub / part / f"{config}.json").touch()
    (hub / "unet/model.safetensors").touch()
    assert locate(use(NAME)) is None
    (hub / "vae/model.safetensors").touch()
    assert locate(use(NAME)) == hub


def test_paths(tmp_path, hub):
    with pytest.raises(ConfigurationError, match=r"nope\.pth is not there; put a CLIP model"):
        resolve(use(str(tmp_path / "nope.pth")))
    with pytest.raises(ConfigurationError, match="named with its commit, some/model@<40"):
        resolve(use("some/model"))
    file = tmp_path / "a.pth"
    file.write_bytes(b"abc")
    expected = hashlib.sha256(b"abc").hexdigest()
    assert source.digest_of(file) == expected
    assert identity(use(str(file)), source.digest_of) == f"sha256:{expected}"


def test_a_folders_digest_is_of_names_and_contents(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub/a").write_bytes(b"1")
        (folder / "b").write_bytes(b"2")
    assert source.digest_of(one) == source.digest_of(two)
    (two / ".cache/huggingface").mkdir(parents=True)
    (two / ".cache/huggingface/b.metadata").write_text("downloaded today")
    assert source.digest_of(one) == source.digest_of(two)
    (two / "b").rename(two / "c")
    assert source.digest_of(one) != source.digest_of(two)


class Stage:
    """A stage with models, as far as the table sees it."""

    def __init__(self, *names):
        self.names = names

    def models(self):
        return [use(name) for name in self.names]


def test_required_models_are_named_all_at_once(tmp_path, hub):
    file = tmp_path / "a.pth"
    file.write_bytes(b"abc")
    source.require([Stage(str(file)), Stage()])
    with pytest.raises(ConfigurationError) as caught:
        source.require([Stage("one.pth", str(file)), Stage(), Stage("two.pth", NAME)])
    for part in ("one.pth is not there", "two.pth is not there", "hf download some/model"):
        assert part in str(caught.value)


def test_table(tmp_path, hub):
    file = tmp_path / "a.pth"
    file.write_bytes(b"abc")
    rows = model_table([Stage(str(file), NAME), Stage(), Stage("gone.pth", "some/model@main")])
    assert [row.present for row in rows] == [True, False, False, False]
    assert rows[0].version == hashlib.sha256(b"abc").hexdigest()
    assert rows[0].bytes == 3
    assert "hf download" in rows[1].remedy
    assert "put a CLIP model there" in rows[2].remedy
    assert "40 hexadecimal" in rows[3].remedy
