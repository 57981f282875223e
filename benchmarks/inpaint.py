"""The time a frame of the embedded inpainter: windows, batches, precision; one core.

Frames are of 256 x 256 with a hole of Ped2's usual size (about 0.3 % of the frame) in a
window of 64 px, or a larger one in a window of 128 px; 20 steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.common import Row, in_pairs
from pipeline.models.inpainting.holes import Windowing
from pipeline.models.inpainting.inpainters import EMBEDDED, load_latent

FRAMES, SIZE, STEPS = 8, 256, 20
HOLES = {64: (26, 10), 128: (80, 40)}
"""Height and width in pixels of the hole whose window has this side."""

UNIT = "s a frame"


def rows() -> list[Row]:
    """Rows ``inpaint_*``; of each the first is ours, and ``peer`` is what it is compared with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            _row("inpaint_hole", timed(64), timed(64, window="full"), "hole against full window"),
            _row(
                "inpaint_64", timed(64), timed(64, batch=1), "64 px: batch 8 against 1; goal 0.1 s"
            ),
            _row(
                "inpaint_128",
                timed(128),
                timed(128, batch=1),
                "128 px: batch 8 against 1; goal 0.2 s",
            ),
            _row(
                "inpaint_full",
                timed(64, window="full"),
                timed(64, window="full", batch=1, frames=2),
                "whole frames of 256 px: batch 8 against 1",
                runs=2,
            ),
            _row(
                "inpaint_bf16",
                timed(64, precision="bf16"),
                timed(64),
                "64 px: bf16 against fp32; slower where the processor has no bf16",
                runs=2,
            ),
        ]
    finally:
        torch.set_num_threads(threads)


def timed(
    side: int,
    *,
    window: str = "hole",
    batch: int = FRAMES,
    precision: str = "fp32",
    frames: int = FRAMES,
) -> tuple[Callable[[], object], int]:
    """Return what inpaints ``frames`` frames whose hole windows are of ``side``, and ``frames``."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (frames, SIZE, SIZE, 3), np.uint8)
    masks = np.zeros((frames, SIZE, SIZE), np.uint8)
    height, width = HOLES[side]
    masks[:, 100 : 100 + height, 90 : 90 + width] = 1
    windowing = Windowing(window=window, batch=batch)
    inpainter = load_latent(EMBEDDED, windowing=windowing, steps=STEPS, precision=precision)
    assert window == "full" or inpainter.windowing.place(masks[0]).run == side
    return lambda: inpainter(images, masks, range(frames)), frames


def _row(
    name: str,
    ours: tuple[Callable[[], object], int],
    peer: tuple[Callable[[], object], int],
    note: str,
    runs: int = 3,
) -> Row:
    mine, other, ratio = in_pairs(ours[0], peer[0], runs=runs)
    ratio *= ours[1] / peer[1]
    return Row(name, mine / ours[1], other / peer[1], ratio, None, UNIT, f"{note}; one core")


if __name__ == "__main__":
    print(f"{'row':14} {'ours':>9} {'other':>9} {'ratio':>7}")
    for row in rows():
        print(f"{row.name:14} {row.ours:9.4f} {row.peer:9.4f} {row.ratio:7.2f}  {row.note}")
