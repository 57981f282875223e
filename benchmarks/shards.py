"""Training from shards beside the same training from memory (issue goal: 0.97 of its speed)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.common import Row, in_pairs

FRAMES, SIDE, BATCH, STEPS = 200, 256, 4, 5


def rows() -> list[Row]:
    """Train the paper's network on 128 px clips, read from 256 px shards or held in memory."""
    import torch

    from pipeline.shards.reader import open_dataset
    from training.feed.clips import Batch, load_steps
    from training.loops.plan import plan_training, prepare
    from training.networks.autoencoder import reconstruction_loss
    from training.networks.build import build_autoencoder
    from training.record.processes import Group
    from training.settings.base import AutoencoderTraining

    settings = AutoencoderTraining(
        network="spatial", size=128, batch=BATCH, epochs=1000, channels_last=True
    )
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_training(
            open_dataset(write_shards(Path(folder))), settings, Group(0, 1, device)
        )
        torch.manual_seed(0)
        network = build_autoencoder().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

        def read(workers: int) -> Generator[Batch]:
            return load_steps(
                plan.clips, plan.schedule, 0, 0, rank=0, processes=1, workers=workers, pin=False
            )

        def train(batches: Iterator[Batch]) -> None:
            for batch in islice(batches, STEPS):
                clips, target, _ = prepare(batch, plan, device)
                optimizer.zero_grad(set_to_none=True)
                reconstruction_loss(network(clips), target).mean().backward()
                optimizer.step()

        # A reading process goes on while the other side has its turn, but reads no further
        # ahead than it always is: it ends each turn of its own with as much as it began.
        from_shards, inline = read(workers=1), read(workers=0)
        begin = time.perf_counter()
        in_memory = list(islice(inline, STEPS))
        reading = BATCH * STEPS / (time.perf_counter() - begin)
        ours, memory, ratio = in_pairs(
            lambda: train(from_shards), lambda: train(iter(in_memory)), runs=7, warmup=1
        )
        from_shards.close()
    return [
        Row(
            name="shards_vs_memory",
            ours=BATCH * STEPS / ours,
            peer=BATCH * STEPS / memory,
            ratio=ratio,
            goal=0.97,
            unit="clips/s",
            note=f"one reading process, which by itself reads {reading:.0f} clips/s",
        )
    ]


def write_shards(folder: Path) -> Path:
    """Write noise as shards of frames and inpainted frames; return their shards.json."""
    import json

    from pipeline.shards.shard import write_shard

    rng = np.random.default_rng(0)
    shape = (SIDE, SIDE, 3)
    for stage in ("frames", "inpaint"):
        image = rng.integers(0, 256, (FRAMES, *shape), np.uint8)
        write_shard(folder / stage / "train/01/00000.h5", {"image": image}, {})
    stages = {
        stage: {
            "key": stage,
            "folder": str(folder / stage),
            "arrays": {"image": {"dtype": "uint8", "shape": shape}},
            "videos": {"train/01": {"folder": "train/01", "frames": FRAMES}},
        }
        for stage in ("frames", "inpaint")
    }
    video = {
        "name": "train/01",
        "split": "train",
        "frames": FRAMES,
        "scene": "",
        "labelled": False,
        "holdout": False,
        "fps": 25.0,
    }
    content = {"format": 1, "name": "bench", "evaluate": "test", "settings": {}}
    content |= {"shard_frames": 512, "videos": [video], "stages": stages}
    path = folder / "shards.json"
    path.write_text(json.dumps(content))
    return path


if __name__ == "__main__":
    for row in rows():
        print(row)
