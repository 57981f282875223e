"""The formats in which data sets give pixel masks, each read frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.base.errors import DataError
from pipeline.data.truth.labels import binary, load_array, tracks
from pipeline.data.video.folder import decode_image, list_images, read_bytes


@dataclass(frozen=True)
class Pixels:
    """A reader of the pixel masks of one video.

    Attributes
    ----------
    frames : int
        Length of the video.
    size : (int, int)
        Height and width.
    mask : callable
        From a frame number to its (H, W) uint8 mask, 1 = anomalous.
    """

    frames: int
    size: tuple[int, int]
    mask: Callable[[int], np.ndarray]

    def read(self, frames: range) -> np.ndarray:
        """Return masks (N, H, W) uint8 of {0, 1}.

        Raises
        ------
        DataError
            A mask is missing, damaged or of another size.
        """
        found = [self.mask(number) for number in frames]
        return np.stack(found) if found else np.empty((0, *self.size), np.uint8)


def normal(frames: int, size: tuple[int, int]) -> Pixels:
    """Nothing anomalous anywhere."""
    return Pixels(frames, size, lambda _: np.zeros(size, np.uint8))


def npy_volume(path: Path, frames: int) -> Pixels:
    """A ``.npy`` file of shape (N, H, W) with values 0 and 1, or 0 and 255."""
    volume = load_array(path)
    if volume.ndim != 3 or volume.shape[0] != frames:
        raise DataError(
            f"{path}: is of shape {volume.shape}, the video has {frames} frames; "
            "(frames, height, width) is needed"
        )

    def mask(number: int) -> np.ndarray:
        values = np.asarray(volume[number])
        if values.dtype == np.uint8 and (values == 255).any():
            values = values / 255.0
        return binary(values, path, f"frame {number}: pixel")

    return Pixels(frames, (volume.shape[1], volume.shape[2]), mask)


def mat_volume(path: Path, variable: str, frames: int) -> Pixels:
    """A MATLAB label volume, see :mod:`pipeline.data.truth.matlab`."""
    from pipeline.data.truth.matlab import read_volume
    from pipeline.data.video.file import stamp

    packed, size = read_volume(path, variable, stamp(path))
    if len(packed) != frames:
        raise DataError(
            f"{path}: {variable} holds {len(packed)} masks, the video has {frames} frames; "
            "check that they belong together"
        )

    def mask(number: int) -> np.ndarray:
        return np.unpackbits(packed[number])[: size[0] * size[1]].reshape(size)

    return Pixels(frames, size, mask)


def mask_images(folder: Path, frames: int) -> Pixels:
    """A folder of one mask image a frame, numbered like frames; black is normal."""
    paths = list_images(folder)
    if len(paths) != frames:
        raise DataError(
            f"{folder}: holds {len(paths)} masks, the video has {frames} frames; "
            "one for each is needed, also for normal frames"
        )
    size = _mask(paths[0]).shape

    def mask(number: int) -> np.ndarray:
        found = _mask(paths[number])
        _same(found, (size[0], size[1]), paths[number])
        return found

    return Pixels(frames, (size[0], size[1]), mask)


def _mask(path: Path) -> np.ndarray:
    image = decode_image(read_bytes(path), path, cv2.IMREAD_GRAYSCALE)
    values = np.unique(image)
    if len(values) > 2 or (len(values) == 2 and values[0] != 0):
        raise DataError(
            f"{path}: has {len(values)} gray values, a mask has 0 and one other; "
            "save masks without lossy compression"
        )
    return (image != 0).astype(np.uint8)


def _same(mask: np.ndarray, size: tuple[int, int], path: Path) -> None:
    if mask.shape != size:
        raise DataError(
            f"{path}: is {mask.shape[1]}x{mask.shape[0]}, the other masks are {size[1]}x{size[0]}"
        )


def track_images(path: Path, image: Callable[[int], Path], frames: int) -> Pixels:
    """UBnormal: maps of object ids, of which those in the tracks are anomalous.

    Parameters
    ----------
    path : Path
        The tracks: rows object id, first frame, last frame.
    image : callable
        From a frame number to the path of its map of object ids.
    frames : int
        Length of the video.
    """
    rows = tracks(path)

    def objects(number: int) -> np.ndarray:
        where = image(number)
        return decode_image(read_bytes(where), where, cv2.IMREAD_GRAYSCALE)

    size = objects(rows[0][1]).shape

    def mask(number: int) -> np.ndarray:
        wanted = [identity for identity, first, last in rows if first <= number <= last]
        if not wanted:
            return np.zeros(size, np.uint8)
        found = objects(number)
        _same(found, (size[0], size[1]), image(number))
        return np.isin(found, wanted).astype(np.uint8)

    return Pixels(frames, (size[0], size[1]), mask)
