"""A training step of the autoencoder: engine ``fast`` against the plain fp32 network.

The peer is how the methods compared with train: PyTorch's layers, fp32, clips as (N, C, T, H, W).
Both sides take the same clips from the same weights, 3 x 16 x 256 x 256, with Adam; that their
losses agree step by step is checked here too. Where the processor has bf16 in hardware, a row
``autoencoder_step_bf16`` measures the plain network under bf16 autocast in channels_last_3d.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.common import Row, seconds
from benchmarks.sides import Turn, in_turns

CLIPS = 2
SIZE = 256
RUNS = 5
AGREEMENT = 1e-4
"""Largest relative difference of the losses."""


def rows() -> list[Row]:
    """Rows in seconds a clip."""
    found = [compare("autoencoder_step", make_fp32, "fp32, engine fast")]
    if has_bf16():
        found.append(compare("autoencoder_step_bf16", make_bf16, "bf16, channels_last_3d"))
    return found


def compare(name: str, make: Any, note: str) -> Row:
    """Let both sides take steps in turn."""
    turns = in_turns(make, RUNS)
    ours = statistics.median(a[0] for a, _ in turns) / CLIPS
    peer = statistics.median(b[0] for _, b in turns) / CLIPS
    ratio = statistics.median(b[0] / a[0] for a, b in turns)
    difference = max(abs(a[1] / b[1] - 1) for a, b in turns)
    if name == "autoencoder_step" and difference > AGREEMENT:
        raise AssertionError(f"losses differ by {difference:.2g} from the plain network's")
    note = f"{note}, {CLIPS} clips of {SIZE} px; losses differ by {difference:.0e}"
    return Row(name, ours, peer, ratio, 5.0, "s/clip", note)


def has_bf16() -> bool:
    """Whether the processor computes bf16 itself; elsewhere it is emulated and slower."""
    import torch

    return torch.cpu.get_capabilities().get("amx_bf16", False)


def make_fp32(side: str) -> Turn:
    """A step of either engine."""
    return _make("fast" if side == "ours" else "plain", bf16=False)


def make_bf16(side: str) -> Turn:
    """A plain step, ours under autocast."""
    return _make("plain", bf16=side == "ours")


def _make(engine: Any, bf16: bool) -> Turn:
    import torch

    from training.networks.allocator import keep_freed_memory
    from training.networks.autoencoder import reconstruction_loss
    from training.networks.build import build_autoencoder

    torch.manual_seed(0)
    model = build_autoencoder(engine=engine).train()
    clips = torch.rand(CLIPS, 3, 16, SIZE, SIZE) * 2 - 1
    if bf16:
        keep_freed_memory()
        model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        clips = clips.contiguous(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    losses: list[float] = []

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = model(clips)
        loss = reconstruction_loss(output.float(), clips).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    return lambda: (seconds(step), losses[-1])
