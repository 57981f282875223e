"""Bytes a frame and reading speed of every stage under every compression, on real shards.

``python -m benchmarks.compression SHARDS.json [FRAMES]`` writes the first frames of a training
and of a test video anew with each setting and reads them in sequence. Needs a data set's
shards, so ``make bench`` does not run it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import Row, in_pairs, seconds
from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import Dataset, open_dataset
from pipeline.shards.shard import COMPRESSIONS, FrameArray, write_shard

FRAMES = 150


def rows() -> list[Row]:
    """Read noise like Ped2's frames in sequence beside a copy of as many bytes in memory."""
    image = np.random.default_rng(0).integers(0, 256, (512, 256, 256, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        write_shard(Path(folder) / "00000.h5", {"image": image}, {})
        stored = FrameArray(Path(folder), "image", image.shape, "uint8", 512)
        ours, peer, ratio = in_pairs(lambda: stored[0:512], image.copy, runs=9)
    gigabytes = image.nbytes / 1e9
    return [
        Row(
            "shard_reading",
            gigabytes / ours,
            gigabytes / peer,
            ratio,
            0.5,
            "GB/s",
            "512 frames of 256 px from the page cache, beside memcpy",
        )
    ]


def measure(dataset: Dataset, stage: str, frames: int) -> list[tuple[str, float, float, float]]:
    """Return for each compression its name, bytes a frame, and MB/s of writing and reading."""
    arrays: dict[str, np.ndarray] = {}
    videos = [dataset.select(split=split)[:1] for split in ("train", "test")]
    for video in (one for part in videos for one in part):
        try:
            found = dataset.arrays(stage, video.name)
            new = {name: found[name][0:frames] for name in found}
        except ConfigurationError:  # the stage has no shards of this split
            continue
        arrays = {k: np.concatenate([arrays[k], v]) if k in arrays else v for k, v in new.items()}
    count = len(next(iter(arrays.values())))
    megabytes = sum(array.nbytes for array in arrays.values()) / 1e6
    found_rows = []
    for kind in COMPRESSIONS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "00000.h5"
            writing = seconds(lambda: write_shard(path, arrays, {}, kind))  # noqa: B023
            stored = [
                FrameArray(Path(folder), name, array.shape, array.dtype.name, count)
                for name, array in arrays.items()
            ]
            reading = min(seconds(lambda: [s[0:count] for s in stored]) for _ in range(3))  # noqa: B023
            size = path.stat().st_size / count
        found_rows.append((kind, size, megabytes / writing, megabytes / reading))
    return found_rows


def main() -> None:
    """Print the table as Markdown."""
    dataset = open_dataset(sys.argv[1])
    frames = int(sys.argv[2]) if len(sys.argv) > 2 else FRAMES
    kinds = list(COMPRESSIONS)
    print("| stage | " + " | ".join(f"{k}: bytes a frame | read, MB/s" for k in kinds) + " |")
    print("|---|" + "---|---|" * len(kinds))
    for stage in dataset.keys:
        cells = [
            f"{size:,.0f} | {read:,.0f}" for _, size, _, read in measure(dataset, stage, frames)
        ]
        print(f"| {stage} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
