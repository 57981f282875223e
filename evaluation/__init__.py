"""Shards and trained networks to scores, tables, figures, reports, and a detector.

>>> from evaluation import Detector
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.detector.detector import Detector, FrameScore
    from evaluation.measures.threshold import Alarm

__all__ = ["Alarm", "Detector", "FrameScore"]

_HOMES = {
    "Alarm": "evaluation.measures.threshold",
    "Detector": "evaluation.detector.detector",
    "FrameScore": "evaluation.detector.detector",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are asked for: they bring torch with them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'evaluation' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
