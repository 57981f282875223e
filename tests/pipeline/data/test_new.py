from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.data.discover import load_manifest
from pipeline.data.new import new_manifest
from tests.pipeline.data.filmed import damage, masks_for, moving, write_images, write_video

LABELS = np.array([0] * 5 + [1] * 6 + [0] * 9, np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    normal, test = tmp_path / "videos/normal", tmp_path / "videos/test"
    for name in ("one", "it's <b>two&amp;"):
        write_video(normal / f"{name}.avi", moving(20), fps=12)
    write_images(test / "t1", moving(20))
    write_images(test / "t2", moving(20))
    return normal, test


def written(tmp_path: Path, made) -> Path:
    path = tmp_path / "gate.yaml"
    path.write_text(made.text)
    return path


def test_without_labels(tmp_path: Path, folders) -> None:
    made = new_manifest("gate", *folders)
    assert made.data == tmp_path / "videos"
    assert "train: 2 videos, 40 frames, 48x32 pixels, 12 frames a second" in made.findings
    assert "test: 2 videos, 40 frames, 48x32 pixels, unknown frames a second" in made.findings
    assert "labels: none, so scores and events but no AUC" in made.findings
    assert made.commands == (f"make gate DATA={tmp_path}/videos PRESET=quick",)
    manifest = load_manifest(written(tmp_path, made), made.data)
    assert [video.name for video in manifest.videos] == [
        "train/it's <b>two&amp;", "train/one", "test/t1", "test/t2",
    ]  # fmt: skip
    assert not any(video.labelled for video in manifest.videos)


@pytest.mark.parametrize("kind", ["csv", "npy", "npy folder", "masks", "mask arrays"])
def test_with_labels(tmp_path: Path, folders, kind: str) -> None:
    labels = tmp_path / "videos/truth"
    both = {"t1": LABELS, "t2": LABELS * 0}
    if kind == "csv":
        labels = labels.with_suffix(".csv")
        labels.write_text("video,first,last\nt1,5,10\n")
    elif kind == "npy":
        labels = labels.with_suffix(".npy")
        np.save(labels, np.concatenate(list(both.values())))
    else:
        labels.mkdir()
        for name, values in both.items():
            if kind == "masks":
                write_images(labels / name, masks_for(values) * np.uint8(255))
            else:
                content = values if kind == "npy folder" else masks_for(values)
                np.save(labels / f"{name}.npy", content)
    made = new_manifest("gate", *folders, labels)
    assert "labels: 6 of 40 frames anomalous" in made.findings
    manifest = load_manifest(written(tmp_path, made), made.data)
    for video in manifest.select("test"):
        assert np.array_equal(video.truth().labels, both[video.name[5:]])
        assert video.pixel_truth == kind.startswith("mask")


def test_what_is_left_out_is_told(tmp_path: Path, folders) -> None:
    write_video(folders[0] / "deeper/three.avi", moving(20))
    (folders[0] / "notes.txt").write_text("x")
    made = new_manifest("gate", folders[0])
    assert made.findings[-1] == f"left out of {folders[0]}: deeper, notes.txt"


def test_labels_of_one_class_are_told(tmp_path: Path, folders) -> None:
    labels = tmp_path / "videos/none.csv"
    labels.write_text("t1\n")
    made = new_manifest("gate", *folders, labels)
    assert made.findings[-1] == "labels are of one class only: the AUC is undefined"


def test_single_video_single_folder_and_files_beside_folders(tmp_path: Path) -> None:
    one = write_video(tmp_path / "a/one.avi", moving(20))
    frames = write_images(tmp_path / "b", moving(20))
    made = new_manifest("gate", one, frames)
    manifest = load_manifest(written(tmp_path, made), made.data)
    assert [video.name for video in manifest.videos] == ["train/one", "test/b"]
    assert any("this short none can be held out" in line for line in made.findings)
    assert "train: 1 video, 20 frames, 48x32 pixels, 25 frames a second" in made.findings
    write_images(tmp_path / "a/two", moving(20))
    made = new_manifest("gate", tmp_path / "a")
    manifest = load_manifest(written(tmp_path, made), made.data)
    assert [video.name for video in manifest.videos] == ["train/one", "train/two"]
    assert not any("none can be held out" in line for line in made.findings)
    assert made.data == tmp_path / "a"


@pytest.mark.parametrize("kind", ["file", "images"])
def test_one_long_video_counts_as_several(tmp_path: Path, kind: str) -> None:
    frames = moving(200)
    if kind == "file":
        one = write_video(tmp_path / "a/one.avi", frames)
    else:
        one = write_images(tmp_path / "a", frames)
    made = new_manifest("gate", one)
    assert "train: the one video counts as 3, parts of equal length: some are held out" in (
        made.findings
    )
    manifest = load_manifest(written(tmp_path, made), made.data)
    assert [video.name[-2:] for video in manifest.videos] == ["-1", "-2", "-3"]
    whole = replace(manifest.videos[0], piece=(0, 1))
    facts = [video.probe() for video in manifest.videos]
    assert [fact.frames for fact in facts] == [66, 67, 67]
    assert [video.count() for video in manifest.videos] == [66, 67, 67]
    parts = [video.read(range(video.count())) for video in reversed(manifest.videos)]
    assert np.array_equal(np.concatenate(parts[::-1]), whole.read(range(200)))
    assert np.array_equal(manifest.videos[1].read(range(5, 9)), whole.read(range(71, 75)))
    assert len({fact.digest for fact in facts} | {whole.probe().digest}) == 4
    assert len({video.signature() for video in (whole, *manifest.videos)}) == 4
    with pytest.raises(DataError, match="frame 66 was asked for, this piece of"):
        manifest.videos[0].read(range(60, 67))


def test_a_count_that_only_the_header_knows_is_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "n/a.avi", moving(60, 64, 96))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 7 // 10])
    made = new_manifest("gate", tmp_path / "n")
    assert "a.avi: its header says 60 frames" in made.findings[-1]
    assert yaml.safe_load(made.text)["frame_count"] == "decoded"


def test_wrong_requests(tmp_path: Path, folders) -> None:
    normal, test = folders
    with pytest.raises(DataError, match="nowhere: not found"):
        new_manifest("gate", tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="labels"):
        new_manifest("gate", normal, None, test)
    with pytest.raises(ConfigurationError, match="name"):
        new_manifest("../gate", normal)
    with pytest.raises(DataError, match="is both train/"):
        new_manifest("gate", normal, normal)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds neither videos"):
        new_manifest("gate", tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="no label format"):
        new_manifest("gate", normal, test, tmp_path / "notes.txt")


def test_videos_win_over_snapshots_beside_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_video(tmp_path / f"n/{name}.avi", moving(20))
        write_images(tmp_path / "n", moving(1), f"{name}.jpg")
    write_images(tmp_path / "n/third", moving(20))
    write_video(tmp_path / "n/day/a.avi", moving(20))
    write_images(tmp_path / "n/day", moving(20))
    made = new_manifest("gate", tmp_path / "n")
    manifest = load_manifest(written(tmp_path, made), made.data)
    assert [video.name for video in manifest.videos] == ["train/one", "train/two", "train/third"]
    assert f"left out of {tmp_path}/n: day, one.jpg, two.jpg" in made.findings


def test_what_does_not_decode_is_told(tmp_path: Path) -> None:
    path = tmp_path / "n/a.avi"
    damage(write_video(path, moving(40, 64, 96)), 20)
    made = new_manifest("gate", tmp_path / "n")
    assert (
        f"warning: {path}: its header says 40 frames, 39 decode (1 packet does not decode: "
        "1 before frame 20 (0.80 s))" in made.findings
    )


@pytest.mark.parametrize("kind", ["csv", "npy"])
def test_labels_of_frames_that_do_not_decode(tmp_path: Path, kind: str) -> None:
    write_video(tmp_path / "n/a.avi", moving(20))
    damage(write_video(tmp_path / "t/b.avi", moving(40, 64, 96)), 10)
    labels = np.zeros(40, np.uint8)
    labels[20:30] = 1
    if kind == "csv":
        given = tmp_path / "truth.csv"
        given.write_text("b.avi,20,29\n")
        wrong = "its header says 40 frames, 39 decode.*LABEL_RATE=25"
    else:
        given = tmp_path / "truth"
        given.mkdir()
        np.save(given / "b.npy", labels)
        wrong = "holds 40 labels, the video has 39 frames.*`rate`"
    with pytest.raises(DataError, match=wrong):
        new_manifest("gate", tmp_path / "n", tmp_path / "t", given)
    made = new_manifest("gate", tmp_path / "n", tmp_path / "t", given, 25.0)
    manifest = load_manifest(written(tmp_path, made), made.data)
    found = manifest.select("test")[0]
    assert np.array_equal(found.truth().labels, np.delete(labels, 10))
    assert found.probe().anomalous == 10


def test_a_name_may_be_written_in_two_ways(tmp_path: Path) -> None:
    composed, parted = "caf\u00e9", "cafe\u0301"
    write_video(tmp_path / "n/a.avi", moving(20))
    write_video(tmp_path / f"t/{parted}.avi", moving(20))
    (tmp_path / "truth").mkdir()
    np.save(tmp_path / f"truth/{parted}.npy", LABELS)
    (tmp_path / "truth.csv").write_text(f"{composed}.avi,5,10\n")
    for given in ("truth", "truth.csv"):
        made = new_manifest("gate", tmp_path / "n", tmp_path / "t", tmp_path / given)
        found = load_manifest(written(tmp_path, made), made.data).select("test")[0]
        assert found.name == f"test/{composed}"
        assert np.array_equal(found.truth().labels, LABELS)
