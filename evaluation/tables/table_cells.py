"""Cells of tables: mean and spread over seeds, what they were made from, and how they are written.

A cell holds what can be computed from ``metrics.json`` files; without a run it says why there
is none. No cell is ever filled in.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.tables.collect import Collected, Entry
from pipeline.base.files import write_json, write_text


@dataclass(frozen=True)
class Cell:
    """Mean and spread of some runs in %, and what they were.

    Attributes
    ----------
    text
        For people; without a result, why.
    mean
        None where nothing was run or the AUC is undefined.
    spread
        Standard deviation over seeds (n - 1); None for one seed.
    reference
        What the mean is set against, in %.
    against
        What that is: ``published``, or the preset of a variant.
    smoothed
        The mean with scores smoothed over time, where every run has it.
    runs
        Each run with its seed, results, η, settings, weights and shard keys.
    """

    text: str
    mean: float | None = None
    spread: float | None = None
    reference: float | None = None
    against: str = "published"
    smoothed: float | None = None
    runs: tuple[dict[str, Any], ...] = ()

    @property
    def difference(self) -> float | None:
        """Mean less reference, in percentage points."""
        if self.mean is None or self.reference is None:
            return None
        return self.mean - self.reference


@dataclass(frozen=True)
class Table:
    """A table of cells: rows by label, columns by data set, all under one protocol.

    ``notes`` stand below it.
    """

    title: str
    protocol: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...] = ()


def cell(
    runs: Collected,
    row: str,
    protocol: str,
    reference: float | None = None,
    against: str = "published",
) -> Cell:
    """Return the cell of some seeds of one method under one protocol.

    Parameters
    ----------
    runs
        Of one data set and method.
    row
        Of the runs' tables.
    protocol
        ``lntra/video`` and such.
    reference, against
        What to set it against, in %, and what that is.
    """
    found, undefined = [], ""
    for entry in runs.entries:
        for result in entry.content["results"]:
            if (result["row"], protocol_of(result)) != (row, protocol):
                continue
            if result["micro_auc"] is None:
                undefined = result.get("undefined", "undefined")
            else:
                found.append(_run(entry, result))
    if not found:
        return Cell(undefined or runs.reason(), reference=reference, against=against)
    values = [run["micro_auc"] for run in found]
    mean = float(np.mean(values))
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    text = f"{mean:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")
    text += f" ({len(values)} seed{'s' if len(values) > 1 else ''}"
    text += f", {runs.failed()})" if runs.failed() else ")"
    smooth = [run["smoothed_micro_auc"] for run in found]
    steady = float(np.mean(smooth)) if None not in smooth else None
    return Cell(text, mean, spread, reference, against, steady, tuple(found))


def protocol_of(result: dict[str, Any]) -> str:
    """Return the protocol of an entry of metrics.json with its scale, as ``lntra/video``."""
    return f"{result['protocol']}/{result['normalise']}"


def _run(entry: Entry, result: dict[str, Any]) -> dict[str, Any]:
    """Return what a cell keeps of a run."""
    content = entry.content
    networks = content["networks"]
    return {
        "run": str(entry.path),
        "seed": entry.seed,
        "micro_auc": 100 * result["micro_auc"],
        "smoothed_micro_auc": percent(result.get("smoothed_micro_auc")),
        "interval": result.get("micro_auc_interval"),
        "macro_auc": result.get("macro_auc"),
        "eer": result.get("eer"),
        "eta": result.get("eta"),
        "eta_chosen": result.get("eta_chosen"),
        "tuned_on_test": result.get("tuned_on_test"),
        "keys": content["keys"],
        "trained_on_keys": {n: one.get("data", {}).get("shards") for n, one in networks.items()},
        "weights": content["fingerprints"],
        "settings": {name: one.get("settings", {}) for name, one in networks.items()},
        "commits": sorted(
            {str(one.get("provenance", {}).get("commit")) for one in networks.values()} - {"None"}
        ),
        "scoring": content["scoring"],
        "fusing": content.get("fusing", {}),
    }


def percent(share: float | None) -> float | None:
    """Return a share in %, None as it is."""
    return None if share is None else 100 * share


def shown(one: Cell) -> str:
    """Return a cell in words.

    >>> shown(Cell("90.00 (1 seed)", 90.0, reference=92.49, smoothed=91.0))
    '90.00 (1 seed); smoothed 91.00; published 92.49, difference -2.49'
    """
    text = one.text if one.smoothed is None else f"{one.text}; smoothed {one.smoothed:.2f}"
    if one.reference is None:
        return text
    text = f"{text}; {one.against} {one.reference:.2f}"
    return text if one.difference is None else f"{text}, difference {one.difference:+.2f}"


def markdown(tables: Sequence[Table]) -> str:
    """Return tables as Markdown, each cell with what it is set against and the difference."""
    parts = []
    for table in tables:
        lines = [f"## {table.title}", ""]
        lines.append(
            f"Micro AUC in %, protocol {table.protocol}; ± is the standard deviation over seeds."
        )  # fmt: skip
        if table.rows:
            lines += ["", "| | " + " | ".join(table.columns) + " |"]
            lines.append("|---|" + "---|" * len(table.columns))
        for label, cells in table.rows:
            lines.append(f"| {label} | " + " | ".join(shown(one) for one in cells) + " |")
        lines += ["", *(f"- {note}" for note in table.notes)]
        parts.append("\n".join(lines).rstrip() + "\n")
    return "\n".join(parts)


HEAD = ("table", "protocol", "row", "dataset", "mean", "spread", "seeds", "smoothed", "against",
        "reference", "difference", "text", "frames", "flow", "settings")  # fmt: skip


def comma_separated(tables: Sequence[Table]) -> str:
    """Return tables as CSV, a line a cell, with the keys of its frames and flows."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD)
    for table in tables:
        for label, cells in table.rows:
            for dataset, one in zip(table.columns, cells, strict=True):
                seeds = " ".join(str(run["seed"]) for run in one.runs)
                keys = [
                    " ".join(sorted({run["keys"].get(stage, "-") for run in one.runs}))
                    for stage in ("frames", "flow")
                ]
                settings = json.dumps(one.runs[0]["settings"]) if one.runs else ""
                numbers = (one.mean, one.spread, one.reference, one.difference)
                mean, spread, reference, difference = map(number, numbers)
                against = one.against if reference else ""
                line = (table.title, table.protocol, label, dataset, mean, spread, seeds)
                smooth = number(one.smoothed)
                writer.writerow(
                    (*line, smooth, against, reference, difference, one.text, *keys, settings)
                )
    return text.getvalue()


def number(value: float | None) -> str:
    """Return a number for CSV; nothing for None."""
    return "" if value is None else f"{value:.4f}"


def write_tables(tables: Sequence[Table], out: Path, name: str) -> list[Path]:
    """Write tables as Markdown, CSV and JSON and return the paths."""
    write_text(out / f"{name}.md", markdown(tables))
    write_text(out / f"{name}.csv", comma_separated(tables))
    write_json(out / f"{name}.json", [asdict(table) for table in tables])
    return [out / f"{name}.{kind}" for kind in ("md", "csv", "json")]
