from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.io import savemat

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.data.discover import load_manifest
from pipeline.data.manifest import Manifest
from pipeline.data.manifestfile import FOLDER, read_manifest
from tests.pipeline.data.filmed import masks_for, moving, write_images, write_mat73, write_video

PED2 = Path(__file__).parents[3].parent / "shared/data/ped2"
LABELS = np.array([0] * 5 + [1] * 6 + [0] * 9, np.uint8)


def small(name: str, tmp_path: Path, **changes) -> Path:
    """A manifest of the project as it is, but for the counts of the whole data set."""
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    content.pop("expected", None)
    for layout in content["layouts"]:
        layout.pop("expected", None)
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content | changes, sort_keys=False))
    return path


def names(manifest: Manifest, split: str) -> list[str]:
    return [video.name for video in manifest.select(split)]


def check_truth(manifest: Manifest, name: str, labels: np.ndarray, pixels: bool) -> None:
    video = next(video for video in manifest.videos if video.name == name)
    truth = video.truth()
    assert video.probe().anomalous == labels.sum()
    assert np.array_equal(truth.labels, labels)
    assert video.pixel_truth == (truth.pixels is not None) == pixels
    if truth.pixels is not None:
        assert np.array_equal(truth.pixels.read(range(len(labels))), masks_for(labels))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_manifests_of_the_project_are_valid(path: Path) -> None:
    manifest = read_manifest(path.stem)
    assert manifest.name == path.stem
    assert read_manifest(path) == manifest
    if path.stem not in ("demo", "custom"):
        source = manifest.source
        assert source.address.startswith("http")
        assert source.licence and source.citation and source.instructions


# ------------------------------------------------------------------ layouts as downloaded


@pytest.mark.parametrize("above", ["", "UCSDped2", "UCSD_Anomaly_Dataset.v1p2/UCSDped2"])
def test_ped2(tmp_path: Path, above: str) -> None:
    root = tmp_path / above
    for number in range(1, 12):
        write_images(root / f"Train/Train{number:03}", moving(20)[..., 0], "{:03d}.tif", first=1)
    masks = masks_for(LABELS) * np.uint8(255)
    for number in (1, 2):
        write_images(root / f"Test/Test{number:03}", moving(20)[..., 0], "{:03d}.tif", first=1)
        write_images(root / f"Test/Test{number:03}_gt", masks, "{:03d}.bmp", first=1)
    (root / "Test/UCSDped2.m").write_text(
        "TestVideoFile = {};\n"
        "TestVideoFile{end+1}.gt_frame = [6:11];\n"
        "TestVideoFile{end+1}.gt_frame = [6:11];\n"
    )
    manifest = load_manifest(small("ped2", tmp_path), tmp_path)
    assert names(manifest, "train")[-2:] == ["train/010", "train/011"]
    assert names(manifest, "test") == ["test/001", "test/002"]
    assert manifest.layout == "original download"
    assert manifest.videos[0].probe().fps == 10
    check_truth(manifest, "test/002", LABELS, pixels=True)


@pytest.mark.parametrize("name", ["ped2", "avenue", "shanghaitech"])
def test_peers_layout(tmp_path: Path, name: str) -> None:
    short = name.replace("tech", "")
    videos = {"01_001": 20, "01_0014": 18, "02_001": 17}
    for split in ("training", "testing"):
        for video, length in videos.items():
            write_images(tmp_path / split / "frames" / video, moving(length), "{:03d}.jpg")
    rng = np.random.default_rng(0)
    labels = {video: rng.integers(0, 2, length) for video, length in videos.items()}
    order = ["01_001", "01_0014", "02_001"]
    np.save(
        tmp_path / f"frame_labels_{short}.npy", np.concatenate([labels[v] for v in order])[None]
    )
    manifest = load_manifest(small(name, tmp_path), tmp_path)
    assert manifest.layout == "peers"
    assert names(manifest, "test") == [f"test/{video}" for video in order]
    for video in order:
        check_truth(manifest, f"test/{video}", labels[video], pixels=False)
    if name == "shanghaitech":
        assert [video.scene for video in manifest.select("test")] == ["01", "01", "02"]


def test_ped1(tmp_path: Path) -> None:
    root = tmp_path / "UCSDped1"
    write_images(root / "Train/Train001", moving(20)[..., 0], "{:03d}.tif", first=1)
    for number in (1, 2):
        write_images(root / f"Test/Test00{number}", moving(20)[..., 0], "{:03d}.tif", first=1)
    write_images(
        root / "Test/Test001_gt", moving(20)[..., 0], "{:03d}.bmp", first=1
    )  # came for some videos alone
    (root / "Test/UCSDped1.m").write_text(
        "TestVideoFile{end+1}.gt_frame = [3:5, 9:10];\nTestVideoFile{end+1}.gt_frame = [1:20];\n"
    )
    manifest = load_manifest(small("ped1", tmp_path), tmp_path)
    labels = np.zeros(20, np.uint8)
    labels[[2, 3, 4, 8, 9]] = 1
    check_truth(manifest, "test/001", labels, pixels=False)
    check_truth(manifest, "test/002", np.ones(20, np.uint8), pixels=False)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_avenue(tmp_path: Path, version: str) -> None:
    for number in (1, 2, 10):
        write_video(tmp_path / f"training_videos/{number:02}.avi", moving(20))
        write_video(tmp_path / f"testing_videos/{number:02}.avi", moving(20))
        path = tmp_path / f"ground_truth_demo/testing_label_mask/{number}_label.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        masks = masks_for(np.roll(LABELS, number))
        if version == "7.3":
            write_mat73(path, "volLabel", masks)
        else:
            cells = np.empty((1, len(masks)), object)
            cells[0, :] = list(masks)
            savemat(path, {"volLabel": cells})
    manifest = load_manifest(small("avenue", tmp_path), tmp_path)
    assert names(manifest, "test") == ["test/01", "test/02", "test/10"]
    for number in (1, 2, 10):
        check_truth(manifest, f"test/{number:02}", np.roll(LABELS, number), pixels=True)


def test_shanghaitech(tmp_path: Path) -> None:
    write_video(tmp_path / "shanghaitech/training/videos/01_001.avi", moving(20))
    write_video(tmp_path / "shanghaitech/training/videos/13_007.avi", moving(20))
    testing = tmp_path / "shanghaitech/testing"
    write_images(testing / "frames/01_0014", moving(20), "{:03d}.jpg")
    for kind, content in (("frame", LABELS), ("pixel", masks_for(LABELS))):
        (testing / f"test_{kind}_mask").mkdir()
        np.save(testing / f"test_{kind}_mask/01_0014.npy", content)
    manifest = load_manifest(small("shanghaitech", tmp_path), tmp_path)
    assert manifest.layout == "original download"
    assert [(v.name, v.scene) for v in manifest.videos] == [
        ("train/01_001", "01"), ("train/13_007", "13"), ("test/01_0014", "01"),
    ]  # fmt: skip
    check_truth(manifest, "test/01_0014", LABELS, pixels=True)


def test_ubnormal(tmp_path: Path) -> None:
    lists = {
        "normal_training": ["normal_scene_1_scenario1_9"],
        "normal_validation": ["normal_scene_1_scenario_2"],
        "abnormal_validation": ["abnormal_scene_8_scenario_4_fog"],
        "normal_test": ["normal_scene_29_scenario_1"],
        "abnormal_test": ["abnormal_scene_2_scenario_1", "abnormal_scene_2_scenario_10"],
    }
    (tmp_path / "ubnormal_splits").mkdir()
    for name, videos in lists.items():
        (tmp_path / f"ubnormal_splits/{name}.txt").write_text("\n".join(videos))
    data = tmp_path / "UBnormal"
    masks = masks_for(LABELS)
    masks[:, 20:30, 40:45] = 2  # another object, in every frame
    for video in [*(v for names in lists.values() for v in names), "abnormal_scene_2_scenario_7"]:
        scene = data / f"Scene{video.split('_')[2]}"
        write_video(scene / f"{video}.mp4", moving(20), fps=30, codec="mp4v")
        if video.startswith("abnormal"):
            write_images(scene / f"{video}_annotations", masks, video + "_{:04d}_gt.png")
            (scene / f"{video}_annotations/{video}_tracks.txt").write_text("1,5,10\n")
    manifest = load_manifest(small("ubnormal", tmp_path), tmp_path)
    assert manifest.evaluate == "validation"
    assert names(manifest, "train") == ["train/normal_scene_1_scenario1_9"]
    assert names(manifest, "validation") == [
        "validation/normal_scene_1_scenario_2",
        "validation/abnormal_scene_8_scenario_4_fog",
    ]
    assert [video.scene for video in manifest.select("test")] == ["29", "2", "2"]
    check_truth(manifest, "validation/normal_scene_1_scenario_2", LABELS * 0, pixels=True)
    check_truth(manifest, "validation/abnormal_scene_8_scenario_4_fog", LABELS, pixels=True)
    (data / "Scene2/abnormal_scene_2_scenario_10.mp4").unlink()
    with pytest.raises(DataError, match=r"1 of the 2 videos .* 'abnormal_scene_2_scenario_10'"):
        load_manifest(tmp_path / "ubnormal.yaml", tmp_path)


def test_split_lists_of_ubnormal() -> None:
    counts = {
        path.stem: len(path.read_text().split()) for path in (FOLDER / "ubnormal_splits").iterdir()
    }
    assert counts == {
        "normal_training": 186, "normal_validation": 26, "abnormal_validation": 38,
        "normal_test": 53, "abnormal_test": 158, "abnormal_training": 82,
    }  # fmt: skip


def test_custom_with_files_and_folders(tmp_path: Path) -> None:
    write_video(tmp_path / "normal/a.mp4", moving(20), codec="mp4v")
    write_images(tmp_path / "normal/b", moving(20))
    (tmp_path / "normal/notes.txt").write_text("no video")
    manifest = load_manifest("custom", tmp_path)
    assert names(manifest, "train") == ["train/a", "train/b"]
    assert names(manifest, "test") == []
    write_video(tmp_path / "test/x.AVI", moving(20))
    write_images(tmp_path / "test/y", moving(20))
    manifest = load_manifest("custom", tmp_path)
    assert not any(video.labelled for video in manifest.videos)
    (tmp_path / "labels.csv").write_text("x.AVI,5,10\ny,0,1\n")
    manifest = load_manifest("custom", tmp_path)
    check_truth(manifest, "test/x", LABELS, pixels=False)
    check_truth(manifest, "test/y", np.r_[1, 1, [0] * 18], pixels=False)


# ------------------------------------------------------------------ what is wrong with it


def test_counts_of_a_complete_download(tmp_path: Path) -> None:
    for number in (1, 2):
        write_images(tmp_path / f"Train/Train{number:03}", moving(20), first=1)
    write_images(tmp_path / "Test/Test001", moving(20), first=1)
    write_images(tmp_path / "Test/Test001_gt", masks_for(LABELS), first=1)
    (tmp_path / "Test/UCSDped2.m").write_text("TestVideoFile{end+1}.gt_frame = [6:11];")
    with pytest.raises(DataError, match=r"split train of ped2 has 2 videos, .* has 16"):
        load_manifest("ped2", tmp_path)
    expected = {"train": {"frames": 41}, "test": {"anomalous": 7}}
    manifest = load_manifest(small("ped2", tmp_path, expected=expected), tmp_path)
    frames = {video.name: 20 for video in manifest.videos}
    with pytest.raises(DataError, match=r"split train of ped2 has 40 frames, .* 41"):
        manifest.check_counts(frames)
    frames["train/001"] = 21
    manifest.check_counts(frames)
    with pytest.raises(DataError, match=r"split test of ped2 has 6 anomalous frames, .* 7"):
        manifest.check_counts(frames, {"test/001": 6, "train/001": None})


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: folder not found; set DATA"):
        load_manifest("ped2", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"not complete.*none of split train"):
        load_manifest("ped2", tmp_path)
    write_images(tmp_path / "Train/Train001", moving(20), first=1)
    with pytest.raises(
        DataError, match=r"1 videos, but none of split test at Test/Test\{name:d\}/"
    ):
        load_manifest("ped2", tmp_path)
    write_images(tmp_path / "Test/Test001", moving(20), first=1)
    with pytest.raises(DataError, match=r"Test/UCSDped2.m: ground truth of split test not found"):
        load_manifest(small("ped2", tmp_path), tmp_path)


def test_unknown_data_set_and_unknown_field(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'pde2' is not known; did you mean 'ped2'"):
        load_manifest("pde2", tmp_path)
    path = small("demo", tmp_path, evalaute="test")
    with pytest.raises(
        ConfigurationError, match="unknown field 'evalaute'; did you mean 'evaluate'"
    ):
        load_manifest(path, tmp_path)


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_video_in_two_splits(tmp_path: Path, pieces: int) -> None:
    write_video(tmp_path / "a.avi", moving(20))
    train = {"videos": "{name}.avi", "pieces": pieces}
    splits = {"train": train, "test": {"videos": "{name}.{video}"}}
    path = small("demo", tmp_path, layouts=[{"name": "x", "splits": splits}])
    with pytest.raises(DataError, match=r"is both train/a(-1)? and test/a"):
        load_manifest(path, tmp_path)


def test_links_to_data_elsewhere_are_followed(tmp_path: Path) -> None:
    write_video(tmp_path / "disk/a.avi", moving(20))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/normal").symlink_to(tmp_path / "disk")
    assert names(load_manifest("custom", tmp_path / "data"), "train") == ["train/a"]
