"""``make new``: which names are refused, and what is added to a manifest that is there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.data.discover import load_manifest
from pipeline.data.own import check_name, new
from tests.pipeline.data.filmed import moving, write_images, write_video

ROOT = Path(__file__).parents[3]


@pytest.fixture
def videos(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / f"videos/normal/{name}.avi", moving(20), fps=12)
    write_images(tmp_path / "videos/test/t1", moving(20))
    return tmp_path / "videos"


def found(tmp_path, root):
    manifest = load_manifest(tmp_path / "gate.yaml", root)
    return [(video.name, video.labelled) for video in manifest.videos]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_every_target_that_make_knows_is_refused():
    words = ["make", "-pqrR", "help"]
    database = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    names = set(re.findall(r"^([A-Za-z][\w.-]*):", database, re.MULTILINE))
    names = {name for name in names if "." not in name} - {"check"}
    assert {"clean", "test", "docs", "setup", "table1", "ped2", "Makefile"} <= names
    for name in [*names, "shards", "run", "CLEAN"]:
        with pytest.raises(ConfigurationError, match="choose another"):
            check_name(name)


@pytest.mark.parametrize(
    "name", ["gate.train", "a b", "-x", "", "a%", "x" * 65, "../x", "é", "a$b"]
)
def test_what_make_cannot_hold_is_refused(name):
    with pytest.raises(ConfigurationError, match="write letters"):
        check_name(name)


def test_a_name_refused_writes_nothing(tmp_path, videos):
    with pytest.raises(ConfigurationError, match="does something else"):
        new("clean", videos / "normal", out=tmp_path / "out")
    with pytest.raises(ConfigurationError, match="did not write"):
        new("ped2", videos / "normal", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_new_one_needs_normal_videos(tmp_path):
    with pytest.raises(ConfigurationError, match="give NORMAL"):
        new("gate", out=tmp_path)


def test_labels_come_later(tmp_path, videos, capsys):
    new("gate", videos / "normal", videos / "test", out=tmp_path)
    assert "run next:\nmake gate DATA=" in capsys.readouterr().out
    before = (tmp_path / "gate.yaml").read_text()
    (videos / "labels.csv").write_text("video,first,last\nt1,5,10\n")
    new("gate", labels=videos / "labels.csv", out=tmp_path)
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path}/gate.yaml changes")
    assert re.search(r"^  \+ +path: labels.csv$", said, re.MULTILINE)
    assert "labels: 6 of 20 frames anomalous" in said
    assert found(tmp_path, videos)[-1] == ("test/t1", True)
    assert (tmp_path / "gate.yaml.old").read_text() == before


def test_videos_and_labels_are_added_and_what_is_there_stays(tmp_path, videos, capsys):
    new("gate", videos / "normal", out=tmp_path)
    content = yaml.safe_load((tmp_path / "gate.yaml").read_text())
    content["settings"] = {"flow_scale": 3.5}  # by hand
    (tmp_path / "gate.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    write_video(tmp_path / "elsewhere/night.avi", moving(20), fps=12)
    new("gate", normal=tmp_path / "elsewhere", test=videos / "test", out=tmp_path)
    names = ["train/a", "train/b", "train/night", "test/t1"]
    assert [name for name, _ in found(tmp_path, tmp_path)] == names
    assert f"make gate DATA={tmp_path} " in capsys.readouterr().out
    content = yaml.safe_load((tmp_path / "gate.yaml").read_text())
    assert content["settings"] == {"flow_scale": 3.5}
    assert content["layouts"][0]["splits"]["train"][0] == {"videos": "videos/normal/{name}.{video}"}


def test_labels_of_the_videos_that_are_given_count_before_others(tmp_path, videos):
    (videos / "old.csv").write_text("t1,5,10\n")
    new("gate", videos / "normal", videos / "test", videos / "old.csv", out=tmp_path)
    (videos / "more.csv").write_text("t1,0,0\n")
    write_video(videos / "more/t9.avi", moving(20), fps=12)
    (videos / "t9.csv").write_text("t9,1,3\n")
    new("gate", test=videos / "more", labels=videos / "t9.csv", out=tmp_path)
    manifest = load_manifest(tmp_path / "gate.yaml", videos)
    assert [int(video.truth().labels.sum()) for video in manifest.select("test")] == [6, 3]
    new("gate", test=videos / "test", labels=videos / "more.csv", out=tmp_path)
    manifest = load_manifest(tmp_path / "gate.yaml", videos)
    assert [int(video.truth().labels.sum()) for video in manifest.select("test")] == [1, 3]


def test_the_same_again_changes_nothing(tmp_path, videos, capsys):
    new("gate", videos / "normal", videos / "test", out=tmp_path)
    before = (tmp_path / "gate.yaml").read_bytes()
    new("gate", videos / "normal", videos / "test", out=tmp_path)
    assert "stays as it is" in capsys.readouterr().out
    assert (tmp_path / "gate.yaml").read_bytes() == before
    assert not (tmp_path / "gate.yaml.old").exists()


def test_one_made_before_the_data_folder_was_noted(tmp_path, videos):
    new("gate", videos / "normal", videos / "test", out=tmp_path)
    path = tmp_path / "gate.yaml"
    path.write_text(re.sub(r"^data: .*\n", "", path.read_text(), flags=re.MULTILINE))
    (videos / "labels.csv").write_text("t1,5,10\n")
    new("gate", labels=videos / "labels.csv", out=tmp_path)
    assert found(tmp_path, videos)[-1] == ("test/t1", True)
    path.write_text(re.sub(r"^data: .*\n", "", path.read_text(), flags=re.MULTILINE))
    (tmp_path / "far").mkdir()
    labels = shutil.copy(videos / "labels.csv", tmp_path / "far/labels.csv")
    with pytest.raises(ConfigurationError, match="add `data: FOLDER`"):
        new("gate", labels=Path(labels), out=tmp_path)


def test_wrong_additions_leave_it_as_it_is(tmp_path, videos):
    new("gate", videos / "normal", videos / "test", out=tmp_path)
    before = (tmp_path / "gate.yaml").read_bytes()
    (videos / "labels.csv").write_text("t1,5,100\n")
    with pytest.raises(DataError, match="nowhere: not found"):
        new("gate", test=videos / "nowhere", out=tmp_path)
    with pytest.raises(DataError, match=r"labels\.csv"):
        new("gate", labels=videos / "labels.csv", out=tmp_path)
    with pytest.raises(DataError, match="is both train/"):
        new("gate", test=videos / "normal", out=tmp_path)
    assert (tmp_path / "gate.yaml").read_bytes() == before
    (tmp_path / "gate.yaml").write_text("name: gate\nlayouts: []\n")
    with pytest.raises(ConfigurationError, match="by hand"):
        new("gate", labels=videos / "labels.csv", out=tmp_path)
