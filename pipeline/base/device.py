"""Where networks run."""

from __future__ import annotations

import os
from pathlib import Path
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


def gpu_ids() -> list[str]:
    """Return the GPUs that are visible, by the names that ``CUDA_VISIBLE_DEVICES`` has for them.

    PyTorch is asked, but only where the system has a GPU's driver: loading it takes seconds.
    """
    if not any(Path(driver).exists() for driver in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")):
        return []
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return (
        [name.strip() for name in named[:count]] if named != [""] else list(map(str, range(count)))
    )
