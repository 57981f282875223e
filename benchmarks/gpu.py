"""One GPU: a training step by precision and layout, and the stages that want a GPU.

    python -m benchmarks gpu

Each row's peer is measured in the same run: for a training step PyTorch's eager bf16 in
channels_last_3d with ``cudnn.benchmark``, for a stage the same stage on one core of the processor.
Where there is no GPU the topic says so and has no rows.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.common import Row, seconds

CLIPS, SIZE, STEPS, WARM_UP = 24, 256, 10, 3
FRAMES = 256


@dataclass(frozen=True)
class Way:
    """How a step is taken."""

    name: str
    bf16: bool
    channels_last: bool
    tf32: bool = False
    deterministic: bool = False
    compiled: bool = False
    fused: bool = False


PEER = Way("eager", bf16=True, channels_last=True)
WAYS = (
    Way("fp32", bf16=False, channels_last=False, deterministic=True),
    Way("fp32 by TF32", bf16=False, channels_last=False, tf32=True, deterministic=True),
    Way("bf16 deterministic", bf16=True, channels_last=True, deterministic=True),
    Way("bf16 fused Adam", bf16=True, channels_last=True, fused=True),
    Way("bf16 compiled", bf16=True, channels_last=True, compiled=True, fused=True),
)


def rows() -> list[Row]:
    """Rows in ms a step and in frames a second; none where PyTorch sees no GPU."""
    import torch

    if not torch.cuda.is_available():
        print("gpu: PyTorch sees no GPU here; nothing measured", file=sys.stderr)
        return []
    card = torch.cuda.get_device_name()
    peer = step_milliseconds(PEER, "cuda", CLIPS, SIZE)
    found = []
    for way in WAYS:
        ours = step_milliseconds(way, "cuda", CLIPS, SIZE)
        note = f"{CLIPS} clips of {SIZE} px, {card}"
        found.append(Row(f"gpu: step, {way.name}", ours, peer, peer / ours, None, "ms", note))
    found += [_stage(name, card) for name in ("features", "inpaint")]
    return found


def step_milliseconds(way: Way, device: str, clips: int, size: int) -> float:
    """Return the median time of a bare training step on clips that lie on the device."""
    import torch

    from training.networks.autoencoder import reconstruction_loss
    from training.networks.build import build_autoencoder

    cudnn = torch.backends.cudnn
    cudnn.benchmark, cudnn.deterministic = not way.deterministic, way.deterministic
    cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = way.tf32
    torch.manual_seed(0)
    model: Any = build_autoencoder().train().to(device)
    batch = torch.rand(clips, 3, 16, size, size, device=device) * 2 - 1
    if way.channels_last:
        model.to(memory_format=torch.channels_last_3d)
        batch = batch.contiguous(memory_format=torch.channels_last_3d)
    run = torch.compile(model) if way.compiled else model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=way.fused)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=way.bf16):
            output = run(batch)
        optimizer.zero_grad(set_to_none=True)
        reconstruction_loss(output.float(), batch).mean().backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(WARM_UP):
        step()
    return 1e3 * statistics.median(seconds(step) for _ in range(STEPS))


def stage_call(name: str, frames: int, size: int) -> Callable[[], Any]:
    """Return a call of an embedded model on frames of noise with a hole each."""
    import numpy as np

    from pipeline.models.features import efficientnet
    from pipeline.models.inpainting.holes import Windowing
    from pipeline.models.inpainting.inpainters import EMBEDDED, load_latent

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (frames, size, size, 3), np.uint8)
    if name == "features":
        return lambda: efficientnet.features(images)
    holes = np.zeros(images.shape[:3], np.uint8)
    holes[:, size // 2 : size // 2 + 24, size // 2 : size // 2 + 12] = 1
    inpainter = load_latent(EMBEDDED, windowing=Windowing(window="hole"), steps=20)
    return lambda: inpainter(images, holes, range(frames))


def _stage(name: str, card: str) -> Row:
    """Measure a stage on the GPU and, in a process that sees none, on one core."""
    import os
    import subprocess

    call = stage_call(name, FRAMES, SIZE)
    call()
    ours = FRAMES / seconds(call)
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from benchmarks.common import seconds\n"
        "from benchmarks.gpu import stage_call\n"
        f"call = stage_call({name!r}, 16, {SIZE}); call(); print(16 / seconds(call))"
    )
    one_core = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=one_core, capture_output=True, text=True, check=True
    )
    peer = float(done.stdout.split()[-1])
    return Row(f"gpu: {name}", ours, peer, ours / peer, 20.0, "frames/s", f"{card}; peer: one core")
