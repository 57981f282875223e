"""Progress as a bar in a terminal, and as a line a minute in a log file or under SLURM."""

from __future__ import annotations

import sys

from tqdm import tqdm


def progress_bar(total: int, label: str, *, done: int = 0, position: int = 0) -> tqdm:
    """Return a tqdm bar on standard error for ``total`` things, ``done`` of them already."""
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=done,
        desc=label,
        position=position if terminal else None,
        mininterval=0.2 if terminal else 60.0,
        maxinterval=10.0 if terminal else 60.0,
        dynamic_ncols=terminal,
        ascii=None if terminal else True,
        bar_format=None if terminal else "{l_bar}{bar:10}{r_bar}\n",
        leave=True,
    )
