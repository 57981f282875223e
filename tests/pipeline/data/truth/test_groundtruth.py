from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from pipeline.base.errors import DataError
from pipeline.data.truth.labels import csv_intervals, fill, matlab_ranges, tracks
from pipeline.data.truth.truth import Sibling, TruthFile, VideoTruth, read_labels, read_pixels
from tests.pipeline.data.filmed import masks_for, moving, write_images, write_mat73, write_video

N, SIZE = 20, (32, 48)
LABELS = np.array([0] * 5 + [1] * 6 + [0] * 7 + [1] * 2, np.uint8)
MASKS = masks_for(LABELS)


def labels_of(frames: int = N, **fields) -> np.ndarray:
    return read_labels(TruthFile(**fields), frames, SIZE)


def pixels_of(**fields) -> np.ndarray:
    return read_pixels(TruthFile(**fields), N, SIZE).read(range(N))


def siblings(tmp_path: Path, lengths: list[int]) -> tuple[Sibling, ...]:
    return tuple(
        Sibling(f"{k:02}", write_images(tmp_path / f"{k:02}", moving(length)), True, "strict")
        for k, length in enumerate(lengths, start=1)
    )


# ------------------------------------------------------------------ arrays


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64", "float64", ">i2"])
@pytest.mark.parametrize("shape", [(N,), (1, N)])
def test_npy_labels(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.npy"
    np.save(path, LABELS.astype(dtype).reshape(shape))
    found = labels_of(format="npy", path=path)
    assert found.dtype == np.uint8
    assert np.array_equal(found, LABELS)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (LABELS[:-1], "holds 19 labels, the video has 20 frames"),
        (np.append(LABELS, 0), "holds 21 labels, the video has 20 frames"),
        (LABELS * 2, "at 5 is 2; every value must be 0"),
        (np.where(LABELS, np.nan, 0.0), "at 5 is nan"),
        (LABELS.reshape(4, 5), r"shape \(4, 5\)"),
        (LABELS.astype(str), "label of type"),
        (LABELS + 0j, "label of type"),
    ],
)
def test_npy_labels_that_do_not_fit(tmp_path: Path, values: np.ndarray, says: str) -> None:
    path = tmp_path / "a.npy"
    np.save(path, values)
    with pytest.raises(DataError, match=rf"a.npy: .*{says}"):
        labels_of(format="npy", path=path)


def test_concatenated_labels_are_cut_by_the_lengths(tmp_path: Path) -> None:
    lengths = [16, 20, 17]
    all_labels = np.random.default_rng(0).integers(0, 2, (1, sum(lengths)))
    np.save(tmp_path / "all.npy", all_labels)
    others = siblings(tmp_path, lengths)
    start = 0
    for place, length in enumerate(lengths):
        found = labels_of(
            length, format="npy_concatenated", path=tmp_path / "all.npy", place=place,
            siblings=others,
        )  # fmt: skip
        assert np.array_equal(found, all_labels[0, start : start + length])
        start += length
    np.save(tmp_path / "all.npy", all_labels[:, 1:])
    with pytest.raises(DataError, match="holds 52 labels, the split's 3 videos have 53 frames"):
        labels_of(
            20, format="npy_concatenated", path=tmp_path / "all.npy", place=1, siblings=others
        )


@pytest.mark.parametrize("scale", [1, 255])
def test_npy_pixels(tmp_path: Path, scale: int) -> None:
    path = tmp_path / "a.npy"
    np.save(path, MASKS * np.uint8(scale))
    assert np.array_equal(pixels_of(format="npy", path=path), MASKS)
    assert np.array_equal(labels_of(format="npy", path=path), LABELS)


# ------------------------------------------------------------------ MATLAB


@pytest.mark.parametrize("cell", [True, False])
@pytest.mark.parametrize("version", ["5", "7.3"])
def test_mat_volumes(tmp_path: Path, cell: bool, version: str) -> None:
    path = tmp_path / "1_label.mat"
    if version == "7.3":
        write_mat73(path, "volLabel", MASKS, cell)
    else:
        cells = np.empty((1, N), object)
        for number in range(N):
            cells[0, number] = MASKS[number]
        savemat(path, {"volLabel": cells if cell else np.moveaxis(MASKS, 0, 2), "other": 1})
    assert np.array_equal(pixels_of(format="mat_volume", path=path), MASKS)
    assert np.array_equal(labels_of(format="mat_volume", path=path), LABELS)
    with pytest.raises(DataError, match=r"holds 20 masks, the video has 21 frames"):
        labels_of(21, format="mat_volume", path=path)
    with pytest.raises(DataError, match=r"has no variable mask, but .*volLabel"):
        labels_of(format="mat_volume", path=path, variable="mask")


def test_matlab_ranges_as_ucsd_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "gt.m"
    path.write_text(
        "TestVideoFile = {};\n"
        "TestVideoFile{end+1}.gt_frame = [60:152];\n"
        "% a comment\n\n"
        "TestVideoFile{end+1}.gt_frame = [5:90, 140 : 200]; % two of them\n"
        "TestVideoFile{3}.gt_frame = [7];\n"
        "TestVideoFile{end+1}.gt_frame = [];\n"
    )
    assert [matlab_ranges(path, 4, place) for place in range(4)] == [
        [(59, 151)],
        [(4, 89), (139, 199)],
        [(6, 6)],
        [],
    ]
    with pytest.raises(DataError, match="ranges for 4 videos, the split has 5"):
        matlab_ranges(path, 5, 0)
    path.write_text("TestVideoFile{end+1}.gt_frame = [60:152];\nsystem('rm');\n")
    with pytest.raises(DataError, match="line 2"):
        matlab_ranges(path, 1, 0)


# ------------------------------------------------------------------ intervals


def test_csv_intervals(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text('Video, First, Last\n01.mp4,5,10\n"02",0,3\n\n01,18,19\n03,,\n', "utf-8-sig")
    names = ["01", "02", "03", "gate.1"]
    assert csv_intervals(path, "01", names, 0) == [(5, 10), (18, 19)]
    assert csv_intervals(path, "01", names, 1) == [(4, 9), (17, 18)]
    assert csv_intervals(path, "03", names, 0) == csv_intervals(path, "gate.1", names, 0) == []
    found = labels_of(
        format="csv_intervals", path=path, video="01",
        siblings=tuple(Sibling(name, Path(), False, "strict") for name in names),
    )  # fmt: skip
    assert np.array_equal(found, LABELS)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("O1,5,10", "no video 'O1'; did you mean '01'"),
        ("01,5", "row 1: '01,5' is not"),
        ("01,5,x", "row 1"),
        ("01,-5,10", "row 1"),
        ("01,5.5,10", "row 1"),
        ("01,5,10,11", "row 1"),
        ('01,"5,10', "no CSV file"),
        ("\0,5,10", "no"),
    ],
)
def test_csv_rows_that_are_wrong(tmp_path: Path, row: str, says: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(row)
    with pytest.raises(DataError, match=rf"labels.csv: .*{says}"):
        csv_intervals(path, "01", ["01"], 0)


def test_intervals_past_the_end() -> None:
    where = Path("labels.csv")
    with pytest.raises(DataError, match=r"video 01: labels up to frame 20.*has 20 frames"):
        fill([(5, 20)], 20, where, "01")
    assert fill([(5, 20)], 20, where, "01", "clamp").sum() == 15
    with pytest.raises(DataError, match="past_end"):
        fill([(20, 25)], 20, where, "01", "clamp")
    with pytest.raises(DataError, match="no interval"):
        fill([(9, 8)], 20, where, "01")
    with pytest.raises(DataError, match="first_frame"):
        fill([(-1, 8)], 20, where, "01")


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6))
def test_fill_equals_a_loop(pairs: list[tuple[int, int]]) -> None:
    intervals = [(min(pair), max(pair)) for pair in pairs]
    brute = [int(any(first <= n <= last for first, last in intervals)) for n in range(31)]
    assert fill(intervals, 31, Path("x"), "v").tolist() == brute


# ------------------------------------------------------------------ images and tracks


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_mask_images(tmp_path: Path, suffix: str) -> None:
    folder = write_images(tmp_path / "m", MASKS * np.uint8(255), "{:03d}." + suffix, first=1)
    assert np.array_equal(pixels_of(format="mask_images", path=folder), MASKS)
    assert np.array_equal(labels_of(format="mask_images", path=folder), LABELS)
    with pytest.raises(DataError, match="holds 20 masks, the video has 19 frames"):
        labels_of(19, format="mask_images", path=folder)


def test_masks_that_were_compressed_are_refused(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "m", MASKS * np.uint8(255), "{:03d}.jpg")
    with pytest.raises(DataError, match=r"\.jpg: has \d+ gray values"):
        labels_of(format="mask_images", path=folder)


def test_tracks_as_ubnormal_gives_them(tmp_path: Path) -> None:
    path = tmp_path / "v_tracks.txt"
    path.write_text("3,2,4\n1.0, 4.0, 6.0\n")
    objects = np.zeros((N, *SIZE), np.uint8)
    objects[:, 2:6, 2:6] = 3
    objects[:, 10:12, 20:30] = 1
    objects[:, 20:25, 40:45] = 7  # in every frame, but normal
    write_images(tmp_path / "x", objects, "v_{:04d}_gt.png")
    where = {"path": path, "root": tmp_path, "images": "x/{name}_{frame:04}_gt.png"}
    brute = np.zeros_like(objects)
    for identity, first, last in [(3, 2, 4), (1, 4, 6)]:
        for frame in range(first, last + 1):
            brute[frame][objects[frame] == identity] = 1
    fields = (("name", "v"),)
    assert np.array_equal(pixels_of(format="tracks", fields=fields, **where), brute)
    assert np.array_equal(labels_of(format="tracks", path=path), brute.any((1, 2)))
    (tmp_path / "x/v_0003_gt.png").unlink()
    with pytest.raises(DataError, match=r"v_0003_gt.png: not found"):
        pixels_of(format="tracks", fields=fields, **where)


@pytest.mark.parametrize("text", ["", "1,2\n", "a,b,c\n", "1,2,3.5\n", "1,2,1e999\n", "1,2,nan\n"])
def test_tracks_that_are_wrong(tmp_path: Path, text: str) -> None:
    path = tmp_path / "v_tracks.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=r"v_tracks.txt"):
        tracks(path)


# ------------------------------------------------------------------ the whole of a video


def test_masks_of_another_shape_than_the_video(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "m", MASKS * np.uint8(255))
    truth = VideoTruth(pixels=TruthFile(format="mask_images", path=folder))
    assert np.array_equal(truth.read(N, SIZE).labels, LABELS)
    assert np.array_equal(truth.read(N, (64, 96)).labels, LABELS)  # half the size: well
    with pytest.raises(DataError, match=r"masks are 48x32, the video is 48x40"):
        truth.read(N, (40, 48))


def test_digest_and_signature_follow_the_content(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "m", MASKS * np.uint8(255))
    np.save(tmp_path / "a.npy", LABELS)
    truth = VideoTruth(
        TruthFile(format="npy", path=tmp_path / "a.npy"),
        TruthFile(format="mask_images", path=folder),
    )
    digests, signatures = [truth.digest(N)], [truth.signature()]
    changed = LABELS.copy()
    changed[0] = 1
    np.save(tmp_path / "a.npy", changed)
    digests.append(truth.digest(N))
    signatures.append(truth.signature())
    cv2.imwrite(str(folder / "005.png"), MASKS[6] * np.uint8(255))
    digests.append(truth.digest(N))
    signatures.append(truth.signature())
    assert len(set(digests)) == 3
    assert len({tuple(parts) for parts in signatures}) == 3


def test_normal_needs_no_file() -> None:
    truth = VideoTruth(
        TruthFile(format="normal", path=Path("x")), TruthFile(format="normal", path=Path("x"))
    ).read(N, SIZE)
    assert not truth.labels.any()
    assert truth.pixels is not None
    assert truth.pixels.read(range(3)).shape == (3, *SIZE)


def test_concatenated_labels_of_video_files(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{k}.avi", moving(n)) for k, n in enumerate((16, N))]
    np.save(tmp_path / "all.npy", np.concatenate([np.zeros(16, int), LABELS]))
    others = tuple(Sibling(path.stem, path, False, "strict") for path in paths)
    found = labels_of(
        format="npy_concatenated", path=tmp_path / "all.npy", place=1, siblings=others
    )
    assert np.array_equal(found, LABELS)
