"""What every benchmark shares: a row of the table, and fair timing in pairs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table: our figure beside a peer's, measured in the same run.

    ``ratio`` is peer/ours for times and ours/peer for rates, so that more is better,
    unless ``unit`` says that the figure is an error or a size.
    """

    name: str
    ours: float
    peer: float
    ratio: float
    goal: float | None
    unit: str
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """The row as it stands in ``build/bench.json``."""
        return asdict(self)


def in_pairs(
    ours: Callable[[], object], peer: Callable[[], object], runs: int = 5, warmup: int = 1
) -> tuple[float, float, float]:
    """Time two callables in turn: median seconds of ours, of the peer, and of peer/ours by pair."""
    for _ in range(warmup):
        ours()
        peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(runs)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(b / a for a, b in pairs),
    )


def seconds(call: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
