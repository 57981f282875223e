"""What stands below a table: the settings that its runs share, and their shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from evaluation.indicators.registry import INDICATORS
from evaluation.tables.collect import Entry

SHOWN = ("size", "stride", "batch", "epochs", "max_clips", "learning_rate")
"""Settings of a training that decide how far it goes."""


def notes(entries: Sequence[Entry]) -> list[str]:
    """Return the preset, the settings of training and scoring, and the keys of the shards."""
    found = [f"Preset {', '.join(sorted({entry.preset for entry in entries}))}."]
    for name, label in ((one.NAME, one.SYMBOL) for one in INDICATORS if one.NETWORK and one.MAP):
        trained = [e.content["networks"][name] for e in entries if name in e.content["networks"]]
        texts = {
            ", ".join(f"{key} {one['settings'][key]}" for key in SHOWN if key in one["settings"])
            for one in trained
        }
        if texts:
            found.append(f"{label}: {'; or '.join(sorted(texts))}.")
    scoring = {
        ", ".join(f"{k} {v}" for k, v in entry.content["scoring"].items()) for entry in entries
    }
    found.append(f"Scoring: {'; or '.join(sorted(scoring))}.")
    for dataset in dict.fromkeys(entry.dataset for entry in entries):
        group = [entry for entry in entries if entry.dataset == dataset]
        found.append(
            f"Shards of {dataset}, different keys over {len(group)} runs: {key_text(group)}."
        )
    return found


def shard_keys(entries: Iterable[Entry]) -> dict[str, set[str]]:
    """Return for each stage the keys of all shards that some runs were scored on and trained on.

    Training shards of other data sets (transfer) are not among them.
    """
    keys: dict[str, set[str]] = {}
    for entry in entries:
        used: list[dict[str, Any]] = [entry.content["keys"]]
        if entry.dataset == entry.trained_on:
            networks = entry.content["networks"].values()
            used += [one.get("data", {}).get("shards", {}) for one in networks]
        for one in used:
            for stage, key in one.items():
                keys.setdefault(stage, set()).add(key)
    return keys


def key_text(entries: Sequence[Entry]) -> str:
    """Return how many different keys each stage has, and which."""
    return ", ".join(
        f"{stage} {len(keys)} ({' '.join(sorted(key[:12] for key in keys))})"
        for stage, keys in shard_keys(entries).items()
    )
