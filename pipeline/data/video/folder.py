"""Folders of numbered images: names in natural order, no number missing, one size."""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from pipeline.base.errors import DataError

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key by which ``frame9`` comes before ``frame10``.

    >>> sorted(["10", "9", "a2", "a10"], key=natural)
    ['9', '10', 'a2', 'a10']
    """
    parts = re.split(r"([0-9]+)", text)
    return [
        (0, int(part[:4000]), part) if index % 2 else (1, 0, part)
        for index, part in enumerate(parts)
        if part
    ]


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    DataError
        It is missing, a folder, a pipe or device (which could block for ever), or unreadable.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise DataError(f"{path}: is not a file; put the real file there")
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: not found; check the manifest's path or copy it again") from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> DataError:
    """Return the error for a path that the system does not let us read."""
    reason = getattr(error, "strerror", None) or error
    return DataError(f"{path}: cannot be read ({reason}); check its links and permissions")


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder in the order of their numbers.

    The number is the last run of digits in the name. Hidden files are left out, as are
    files that are no images; images of two kinds in one folder are an error.

    Raises
    ------
    DataError
        No folder, no images, a name without number, a number twice or missing.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        raise DataError(f"{folder}: folder not found; check DATA and the manifest") from None
    except OSError as error:
        raise unreadable(folder, error) from error
    images = [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        kinds = ", ".join(IMAGE_SUFFIXES)
        raise DataError(f"{folder}: holds no images ({kinds}); extract the frames into it")
    suffixes = sorted({Path(name).suffix for name in images})
    if len(suffixes) > 1:
        raise DataError(f"{folder}: mixes {' and '.join(suffixes)}; keep one kind of images in it")
    numbered = sorted((_number(folder, name), name) for name in images)
    for (before, first), (after, second) in itertools.pairwise(numbered):
        if before == after:
            raise DataError(
                f"{folder}: {first} and {second} have the same number; keep one of them"
            )
        if after != before + 1:
            raise DataError(
                f"{folder}: frame number {before + 1} is missing, between {first} and {second}; "
                "copy the folder again, or renumber the images without a gap"
            )
    return [folder / name for _, name in numbered]


def _number(folder: Path, name: str) -> int:
    runs = re.findall(r"[0-9]+", Path(name).stem)
    if not runs or len(runs[-1]) > 18:
        raise DataError(
            f"{folder / name}: has no frame number in its name; name images 000.png ..."
        )
    return int(runs[-1])


def decode_image(content: bytes, path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Decode an image; gray is repeated over three channels by the default ``flags``.

    Returns
    -------
    ndarray, (H, W, 3) uint8 in BGR, or as ``flags`` ask.

    Raises
    ------
    DataError
        Empty, truncated, no image, or not of 8 bits a channel.
    """
    if not content:
        raise DataError(f"{path}: is an empty file; copy it again")
    if _cut_short(content):
        raise DataError(f"{path}: ends in the middle of the image; copy it again")
    if _pages(content) > 1:
        raise DataError(
            f"{path}: holds several pages; write each as a file of its own, numbered in its name"
        )
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_ANYDEPTH)
    except (cv2.error, MemoryError) as error:
        raise DataError(f"{path}: cannot be decoded ({_short(error)}); copy it again") from error
    if image is None:
        raise DataError(f"{path}: is no image or is truncated; copy it again")
    if image.dtype != np.uint8:
        raise DataError(f"{path}: has {image.dtype} pixels; convert it to 8 bits a channel")
    return image


def _cut_short(content: bytes) -> bool:
    """Return whether an image lacks its end, which decoders fill with gray in silence."""
    if content.startswith(b"\xff\xd8"):  # JPEG: the end mark comes after the last scan's start
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    if content.startswith(b"\x89PNG"):
        return b"IEND" not in content
    if content.startswith(b"BM"):
        return int.from_bytes(content[2:6], "little") > len(content)
    return False


def _pages(content: bytes) -> int:
    """Return 2 for a TIFF of several pages, of which decoders give the first, else 1."""
    order: Literal["little", "big"] = "little" if content.startswith(b"II") else "big"
    if content[:2] not in (b"II", b"MM") or int.from_bytes(content[2:4], order) not in (42, 43):
        return 1
    # of a page: how many entries it has, the entries, and where the next page lies
    count, entry, offset, start = (
        (2, 12, 4, 4) if int.from_bytes(content[2:4], order) == 42 else (8, 20, 8, 8)
    )
    first = int.from_bytes(content[start : start + offset], order)
    entries = int.from_bytes(content[first : first + count], order)
    end = first + count + entry * entries
    return 2 if int.from_bytes(content[end : end + offset], order) else 1


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[-120:] or type(error).__name__


def rgb_frames(paths: list[Path], wanted: range) -> Iterator[np.ndarray]:
    """Yield the wanted images as (H, W, 3) uint8 RGB, all of the first one's size."""
    shape: tuple[int, ...] | None = None
    for number in wanted:
        if number >= len(paths):
            raise DataError(
                f"{paths[-1].parent}: frame {number} was asked for, it has {len(paths)} images"
            )
        image = decode_image(read_bytes(paths[number]), paths[number])
        shape = shape or image.shape
        same_size(image.shape, shape, paths[number], number)
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def same_size(found: tuple[int, ...], shape: tuple[int, ...], path: Path, frame: int) -> None:
    """Raise a DataError unless a frame has the size of those before it."""
    if found[:2] != shape[:2]:
        raise DataError(
            f"{path}: frame {frame} is {found[1]}x{found[0]}, those before it are "
            f"{shape[1]}x{shape[0]}; split the video where its size changes, or resize it"
        )
