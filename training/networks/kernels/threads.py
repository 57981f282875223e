"""Run kernels on all cores: blocks of work in threads, since kernels hold no lock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch

POSITIONS = 25
WIDE = 128
"""Above so many channels blocks are halved, to stay in the second-level cache."""

_local = threading.local()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "kernel")


def in_threads(work: Callable[[int], None]) -> None:
    """Call ``work(k)`` for k below the number of torch's threads, each on its own thread."""
    threads = torch.get_num_threads()
    if threads == 1:
        return work(0)
    others = [_pool(threads - 1).submit(work, k) for k in range(1, threads)]
    work(0)
    for other in others:
        other.result()
    return None


def blocks(counts: tuple[int, int, int], channels: int) -> list[tuple[int, int, int, int]]:
    """Clip, pair in time, first tile and number of tiles of each block."""
    clips, times, tiles = counts
    size = min(64 if channels <= WIDE else 32, tiles)
    return [
        (n, t, first, min(size, tiles - first))
        for n in range(clips)
        for first in range(0, tiles, size)
        for t in range(times)
    ]


def scratch(name: str, size: int) -> np.ndarray:
    """Return this thread's working memory of at least so many float32."""
    arrays: dict[str, np.ndarray] = _local.__dict__.setdefault("arrays", {})
    found = arrays.get(name)
    if found is None or len(found) < size:
        found = arrays[name] = np.zeros(size, np.float32)
    return found


def _working_memory(channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = POSITIONS * ((64 if channels <= WIDE else 32) * channels + 16)
    return scratch("positions", size), scratch("products", size), scratch("tile", 400)


def in_blocks(
    kernel: Callable[..., Any],
    arguments: tuple[Any, ...],
    counts: tuple[int, int, int],
    channels: int,
) -> None:
    """Call a kernel for every block, in any order."""
    todo = iter(blocks(counts, channels))
    lock = threading.Lock()

    def work(_: int) -> None:
        memory = _working_memory(channels)
        while True:
            with lock:
                block = next(todo, None)
            if block is None:
                return
            kernel(*arguments, *block, *memory)

    in_threads(work)


def in_parts(
    kernel: Callable[..., Any],
    arrays: tuple[Any, ...],
    size: int,
    sizes: tuple[int, ...],
    counts: tuple[int, int, int],
    channels: int,
) -> np.ndarray:
    """Let each thread add its blocks up in an array of its own; return the sum.

    Which thread does which block is fixed, so that results repeat bit for bit.
    """
    todo = blocks(counts, channels)
    threads = torch.get_num_threads()
    parts = [np.zeros(0, np.float32)] * threads

    def work(k: int) -> None:
        memory = _working_memory(channels)
        parts[k] = np.zeros(size, np.float32)
        for block in todo[len(todo) * k // threads : len(todo) * (k + 1) // threads]:
            kernel(*arrays, parts[k], *sizes, *block, *memory)

    in_threads(work)
    for part in parts[1:]:
        parts[0] += part
    return parts[0]


def over_frames(work: Callable[[int, tuple[int, int]], None], clips: int, frames: int) -> None:
    """Call ``work(k, (n, t))`` on thread k for every frame; who does which is fixed."""
    todo = [(n, t) for n in range(clips) for t in range(frames)]
    threads = torch.get_num_threads()

    def part(k: int) -> None:
        for block in todo[len(todo) * k // threads : len(todo) * (k + 1) // threads]:
            work(k, block)

    in_threads(part)
