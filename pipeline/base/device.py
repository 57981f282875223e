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


def batch_size() -> int:
    """Return how many frames a network should see at once.

    On a CPU few: beyond some 20 MB an activation gets fresh memory from the kernel each
    time, which cost a third of the time of EfficientNet-Lite0 at 16 frames.
    """
    return 32 if device().type == "cuda" else 2
