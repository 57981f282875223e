"""Say so when bf16 is asked for where it is slower than fp32."""

from __future__ import annotations

import warnings


def has_bf16() -> bool:
    """Whether this processor computes with bf16 itself; elsewhere PyTorch emulates it."""
    import torch

    found = torch.cpu.get_capabilities()
    return bool(found.get("amx_bf16", False) or found.get("avx512_bf16", False))


def warn_if_emulated(precision: str, device: str) -> None:
    """Warn that ``bf16`` on a CPU without it is right but some five times slower than fp32."""
    if precision == "bf16" and device == "cpu" and not has_bf16():
        warnings.warn(
            "precision: bf16 is emulated on this processor, about five times slower than fp32; "
            "set precision: fp32 (and run.engine: fast for training)",
            stacklevel=2,
        )
