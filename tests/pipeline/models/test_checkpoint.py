"""Checkpoints are read without running them: what holds code is refused, nothing executes."""

import argparse
import collections
import datetime
import os
import pathlib
import struct
import sys
import types
import typing
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.checkpoint import Skipped, load_tensors, tensors_only

ZIP = pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])


class CallsSystem:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class CallsEval(CallsSystem):
    def __reduce__(self):
        return eval, (f"__import__('os').system({self.command!r})",)


class CallsOwn(CallsSystem):
    def __reduce__(self):
        return os.path.join, ("a", "b")


class SetsState:
    def __init__(self):
        self.marker = "x"

    def __setstate__(self, state):
        raise AssertionError("the checkpoint's own class was used")


@pytest.fixture
def yacs(monkeypatch):
    """A module like the one whose class ViFi-CLIP's configuration is an instance of."""

    class CfgNode(dict):
        def __init__(self, *entries):
            super().__init__(*entries)
            self.__dict__["__immutable__"] = False

    CfgNode.__module__, CfgNode.__qualname__ = "yacs.config", "CfgNode"
    config = types.ModuleType("yacs.config")
    config.CfgNode = CfgNode
    monkeypatch.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", config)
    return CfgNode


@ZIP
def test_tensors_come_back_and_the_config_is_read_without_its_class(
    tmp_path, yacs, monkeypatch, new_format
):
    weights = {"module.a": torch.randn(3, 4), "module.b": torch.arange(5).half()}
    config = yacs({"MODEL": yacs({"ARCH": "ViT-B/16"}), "LIST": [1, 2]})
    path = tmp_path / "k400.pth"
    torch.save(
        {"model": weights, "config": config, "epoch": 9}, path,
        _use_new_zipfile_serialization=new_format,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "yacs.config", None)  # as where yacs is not installed
    content = load_tensors(path)
    assert content["epoch"] == 9
    assert type(content["config"]) is collections.OrderedDict
    for name, value in weights.items():
        assert torch.equal(content["model"][name], value)


def test_data_that_is_no_tensor_is_skipped(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save(
        {
            "model": {"w": torch.ones(2)},
            "accuracy": np.float64(3.5),
            "history": np.arange(4),
            "arguments": argparse.Namespace(lr=1.0),
            "more": types.SimpleNamespace(a=1),
            "where": pathlib.PurePosixPath("/x"),
            "counts": collections.defaultdict(list),
            "when": datetime.datetime(2024, 1, 1),
            "callback": SetsState(),
        },
        path,
    )
    content = load_tensors(path)
    assert torch.equal(content["model"]["w"], torch.ones(2))
    assert isinstance(content["accuracy"], Skipped)


@ZIP
@pytest.mark.parametrize("attack", [CallsSystem, CallsEval, CallsOwn])
def test_code_is_refused_and_not_run(tmp_path, attack, new_format):
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    torch.save(
        {"model": {"w": torch.ones(1)}, "config": attack(f"touch {marker}")}, path,
        _use_new_zipfile_serialization=new_format,
    )  # fmt: skip
    with pytest.raises(DataError, match=r"evil\.pth: refused.*calls"):
        load_tensors(path)
    assert not marker.exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
@ZIP
def test_truncated(tmp_path, share, new_format):
    path = tmp_path / "short.pth"
    torch.save({"model": {"w": torch.ones(1000)}}, path, _use_new_zipfile_serialization=new_format)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match="truncated or of another kind"):
        load_tensors(path)


@pytest.mark.parametrize("content", [b"", b"hello " * 99, b"\x80\x02}q", bytes(range(256)) * 4])
def test_no_checkpoint_at_all(tmp_path, content):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.pth"):
        load_tensors(path)


def test_wrong_kinds(tmp_path):
    path = tmp_path / "x.pth"
    torch.save([torch.ones(1)], path)
    with pytest.raises(DataError, match="holds a list"):
        load_tensors(path)
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(str(path))
    with pytest.raises(DataError, match="TorchScript"):
        load_tensors(path)
    torch.save({"model": torch.nn.Linear(2, 2)}, path)  # a module, not its tensors
    with pytest.raises(DataError, match="refused"):
        load_tensors(path)
    with pytest.raises(ConfigurationError, match="no such file"):
        load_tensors(Path("nowhere.pth"))


def test_tensors_only_keeps_the_prefix_and_drops_the_rest():
    content = {"m.a": torch.zeros(1), "m.b": 3, "n.a": torch.ones(1), 7: torch.ones(1)}
    assert list(tensors_only(content, "m.")) == ["a"]


class Plain:
    """Stands for OmegaConf's nodes: state that refers to types."""

    def __init__(self):
        self.types = {"key_type": int, "ref_type": typing.Any, "element": list, "map": dict}


def test_settings_that_refer_to_types_are_skipped(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {"w": torch.ones(2)}, "hyper_parameters": Plain()}, path)
    assert torch.equal(load_tensors(path)["state_dict"]["w"], torch.ones(2))


def test_a_flipped_byte_of_a_tensor_is_noticed(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save({"w": torch.full((1000,), 3.5)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<f", 3.5)) + 401] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.ckpt: .*checksum of .*/data/0 in it is wrong"):
        load_tensors(path)
