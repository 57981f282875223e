"""Damaged videos, image folders, label files and manifests: a typed error that names the file.

None may hang, crash the interpreter, run what is in the file, or be accepted in silence.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from pipeline.errors import ConfigurationError, DataError
from pipeline.groundtruth import Sibling, TruthFile, read_labels
from pipeline.imagefolder import decode_image
from pipeline.labelformats import csv_intervals, matlab_ranges, tracks
from pipeline.manifest import load_manifest
from pipeline.manifestfile import read_manifest
from pipeline.patterns import find
from pipeline.video import Video
from tests.pipeline.filmed import masks_for, moving, write_images, write_mat73, write_video

LABELS = np.array([0] * 5 + [1] * 6 + [0] * 9, np.uint8)
MASKS = masks_for(LABELS)
TOUCHED = "touched by a file"


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """End a test that hangs, and make sure that no file had its code run."""

    def stop(*_) -> None:
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert TOUCHED not in os.environ


# ------------------------------------------------------------------ videos


def good_mp4(path: Path) -> bytes:
    return write_video(path, moving(40), codec="mp4v").read_bytes()


def good_avi(path: Path) -> bytearray:
    return bytearray(write_video(path.with_suffix(".avi"), moving(40, 64, 96)).read_bytes())


def huge_avi(path: Path) -> None:
    raw = write_video(path.with_suffix(".avi"), moving(20, 64, 96), codec="I420").read_bytes()
    size = struct.pack("<ii", 96, 64)  # what is not compressed has its size in the header alone
    assert size in raw
    path.write_bytes(raw.replace(size, struct.pack("<ii", 60000, 60000)))


def sound(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0" * 16000)


VIDEOS: dict[str, Callable[[Path], object]] = {
    "empty": lambda p: p.touch(),
    "text": lambda p: p.write_text("this is no video\n" * 100),
    "zeros": lambda p: p.write_bytes(b"\0" * 100_000),
    "noise": lambda p: p.write_bytes(np.random.default_rng(0).bytes(100_000)),
    "truncated, no index": lambda p: p.write_bytes(good_mp4(p)[:-2000]),
    "truncated in the middle": lambda p: p.write_bytes(good_avi(p)[:20_000]),
    "only a header": lambda p: write_video(p, moving(0)),
    "one byte": lambda p: p.write_bytes(b"\0"),
    "short": lambda p: write_video(p, moving(15), codec="mp4v"),
    "one image": lambda p: p.write_bytes(cv2.imencode(".png", moving(1)[0])[1].tobytes()),
    "huge size in the header": huge_avi,
    "a folder": lambda p: p.mkdir(),
    "a pipe": lambda p: os.mkfifo(p),
    "a link to itself": lambda p: p.symlink_to(p),
    "a link to nothing": lambda p: p.symlink_to("nowhere.mp4"),
    "a link to a device": lambda p: p.symlink_to("/dev/zero"),
    "a playlist of other files": lambda p: p.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    ),
    "a list to join": lambda p: p.write_text("ffconcat version 1.0\nfile /etc/passwd\n"),
    "sound only": sound,
    "not there": lambda p: None,
}


@pytest.mark.parametrize("name", ["a.mp4", 'it\'s "odd" <b>&amp; %03d.mp4'])
@pytest.mark.parametrize("kind", VIDEOS)
def test_damaged_videos(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    VIDEOS[kind](path)
    video = Video(name="train/a", split="train", path=path)
    with pytest.raises(DataError) as caught:
        video.probe()
    assert name in str(caught.value)
    assert len(str(caught.value)) < 1000
    if kind != "short":
        with pytest.raises(DataError):
            video.read(range(40))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_video_without_permission(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", moving(20))
    path.chmod(0)
    with pytest.raises(DataError, match=r"a\.avi"):
        Video(name="train/a", split="train", path=path).probe()


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "mp4v")]
)
def test_flipped_and_cut_videos(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"a{suffix}"
    content = write_video(path, moving(20), codec=codec).read_bytes()
    rng = np.random.default_rng(0)
    raised = 0
    for turn in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 1500), 3):
            damaged[place] ^= int(rng.integers(1, 256))
        if turn % 3 == 0:
            damaged = damaged[: rng.integers(len(damaged))]
        path.write_bytes(damaged)
        os.utime(path, ns=(turn, turn))
        try:
            facts = Video(name="train/a", split="train", path=path).probe()
            assert facts.frames >= 16
        except DataError as error:
            raised += 1
            assert str(path) in str(error)
    assert raised >= 20


# ------------------------------------------------------------------ image folders


def png_of_size(width: int, height: int) -> bytes:
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    )


def deep(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((32, 48), np.uint16))


def replaced(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = folder / "007.png"
        path.unlink()
        make(path)

    return damage


def folder_is_a_file(folder: Path) -> None:
    empty(folder)
    folder.rmdir()
    folder.write_text("x")


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def looped(folder: Path) -> None:
    empty(folder)
    folder.rmdir()
    folder.symlink_to(folder)


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty folder": (empty, "no images"),
    "a file": (folder_is_a_file, "frames"),
    "a link to itself": (looped, "frames"),
    "missing number": (lambda f: (f / "007.png").unlink(), "frame number 7 is missing"),
    "number twice": (lambda f: (f / "07.png").write_bytes(b"x"), "the same number"),
    "two kinds": (lambda f: (f / "020.jpg").write_bytes(b"x"), "mixes"),
    "no number": (lambda f: (f / "title.png").write_bytes(b"x"), "title.png"),
    "a number without end": (lambda f: (f / f"{'9' * 200}.png").write_bytes(b"x"), "no frame num"),
    "too few": (lambda f: [(f / f"{n:03}.png").unlink() for n in range(15, 20)], "has 15 frames"),
    "empty image": (replaced(lambda p: p.touch()), "007.png: is an empty file"),
    "text": (replaced(lambda p: p.write_text("no image")), "007.png: is no image"),
    "half an image": (
        replaced(lambda p: p.write_bytes(cv2.imencode(".png", moving(1)[0])[1].tobytes()[:900])),
        "007.png: ends in the middle",
    ),
    "huge size in the header": (
        replaced(lambda p: p.write_bytes(png_of_size(2**30, 2**30))),
        "007.png",
    ),
    "16 bits": (replaced(deep), "007.png: has uint16 pixels"),
    "another size": (
        replaced(lambda p: cv2.imwrite(str(p), np.zeros((9, 9), np.uint8))),
        "007.png: frame 7 is 9x9",
    ),
    "image is a link to itself": (replaced(lambda p: p.symlink_to(p)), "007.png"),
    "image is a pipe": (replaced(os.mkfifo), "007.png: is not a file"),
    "image is a folder": (replaced(lambda p: p.mkdir()), "007.png: is not a file"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_damaged_image_folders(tmp_path: Path, kind: str) -> None:
    folder = write_images(tmp_path / "frames", moving(20))
    damage, says = FOLDERS[kind]
    damage(folder)
    with pytest.raises(DataError) as caught:
        Video(name="train/a", split="train", path=folder, images=True).probe()
    assert str(folder) in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_images_cut_anywhere(suffix: str) -> None:
    content = cv2.imencode(suffix, moving(1)[0])[1].tobytes()
    for length in range(0, len(content), 37):
        with pytest.raises(DataError, match="cut"):
            decode_image(content[:length], Path("cut"))
    assert decode_image(content, Path("whole")).shape == (32, 48, 3)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0"]), st.binary())
def test_random_bytes_are_no_image(start: bytes, rest: bytes) -> None:
    with pytest.raises(DataError, match="where"):
        decode_image(start + rest, Path("where"))


# ------------------------------------------------------------------ labels


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


# ------------------------------------------------------------------ manifests

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


# ------------------------------------------------------------------ names


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
