"""One training on several processes (``torchrun``), equal to one process within rounding.

Each step's clips are divided among the processes; gradients, batch statistics and losses are
taken over all of them. Without ``torchrun`` there is one process and nothing of this acts.

**Choice**: BatchNorm uses the statistics of the whole batch. The paper's 12 clips on each of
2 GPUs may have been normalised apart; here the number of processes changes nothing. PyTorch's
SyncBatchNorm does this on GPUs and refuses CPU tensors, so :class:`GlobalBatchNorm3d` does it
there, over gloo.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pipeline.base.errors import ConfigurationError


@dataclass(frozen=True)
class Group:
    """The processes of a training, seen from one of them.

    Attributes
    ----------
    rank
        This process; 0 writes the files.
    processes
        How many there are.
    device
        What this one computes on.
    """

    rank: int
    processes: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Add numbers over all processes; each gets the sums."""
        total = torch.tensor(values, dtype=torch.float64)
        if self.processes > 1:
            total = total.to(self.device)
            dist.all_reduce(total)
        return [float(value) for value in total]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.processes > 1:
            dist.barrier()

    def share(self, model: nn.Module) -> nn.Module:
        """Return the network as all processes train it: ``.module`` is the plain one."""
        if self.processes == 1:
            return model
        on_gpu = self.device.type == "cuda"
        model = (
            nn.SyncBatchNorm.convert_sync_batchnorm(model) if on_gpu else globally_normalised(model)
        )
        return nn.parallel.DistributedDataParallel(
            model, device_ids=[self.device] if on_gpu else None, broadcast_buffers=False
        )


@contextlib.contextmanager
def join_processes(device: str) -> Iterator[Group]:
    """Join the processes that ``torchrun`` started, or be the only one.

    Raises
    ------
    ConfigurationError
        If the device is not there.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = _device(device, local)
    if processes == 1:
        yield Group(0, 1, chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Group(rank, processes, chosen)
    finally:
        dist.destroy_process_group()


class GlobalBatchNorm3d(nn.BatchNorm3d):
    """BatchNorm3d over the clips of all processes; on any device, over any backend."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (n, C, T, H, W) by mean and variance over every process's n, T, H and W."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        axes, shape = (0, 2, 3, 4), (1, -1, 1, 1, 1)
        count = _add_up(x.new_tensor(float(x.numel() // x.shape[1])))
        mean = _add_up(x.sum(axes)) / count
        centred = x - mean.view(shape)
        variance = _add_up(centred.square().sum(axes)) / count
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None and self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(input.dtype)


def globally_normalised(model: nn.Module) -> nn.Module:
    """Replace every BatchNorm3d by one over all processes, with the same parameters and names."""
    for name, child in model.named_children():
        if type(child) is nn.BatchNorm3d:
            other = GlobalBatchNorm3d(child.num_features, child.eps, child.momentum)
            other.weight, other.bias = child.weight, child.bias
            for buffer, value in child.named_buffers():
                setattr(other, buffer, value)
            setattr(model, name, other)
        else:
            globally_normalised(child)
    return model


class _AddUp(torch.autograd.Function):
    """Sum over processes; the gradient is summed over processes too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _add_up(value: Tensor) -> Tensor:
    return _AddUp.apply(value)


def _device(name: str, local_rank: int) -> torch.device:
    """Choose the device of this process."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigurationError(f"device: {name!r}: must be auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigurationError(f"device: {name!r}: must be auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigurationError(f"device: {name!r}: PyTorch sees no GPU here; use cpu or auto")
        device = torch.device("cuda", local_rank if device.index is None else device.index)
        if device.index >= torch.cuda.device_count():
            raise ConfigurationError(
                f"device: {device}: there are {torch.cuda.device_count()} GPUs; start as many "
                "processes as there are GPUs"
            )
        torch.cuda.set_device(device)
    return device
