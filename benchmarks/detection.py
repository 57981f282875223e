"""Frames a second of ``evaluation detect`` with the preset quick, by what is computed.

A run is made of three tiny plaza videos by the commands that users type; its networks have the
paper's size and hardly any training, which costs the same. Overlay and report are not in it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Row

FRAMES = 40
"""Frames of each video, and of each turn."""

TURNS = 3

KINDS: dict[str, dict[str, Any]] = {
    "detect": {},
    "detect_flow": {"indicators": ["flow"]},
    "detect_dense": {"protocol": "dense"},
}


def rows() -> list[Row]:
    """Detect in turn frame by frame, as from a camera, and eight frames at once, as from a file."""
    from pipeline.data.plaza.demo import render_scene

    images = [rendered.frame for rendered in render_scene(77, frames=FRAMES)]
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder))
        return [measure(name, run, images) for name in KINDS]


def measure(name: str, run: Path, images: list[np.ndarray]) -> Row:
    """Measure one way of detecting."""
    from evaluation import Detector

    rates: dict[int, list[float]] = {1: [], 8: []}
    detectors = {batch: Detector(run, batch=batch, **KINDS[name]) for batch in rates}
    for turn in range(TURNS + 1):
        for batch, detector in detectors.items():
            begun = time.perf_counter()
            assert len(list(detector.scores(images))) == FRAMES
            if turn:
                rates[batch].append(FRAMES / (time.perf_counter() - begun))
    one, eight = (statistics.median(rates[batch]) for batch in (1, 8))
    gain = statistics.median(b / a for a, b in zip(*rates.values(), strict=True))
    detector = detectors[1]
    note = (
        f"320x240 video, batch 8 beside frame by frame; {detector.protocol}: "
        f"{', '.join(detector.indicators)}; a score comes {detector.delay} frames after its frame"
    )
    return Row(name, eight, one, gain, None, "frames/s", note)


def make_run(folder: Path) -> Path:
    """Make and score a run; return its folder."""
    run = folder / "runs/unified-seed0"
    shards = run.parent / "shards.json"
    source = f"--source.manifest demo --source.data {folder}/videos --source.cache {folder}/cache"
    commands = [
        f"pipeline demo {folder}/videos --settings.train_videos 2 --settings.test_videos 1 "
        f"--settings.frames {FRAMES}",
        f"pipeline run --config pipeline/presets/quick.yaml --stages.inpaint.engine telea {source} "
        f"--out {run.parent}",
    ]
    commands += [
        f"training autoencoder --config training/presets/quick.yaml --config "
        f"training/methods/unified.yaml --network {network} --epochs 1 "
        f"--max_clips 4 --shards {shards} --out {run / network}"
        for network in ("spatial", "temporal")
    ]
    commands += [
        f"training discriminator --config training/presets/quick.yaml --shards {shards} "
        f"--out {run / 'discriminator'}",
        f"evaluation score --config evaluation/presets/quick.yaml --run {run} "
        "--scoring.movers false --fusing.pseudo own --fusing.samples 0",
    ]
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr}")
    return run


if __name__ == "__main__":
    for row in rows():
        print(row)
