"""Shards that travel, beside a plain copy of the same folder: what checking and records cost."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import Row, in_pairs

SHARDS, FRAMES, SIDE = 40, 32, 256


def rows() -> list[Row]:
    """Push and pull shards of 6 MB by a folder; the peer copies the folder."""
    from pipeline.base.files import write_json
    from pipeline.execution.plan import recipe_key
    from pipeline.execution.store import open_store
    from pipeline.execution.travel import pull, push
    from pipeline.shards.shard import write_shard

    rng = np.random.default_rng(0)
    recipe = {"stage": "frames"}
    key = recipe_key(recipe)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        stage = cache / "bench" / "frames" / key[:12]
        write_json(stage / "recipe.json", recipe | {"key": key})
        image = rng.integers(0, 256, (FRAMES, SIDE, SIDE, 3), np.uint8)
        for number in range(SHARDS):
            write_shard(stage / "train" / "01" / f"{number:05d}.h5", {"image": image}, {"key": key})
        store = open_store(f"{folder}/store")
        other, copy = Path(folder) / "other", Path(folder) / "copy"

        def fresh(call: object, target: Path) -> None:
            shutil.rmtree(target, ignore_errors=True)
            call()  # type: ignore[operator]

        def copied() -> None:
            fresh(lambda: shutil.copytree(cache, copy), copy)

        pushed = in_pairs(
            lambda: fresh(lambda: push(cache, store), Path(store.root)), copied, runs=3
        )
        pulled = in_pairs(lambda: fresh(lambda: pull(store, other), other), copied, runs=3)
    note = f"{SHARDS} shards of {image.nbytes / 1e6:.1f} MB; peer: shutil.copytree"
    return [
        Row(name, 1e3 * ours / SHARDS, 1e3 * peer / SHARDS, ratio, None, "ms a shard", note)
        for name, (ours, peer, ratio) in (("sharing: push", pushed), ("sharing: pull", pulled))
    ]
