"""Damaged image folders and images: a typed error that names the file.

None may hang, crash the interpreter, run what is in the file, or be accepted in silence.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import DataError
from pipeline.data.video.folder import decode_image
from pipeline.data.video.video import Video
from tests.pipeline.data.filmed import moving, write_images


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


def _pages(pages: Path, path: Path) -> None:
    assert cv2.imwritemulti(str(pages), [*moving(2)])
    pages.rename(path)


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
    "several pages": (
        replaced(lambda p: _pages(p.with_suffix(".tif"), p)),
        "007.png: holds several pages",
    ),
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
