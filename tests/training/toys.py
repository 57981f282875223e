"""A small data set of random shards, written as the pipeline writes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pipeline.shards.shard import write_shard

SHARD_FRAMES = 10
FEATURES = 8


def write_dataset(
    folder: Path,
    videos: dict[str, int],
    *,
    holdout: tuple[str, ...] = (),
    size: int = 32,
    stages: tuple[str, ...] = (
        "frames",
        "inpaint",
        "flow",
        "mixed_flow",
        "features",
        "pa_features",
    ),
    flow_scale: float | None = 2.0,
    nan_features: bool = False,
) -> Path:
    """Write shards of every stage for the named videos, and their shards.json."""
    rng = np.random.default_rng(5)
    kinds = {
        "frames": ("image", "uint8", (size, size, 3)),
        "inpaint": ("image", "uint8", (size, size, 3)),
        "flow": ("flow", "float16", (size, size, 2)),
        "mixed_flow": ("flow", "float16", (size, size, 2)),
        "features": ("feature", "float32", (FEATURES,)),
        "pa_features": ("feature", "float32", (FEATURES,)),
        "patches": ("patch", "float16", (4, 4, FEATURES)),
    }
    entries = {}
    for stage in stages:
        array, dtype, shape = kinds[stage]
        where = {}
        for name, frames in videos.items():
            length = frames - 1 if "flow" in stage else frames
            data = _random(rng, stage, dtype, (length, *shape))
            if nan_features and stage == "features":
                data[3, 0] = np.nan
            for number, at in enumerate(range(0, length, SHARD_FRAMES)):
                part = data[at : at + SHARD_FRAMES]
                write_shard(folder / stage / name / f"{number:05d}.h5", {array: part}, {})
            where[name] = {"folder": name, "frames": length}
        entries[stage] = {
            "key": f"key-of-{stage}",
            "recipe": {"stage": stage, "settings": {}},
            "folder": str(folder / stage),
            "arrays": {array: {"dtype": dtype, "shape": list(shape)}},
            "videos": where,
        }
    path = folder / "shards.json"
    content = {
        "format": 1,
        "name": "toy",
        "evaluate": "test",
        "settings": {} if flow_scale is None else {"flow_scale": flow_scale},
        "shard_frames": SHARD_FRAMES,
        "videos": [
            {
                "name": name,
                "split": name.split("/")[0],
                "frames": frames,
                "scene": "",
                "labelled": False,
                "holdout": name in holdout,
                "fps": 10.0,
            }
            for name, frames in videos.items()
        ],
        "stages": entries,
    }
    path.write_text(json.dumps(content))
    return path


def _random(rng, stage, dtype, shape):
    if dtype == "uint8":
        return rng.integers(0, 256, shape, np.uint8)
    shift = 1.0 if stage == "pa_features" else 0.0
    return (rng.normal(size=shape) + shift).astype(dtype)
