"""Damaged label files: a typed error that names the file.

None may hang, crash the interpreter, run what is in the file, or be accepted in silence.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from pipeline.base.errors import DataError
from pipeline.data.truth.labels import csv_intervals, matlab_ranges, tracks
from pipeline.data.truth.truth import Sibling, TruthFile, read_labels
from tests.pipeline.bad_input.common import LABELS, TOUCHED
from tests.pipeline.data.filmed import masks_for, moving, write_images, write_mat73

MASKS = masks_for(LABELS)


class Bomb:
    def __reduce__(self) -> tuple:
        return os.putenv, (TOUCHED, "yes")


def npy(values: object) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, values, allow_pickle=True)

    return write


def npy_header(shape: tuple[int, ...], kind: str = "|u1") -> Callable[[Path], object]:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
    return lambda path: path.write_bytes(content + b"\0" * 20)


def cut(make: Callable[[Path], object], keep: float) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        make(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])

    return damage


def mat5(path: Path, **variables: object) -> None:
    savemat(path.open("wb"), variables)


def cell(masks: list[np.ndarray]) -> np.ndarray:
    found = np.empty((1, len(masks)), object)
    for place, mask in enumerate(masks):
        found[0, place] = mask
    return found


def mat73_elsewhere(path: Path) -> None:
    """A volume that HDF5 would read from another file."""
    with h5py.File(path, "w") as file:
        outside = [("/etc/passwd", 0, 20)]
        file.create_dataset("volLabel", (20, 1, 1), "u1", external=outside)


def mat73_group(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("volLabel")


LABEL_FILES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "npy empty": ("npy", lambda p: p.touch()),
    "npy text": ("npy", lambda p: p.write_text("0 0 1 1")),
    "npy truncated": ("npy", cut(npy(LABELS), 0.9)),
    "npy header only": ("npy", cut(npy(LABELS), 0.3)),
    "npy too short": ("npy", npy(LABELS[:-1])),
    "npy too long": ("npy", npy(np.append(LABELS, 1))),
    "npy NaN": ("npy", npy(np.where(LABELS, np.nan, 0))),
    "npy infinite": ("npy", npy(np.where(LABELS, np.inf, 0))),
    "npy twos": ("npy", npy(LABELS * 2)),
    "npy negative": ("npy", npy(-LABELS.astype(int))),
    "npy complex": ("npy", npy(LABELS + 1j)),
    "npy words": ("npy", npy(LABELS.astype(str))),
    "npy of objects": ("npy", npy(np.array([Bomb()] * 20, object))),
    "npy a pickle": ("npy", lambda p: p.write_bytes(pickle.dumps(Bomb()))),
    "npy a number": ("npy", npy(np.uint8(1))),
    "npy of four dimensions": ("npy", npy(MASKS[None])),
    "npy masks of another length": ("npy", npy(MASKS[:-1])),
    "npy masks with NaN": ("npy", npy(np.where(MASKS, np.nan, 0))),
    "npy an archive": ("npy", lambda p: np.savez(p.open("wb"), a=LABELS)),
    "npy huge": ("npy", npy_header((10**15,))),
    "npy overflow": ("npy", npy_header((2**62, 2**62))),
    "npy negative shape": ("npy", npy_header((-20,))),
    "npy long header": (
        "npy",
        lambda p: p.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b" " * 90000),
    ),
    "npy a folder": ("npy", lambda p: p.mkdir()),
    "npy a pipe": ("npy", lambda p: os.mkfifo(p)),
    "npy a link to itself": ("npy", lambda p: p.symlink_to(p)),
    "npy not there": ("npy", lambda p: None),
    "concatenated of another length": ("npy_concatenated", npy(np.zeros(41))),
    "mat empty": ("mat_volume", lambda p: p.touch()),
    "mat text": ("mat_volume", lambda p: p.write_text("volLabel")),
    "mat truncated": ("mat_volume", cut(lambda p: mat5(p, volLabel=cell(list(MASKS))), 0.8)),
    "mat other variable": ("mat_volume", lambda p: mat5(p, other=MASKS)),
    "mat one mask": ("mat_volume", lambda p: mat5(p, volLabel=MASKS[0])),
    "mat words": ("mat_volume", lambda p: mat5(p, volLabel=cell(["no mask"] * 20))),
    "mat NaN": ("mat_volume", lambda p: mat5(p, volLabel=MASKS.T * np.nan)),
    "mat no masks": ("mat_volume", lambda p: mat5(p, volLabel=cell([]))),
    "mat another length": ("mat_volume", lambda p: mat5(p, volLabel=cell(list(MASKS[1:])))),
    "mat masks of two sizes": (
        "mat_volume",
        lambda p: mat5(p, volLabel=cell([*MASKS[1:], MASKS[0, 1:]])),
    ),
    "mat 7.3 truncated": ("mat_volume", cut(lambda p: write_mat73(p, "volLabel", MASKS), 0.7)),
    "mat 7.3 other variable": ("mat_volume", lambda p: write_mat73(p, "other", MASKS)),
    "mat 7.3 a group": ("mat_volume", mat73_group),
    "mat 7.3 content elsewhere": ("mat_volume", mat73_elsewhere),
    "ranges empty": ("matlab_ranges", lambda p: p.touch()),
    "ranges binary": ("matlab_ranges", lambda p: p.write_bytes(b"\xff\xfe\x00\xd8" * 50)),
    "ranges with code": ("matlab_ranges", lambda p: p.write_text("system('rm -r /');")),
    "ranges not numbers": ("matlab_ranges", lambda p: p.write_text("T{1}.gt_frame = [a:b];")),
    "ranges past the end": ("matlab_ranges", lambda p: p.write_text(
        "T{end+1}.gt_frame = [6:21];\nT{end+1}.gt_frame = [];")),
    "ranges backwards": ("matlab_ranges", lambda p: p.write_text(
        "T{end+1}.gt_frame = [9:6];\nT{end+1}.gt_frame = [];")),
    "ranges from 0": ("matlab_ranges", lambda p: p.write_text(
        "T{end+1}.gt_frame = [0:6];\nT{end+1}.gt_frame = [];")),
    "csv binary": ("csv_intervals", lambda p: p.write_bytes(b"\xff\xfe\x00\xd8" * 50)),
    "csv of another video": ("csv_intervals", lambda p: p.write_text("<script>,1,2")),
    "csv past the end": ("csv_intervals", lambda p: p.write_text("a,5,20")),
    "csv not numbers": ("csv_intervals", lambda p: p.write_text("a,five,ten")),
    "csv huge numbers": ("csv_intervals", lambda p: p.write_text(f"a,5,{'9' * 5000}")),
    "csv huge field": ("csv_intervals", lambda p: p.write_text("a" * 200_000 + ",1,2")),
    "csv semicolons": ("csv_intervals", lambda p: p.write_text("a;5;10")),
    "tracks empty": ("tracks", lambda p: p.touch()),
    "tracks words": ("tracks", lambda p: p.write_text("one,two,three")),
    "tracks infinite": ("tracks", lambda p: p.write_text("1,inf,nan")),
    "tracks past the end": ("tracks", lambda p: p.write_text("1,5,20")),
    "masks a file": ("mask_images", lambda p: p.write_text("x")),
    "masks too few": ("mask_images", lambda p: write_images(p, MASKS[:-1])),
    "masks of gray": ("mask_images", lambda p: write_images(p, moving(20)[..., 0])),
    "masks of two sizes": ("mask_images", lambda p: (
        write_images(p, MASKS), cv2.imwrite(str(p / "007.png"), MASKS[7, 1:]))),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("kind", LABEL_FILES)
def test_damaged_labels(tmp_path: Path, kind: str) -> None:
    form, make = LABEL_FILES[kind]
    path = tmp_path / "it's <b>truth</b>".replace("/", "")
    make(path)
    folders = [write_images(tmp_path / name, moving(20)) for name in ("a", "b")]
    siblings = tuple(Sibling(folder.name, folder, True, "strict") for folder in folders)
    file = TruthFile(format=form, path=path, video="a", place=0, siblings=siblings)
    with pytest.raises(DataError) as caught:
        read_labels(file, 20, (32, 48))
    assert path.name in str(caught.value)
    assert len(str(caught.value)) < 1500


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
@pytest.mark.parametrize("form", ["npy", "mat_volume", "matlab_ranges", "csv_intervals", "tracks"])
def test_random_label_files(tmp_path_factory, form: str, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / f"random {form}"
    path.write_bytes(content)
    sibling = (Sibling("a", path, False, "strict"),)
    try:
        labels = read_labels(TruthFile(format=form, path=path, video="a", siblings=sibling), 20)
        assert labels.shape == (20,)  # an empty CSV says that all is normal
        assert set(labels.tolist()) <= {0, 1}
    except DataError as error:
        assert path.name in str(error)


NUMBERS = st.sampled_from(
    ["0", "5", "6:11", "1e3", "-1", "end", "]", "a", ",", ";", "=", "{", "\n"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(NUMBERS, max_size=12).map(" ".join))
def test_parsers_end_on_almost_right_text(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "almost"
    path.write_text(f"T{{end+1}}.gt_frame = [{text}];")
    for parse in (
        lambda: matlab_ranges(path, 1, 0),
        lambda: csv_intervals(path, "a", ["a"], 0),
        lambda: tracks(path),
    ):
        try:
            assert all(first <= 10**12 for first, *_ in parse())
        except DataError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("version", [5, 7])
def test_flipped_matlab_files(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.mat"
    if version == 5:
        mat5(path, volLabel=cell(list(MASKS)))
    else:
        write_mat73(path, "volLabel", MASKS)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    raised = 0
    for turn in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 3000), 4):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        os.utime(path, ns=(turn, turn))
        try:
            read_labels(TruthFile(format="mat_volume", path=path), 20, (32, 48))
        except DataError as error:
            raised += 1
            assert str(path) in str(error)
    assert raised >= 20
