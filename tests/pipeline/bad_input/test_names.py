"""Odd names of files and folders: they work, or a typed error says what to rename."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import DataError
from pipeline.data.discover import load_manifest
from pipeline.data.path_patterns import find
from tests.pipeline.bad_input.common import LABELS
from tests.pipeline.data.filmed import moving, write_images, write_video


@pytest.mark.parametrize("name", ["new\nline", "tab\there", "\udcff not UTF-8", "\x1b[31mred"])
def test_names_that_logs_cannot_hold(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / "normal/a.avi", moving(16)).rename(tmp_path / f"normal/{name}.avi")
    with pytest.raises(DataError, match="control characters or is not UTF-8; rename it"):
        load_manifest("custom", tmp_path)


@pytest.mark.parametrize(
    "name", ["it's", 'a "b"', "<b>x", "a&b;c", "{name}", "..x..", "ü ñ 日本", "%s"]
)
def test_odd_names_that_work(tmp_path: Path, name: str) -> None:
    name = name.removeprefix("..")
    write_video(tmp_path / "plain.avi", moving(16))
    (tmp_path / "normal").mkdir()
    (tmp_path / "plain.avi").rename(tmp_path / f"normal/{name}.avi")
    write_images(tmp_path / "test" / name, moving(20))
    (tmp_path / "labels").mkdir()
    np.save(tmp_path / "labels" / f"{name}.npy", LABELS)
    manifest = load_manifest("custom", tmp_path)
    assert [video.name for video in manifest.videos] == [f"train/{name}", f"test/{name}"]
    assert [video.probe().anomalous for video in manifest.videos] == [None, 6]


def test_links_in_circles_end(tmp_path: Path) -> None:
    (tmp_path / "normal").mkdir()
    (tmp_path / "normal/up").symlink_to(tmp_path)
    write_images(tmp_path / "normal/a", moving(16))
    found = find("normal/{name}/", tmp_path, "")
    assert [match.fields["name"] for match in found] == ["a", "up"]
    with pytest.raises(DataError, match=r"normal/up: holds no images"):
        [video.probe() for video in load_manifest("custom", tmp_path).videos]
    (tmp_path / "normal/up").unlink()
    (tmp_path / "normal/up").symlink_to("up")
    with pytest.raises(DataError, match=r"normal/up: .*links"):
        [video.probe() for video in load_manifest("custom", tmp_path).videos]


def test_patterns_are_matched_in_little_time(tmp_path: Path) -> None:
    (tmp_path / ("a" * 250)).mkdir()
    start = time.process_time()
    assert find("{}a{}a{}b/", tmp_path, "") == []
    assert time.process_time() - start < 5
