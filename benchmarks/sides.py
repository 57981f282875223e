"""Two sides of a comparison, each in a process of its own, taking turns.

For libraries whose state is the process's: a side that tunes the allocator or starts threads
must not help or hinder the other.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

Turn = Callable[[], tuple[float, Any]]
"""Does the work once; returns seconds and whatever the sides are compared by."""


def in_turns(make: Callable[[str], Turn], runs: int) -> list[tuple[Any, Any]]:
    """Let sides ``ours`` and ``peer`` take turns, after one that does not count.

    Parameters
    ----------
    make
        From a side's name to its turn; called in the side's process, so a function of a module.
    runs
        Turns of each.

    Returns
    -------
    list
        For each run what ours and the peer returned.
    """
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for side in ("ours", "peer"):
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, make, side), daemon=True)
        process.start()
        # Only the process keeps its end, so that its death is noticed.
        there.close()
        pipes.append(here)
        processes.append(process)
    results = []
    for _ in range(runs + 1):
        answers = []
        for pipe in pipes:
            pipe.send(True)
            answers.append(pipe.recv())
        results.append((answers[0], answers[1]))
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send(False)
        process.join()
    return results[1:]


def _serve(pipe: Connection, make: Callable[[str], Turn], side: str) -> None:
    turn = make(side)
    while pipe.recv():
        pipe.send(turn())
