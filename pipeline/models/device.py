"""Where networks run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def device() -> torch.device:
    """Return the GPU if PyTorch sees one, else the CPU.

    Which GPUs it sees is the scheduler's to say, by ``CUDA_VISIBLE_DEVICES``.
    """
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
