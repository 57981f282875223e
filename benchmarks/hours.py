"""Hours for the four data sets, computed from what was measured on one of them.

``python -m benchmarks.hours SHARDS.json``: the seconds that each shard's record says it took give
core seconds a frame; frames, videos and shards of the data sets give hours on 1, 16 and 256
cores. ``build/bench.json`` gives the training step and the scoring. Nothing here is measured:
a shard is the unit of work, so no stage is faster than its longest shard, and workers are taken to
scale as the row ``two_workers`` does.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHARD = 512
EPOCHS, PX = 25, 256
CORES = (1, 16, 256)


@dataclass(frozen=True)
class DataSet:
    """Frames and videos: normal ones for training, and those that are scored."""

    name: str
    train: tuple[int, int]
    test: tuple[int, int]


DATA_SETS = (
    DataSet("UCSD Ped2", (2550, 16), (2010, 12)),
    DataSet("CUHK Avenue", (15328, 16), (15324, 21)),
    DataSet("ShanghaiTech", (274515, 330), (40791, 107)),
    # 186 of the 268 training videos are normal; 116 087 frames are those of all 268.
    DataSet("UBnormal (val)", (116087, 186), (28175, 64)),
)


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a stage's shards."""
    for path in sorted(folder.rglob("[0-9]*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def seconds_a_frame(shards: Path) -> dict[str, tuple[float, bool]]:
    """Return for each stage its core seconds a frame, and whether test videos have it too."""
    found = {}
    for name, stage in json.loads(shards.read_text(encoding="utf-8"))["stages"].items():
        entries = list(records(Path(stage["folder"])))
        frames = sum(entry["stop"] - entry["start"] for entry in entries)
        splits = {entry["video"].partition("/")[0] for entry in entries}
        found[name] = (sum(entry["seconds"] for entry in entries) / frames, "test" in splits)
    return found


def hours(parts: list[tuple[int, int, float]], cores: int) -> float:
    """Return hours for parts of (frames, videos, seconds a frame), one after the other."""
    total = 0.0
    for frames, videos, cost in parts:
        longest = min(SHARD, math.ceil(frames / videos))
        total += max(frames * cost / cores, longest * cost)
    return total / 3600


def main() -> None:
    """Print the tables as Markdown."""
    costs = seconds_a_frame(Path(sys.argv[1]))
    rows = {row["name"]: row for row in json.loads(Path("build/bench.json").read_text())["rows"]}
    step, scoring = rows["autoencoder_step"]["ours"], rows["scoring"]["ours"]
    print("| stage | core ms a frame |")
    print("|---|---|")
    for name, (cost, _) in costs.items():
        print(f"| {name} | {1e3 * cost:.2f} |")
    shards = " | ".join(f"shards, {n} core{'s' * (n > 1)}" for n in CORES)
    print(f"\n| data set | {shards} | ", end="")
    print("one network, 25 epochs, 2 cores | scores, 2 cores |")
    print("|---|" + "---|" * (len(CORES) + 2))
    for data in DATA_SETS:
        parts = []
        for cost, tested in costs.values():
            splits = (data.train, data.test) if tested else (data.train,)
            parts += [(frames, videos, cost) for frames, videos in splits]
        clips = data.train[0] - 15 * data.train[1]
        cells = [f"{hours(parts, cores):.2f} h" for cores in CORES]
        cells += [
            f"{EPOCHS * clips * step / 3600:.0f} h",
            f"{data.test[0] * scoring / 3.6e6:.2f} h",
        ]
        print(f"| {data.name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
