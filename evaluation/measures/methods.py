"""The methods that tables and figures set beside each other, and the row that judges each."""

from __future__ import annotations

FLOW = "flow alone"
SPATIAL, WITHOUT, WITH = "A^s alone", "w/o D", "w/ D (ours)"

METHODS: tuple[tuple[str, str, str], ...] = (
    ("Baseline", "baseline", SPATIAL),
    ("Patch", "patch", SPATIAL),
    ("Skip-frame", "skip-frame", SPATIAL),
    ("STEAL", "steal", SPATIAL),
    ("MemAE", "memae", SPATIAL),
    ("the paper w/o D", "unified", WITHOUT),
    ("the paper w/ D", "unified", WITH),
)
"""Label, method, and the row of its run's table."""
