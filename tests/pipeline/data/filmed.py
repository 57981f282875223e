"""Small videos, image folders and label files for the tests of the data road."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import cv2
import h5py
import numpy as np


def moving(frames: int = 20, height: int = 32, width: int = 48, seed: int = 0) -> np.ndarray:
    """(N, H, W, 3) uint8: a bright square that moves over noise, each frame different."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 90, (1, height, width, 3)).repeat(frames, 0).astype(np.uint8)
    for number, image in enumerate(images):
        left = number % (width - 8)
        image[8:16, left : left + 8] = (200, 120, number % 200)
    return images


def write_video(path: Path, images: np.ndarray, fps: float = 25.0, codec: str = "MJPG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (images.shape[2], images.shape[1])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
    assert writer.isOpened()
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def write_images(
    folder: Path, images: np.ndarray, pattern: str = "{:03d}.png", first: int = 0
) -> Path:
    """RGB (N, H, W, 3) or gray (N, H, W) images, one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, start=first):
        out = image[..., ::-1] if image.ndim == 3 else image
        assert cv2.imwrite(str(folder / pattern.format(number)), out)
    return folder


def damage(path: Path, *numbers: int) -> Path:
    """Overwrite whole packets of a file with zeros."""
    with av.open(str(path)) as container:
        packets = [(one.pos, one.size) for one in container.demux(video=0) if one.size]
    with path.open("r+b") as file:
        for number in numbers:
            place, size = packets[number]
            file.seek(place)
            place += 8 if file.read(4) == b"00dc" else 0  # AVI: a chunk's name and size
            file.seek(place)
            file.write(b"\0" * size)
    return path


def all_frames(path: Path) -> np.ndarray:
    """Every frame by the plainest loop: the reference of the sequential reader."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    images = []
    while True:
        found, image = capture.read()
        if not found:
            return np.stack(images)
        images.append(image[..., ::-1])


def masks_for(labels: np.ndarray, height: int = 32, width: int = 48) -> np.ndarray:
    """(N, H, W) uint8 of {0, 1}: a box in every anomalous frame, wandering."""
    masks = np.zeros((len(labels), height, width), np.uint8)
    for number in np.flatnonzero(labels):
        masks[number, 4:10, number % 30 : number % 30 + 7] = 1
    return masks


def write_mat73(path: Path, variable: str, masks: np.ndarray, cell: bool = True) -> Path:
    """As MATLAB's ``save -v7.3`` does: 512 bytes of its own, then HDF5 with shapes reversed."""
    content = io.BytesIO()
    with h5py.File(content, "w", userblock_size=512) as file:
        if cell:
            group = file.create_group("#refs#")
            references = np.empty((len(masks), 1), h5py.ref_dtype)
            for number, mask in enumerate(masks):
                references[number, 0] = group.create_dataset(f"m{number}", data=mask.T).ref
            file.create_dataset(variable, data=references, dtype=h5py.ref_dtype)
        else:
            file.create_dataset(variable, data=np.moveaxis(masks, 0, 2).T)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + b"\0" * 8
    header += struct.pack("<HH", 0x0200, 0x4D49)
    path.write_bytes(header.ljust(512, b"\0") + content.getvalue()[512:])
    return path
