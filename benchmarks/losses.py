"""Loss curves of finished trainings, side by side.

``python -m benchmarks.losses ONE OTHER...``: the first training against the second, which should
differ in nothing but how it computes, beside what other seeds of the second differ by. Each
argument is a network's folder (``.../baseline-seed0/spatial``).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

PARTS = 5


def losses(folder: Path) -> dict[int, float]:
    """Return the loss at each logged step of a training, from its ``metrics.jsonl``."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    return {event["step"]: event["loss"] for event in events if event["type"] == "step"}


def table(one: Path, others: list[Path]) -> str:
    """Return the table in Markdown: means over a fifth of the steps each."""
    curves = [losses(folder) for folder in (one, *others)]
    steps = sorted(set.intersection(*map(set, curves)))
    values = np.array([[curve[step] for step in steps] for curve in curves])
    lines = [
        f"| steps | {one} | {others[0]} | largest difference at a step | spread over seeds |",
        "|---|---|---|---|---|",
    ]
    for part in np.array_split(np.arange(len(steps)), PARTS):
        first, second = values[0, part], values[1, part]
        gap = np.abs(first - second).max()
        spread = np.ptp(values[1:, part], axis=0).mean()
        lines.append(
            f"| {steps[part[0]]} to {steps[part[-1]]} | {first.mean():.6f} | {second.mean():.6f} "
            f"| {gap:.1e} | {spread:.1e} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    folders = [Path(name) for name in sys.argv[1:]]
    if len(folders) < 3:
        sys.exit(__doc__)
    print(table(folders[0], folders[1:]))
