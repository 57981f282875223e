"""Reading a progressive H.264 file frame by frame, against OpenCV's VideoCapture."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.common import Row, in_pairs
from pipeline.data.video.file import FileReader
from pipeline.data.video.write import write_video

FRAMES = 100
SIZES = {"decode_360p": (360, 640), "decode_1080p": (1080, 1920)}


def rows() -> list[Row]:
    """A row for each size, seconds to read all frames as RGB."""
    table = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (height, width) in SIZES.items():
            path = Path(folder) / f"{name}.mp4"
            write_pans(path, height, width)
            mine, theirs, ratio = in_pairs(partial(ours, path), partial(peer, path), runs=5)
            note = f"{width}x{height}, {FRAMES} frames, against OpenCV {cv2.__version__}"
            table.append(Row(name, mine, theirs, ratio, 1.0, "s", note))
    return table


def write_pans(path: Path, height: int, width: int) -> None:
    """Write a window that wanders over a smooth random picture."""
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    picture = cv2.resize(rough, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    with write_video(path, 25.0) as writer:
        for number in range(FRAMES):
            writer.write(picture[number : number + height, 2 * number : 2 * number + width])


def ours(path: Path) -> int:
    """Read all frames."""
    reader = FileReader(path)
    frames = sum(1 for _ in reader)
    reader.close()
    return frames


def peer(path: Path) -> int:
    """Read all frames by OpenCV, as RGB too."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames = 0
    while True:
        found, image = capture.read()
        if not found:
            return frames
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        frames += 1
