"""Damaged manifests: a typed error that names the file.

None may hang, crash the interpreter, run what is in the file, or be accepted in silence.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.data.discover import load_manifest
from pipeline.data.manifestfile import read_manifest
from tests.pipeline.bad_input.common import TOUCHED
from tests.pipeline.data.filmed import moving, write_video

GOOD = {
    "name": "x",
    "layouts": [
        {
            "name": "one",
            "splits": {"train": {"videos": "a/{name}.avi"}, "test": {"videos": "b/{name}.avi"}},
        }
    ],
}


def edited(**changes: object) -> str:
    return yaml.safe_dump(GOOD | changes, sort_keys=False)


def with_train(**group: object) -> str:
    splits = {"train": {"videos": "a/{name}.avi"} | group, "test": {"videos": "b/{name}.avi"}}
    return edited(layouts=[{"name": "one", "splits": splits}])


def with_test(**group: object) -> str:
    splits = {"train": {"videos": "a/{name}.avi"}, "test": {"videos": "b/{name}.avi"} | group}
    return edited(layouts=[{"name": "one", "splits": splits}])


MANIFESTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "no fields"),
    "binary": (b"\x00\x01\xff" * 50, "no YAML"),
    "not UTF-8": (b"name: \xe9\xff", "no YAML"),
    "a list": ("- name: x", "no fields"),
    "half": (edited() + "source: {", "no YAML"),
    "tabs": ("name:\tx\n\tlayouts: []", "no YAML"),
    "unknown field": (edited(evalaute="test"), "'evalaute'; did you mean 'evaluate'"),
    "unknown field of a group": (with_test(lables={}), "'lables'; did you mean 'labels'"),
    "no name": (yaml.safe_dump({"layouts": []}), "field 'name' is missing"),
    "no layouts": ("name: x", "field 'layouts' is missing"),
    "field twice": (edited() + "name: y\n", "twice"),
    "name leaves the cache": (edited(name="../x"), "used in paths"),
    "name of HTML": (edited(name="<b>x</b>"), "used in paths"),
    "name is a number": (edited(name=7), "7 given, text is needed"),
    "name is null": (edited(name=None), "None given, text is needed"),
    "layouts of text": (edited(layouts="x"), "fields were expected"),
    "settings are a list": (edited(settings=[1]), "fields were expected"),
    "scale NaN": (edited(settings={"flow_scale": float("nan")}), "finite"),
    "scale 0": (edited(settings={"flow_scale": 0}), "above 0"),
    "scale true": (edited(settings={"flow_scale": True}), "a number is needed"),
    "frames of a fraction": (edited(expected={"train": {"frames": 2.5}}), "whole number"),
    "counts of another split": (edited(expected={"tset": {"frames": 2}}), "no split 'tset'"),
    "evaluates another split": (edited(evaluate="tset"), "no split 'tset'"),
    "frame count": (edited(frame_count="strickt"), "did you mean strict"),
    "no pieces": (with_train(pieces=0), "pieces: 0: from 1"),
    "pieces of a test video": (with_test(pieces=2), "for the split train alone"),
    "a million pieces": (with_train(pieces=10**6), "from 1 to 10000"),
    "pieces are a yes": (with_train(pieces=True), "whole number"),
    "path above": (with_train(videos="../{name}.avi"), "leaves the data folder"),
    "path above, later": (with_train(videos="a/../../{name}.avi"), "leaves the data folder"),
    "absolute path": (with_train(videos="/etc/{name}"), "leaves the data folder"),
    "home": (with_train(videos="~/x/{name}.avi"), "leaves the data folder"),
    "drive": (with_train(videos="C:/x/{name}.avi"), "leaves the data folder"),
    "back slashes": (with_train(videos="..\\x\\{name}.avi"), "leaves the data folder"),
    "truth above": (with_test(labels={"format": "npy", "path": "../a.npy"}), "leaves the data"),
    "images above": (
        with_test(pixels={"format": "tracks", "path": "a.txt", "images": "../{frame}.png"}),
        "leaves the data folder",
    ),
    "root above": (edited(roots=[".."]), "leaves the data folder"),
    "names above": (with_train(names="../secret.txt"), "leaves the data folder"),
    "names not there": (with_train(names="names.txt"), "list of names cannot be read"),
    "newline in a path": (with_train(videos="a\nb/{name}.avi"), "control characters"),
    "open brace": (with_train(videos="a/{name.avi"), "written {name}"),
    "many fields": (with_train(videos="a/" + "{}" * 40 + ".avi"), "more than 3 fields"),
    "unknown kind of field": (with_train(videos="a/{name:x}.avi"), "only `:d`"),
    "unknown field in a path": (
        with_test(labels={"format": "npy", "path": "{nmae}.npy"}),
        "no field 'nmae'",
    ),
    "unknown format": (with_test(labels={"format": "npz", "path": "x"}), "did you mean npy"),
    "labels of normal videos": (with_train(labels={"format": "normal"}), "training videos"),
    "python object": (
        f"name: !!python/object/apply:os.putenv ['{TOUCHED}', 'yes']\n",
        "no YAML",
    ),
    "aliases": ("a: &a [1]\nname: [*a, *a]\n", "aliases"),
    "deep": ("name: " + "[" * 30_000, "no YAML"),
    "huge": ("# " + "x" * 1_100_000, "larger than"),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_damaged_manifests(tmp_path: Path, kind: str) -> None:
    content, says = MANIFESTS[kind]
    path = tmp_path / "gate.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for folder in "ab":
        write_video(tmp_path / folder / f"{folder}.avi", moving(16))
    with pytest.raises(ConfigurationError) as caught:
        load_manifest(path, tmp_path)
    assert "gate.yaml" in str(caught.value) or "names.txt" in str(caught.value)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_the_manifest_that_the_damaged_ones_come_from_is_good(tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text(edited())
    for folder in "ab":
        write_video(tmp_path / folder / f"{folder}.avi", moving(16))
    assert len(load_manifest(tmp_path / "gate.yaml", tmp_path).videos) == 2


@pytest.mark.parametrize(
    "make", [lambda p: p.mkdir(), lambda p: os.mkfifo(p), lambda p: p.symlink_to(p)]
)
def test_manifests_that_are_no_files(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "gate.yaml")
    with pytest.raises(ConfigurationError, match=r"gate\.yaml"):
        read_manifest(tmp_path / "gate.yaml")


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
KNOWN = st.sampled_from(["name", "layouts", "splits", "train", "test", "videos", "labels", "path"])


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        PLAIN,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(KNOWN | PLAIN, inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_random_manifests(tmp_path_factory, content: object) -> None:
    path = tmp_path_factory.getbasetemp() / "random.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises((ConfigurationError, DataError), match=r"random\.yaml|folder"):
        load_manifest(path, tmp_path_factory.getbasetemp() / "no such folder")
