"""Tables over runs: the paper's Tables 1 to 4 and the ablation, from what was run.

Every cell is computed from ``metrics.json`` files below RUNS, mean and spread over seeds, and
carries the protocol, the seeds, the weights and the shard keys that it came from. A cell
without a run says so; none is ever filled in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evaluation.published import MASKS, PUBLISHED, TRANSFER
from evaluation.run import read_metrics
from pipeline.atomic import write_json, write_text
from pipeline.errors import ConfigurationError

Which = Literal["table1", "table3", "table4", "ablation"]

NOT_RUN = "not run"

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


@dataclass(frozen=True)
class Entry:
    """One run's results on one data set.

    Attributes
    ----------
    dataset
        That it was scored on.
    trained_on
        Another one, for transfer.
    content
        Its metrics.json.
    shards
        The settings of each stage of the shards that it was scored on.
    """

    path: Path
    dataset: str
    trained_on: str
    preset: str
    method: str
    seed: int
    content: dict[str, Any]
    shards: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Cell:
    """Mean and spread of some runs in %, and what they were.

    ``mean`` is None where nothing was run or the AUC is undefined; ``text`` says which.
    """

    text: str
    mean: float | None = None
    spread: float | None = None
    published: float | None = None
    runs: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of cells: rows by label, columns by name."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def collect(runs: Path, preset: str | None = None) -> list[Entry]:
    """Return every scored run below a folder, of one preset or of all.

    Raises
    ------
    ConfigurationError
        If there is no such folder.
    """
    if not runs.is_dir():
        raise ConfigurationError(f"runs: {runs} is no folder; `make DATASET` makes runs")
    entries = []
    patterns = ("*/*/*/metrics.json", "*/*/*/transfer/*/metrics.json")
    for path in sorted(path for pattern in patterns for path in runs.glob(pattern)):
        folder = path.parent
        transferred = folder.parent.name == "transfer"
        home = folder.parent.parent if transferred else folder
        if preset not in (None, home.parent.name):
            continue
        content = read_metrics(folder)
        entries.append(
            Entry(
                path=path,
                dataset=content["dataset"],
                trained_on=home.parent.parent.name,
                preset=home.parent.name,
                method=content["method"],
                seed=content["seed"],
                content=content,
                shards=stage_settings(home.parent / "shards.json"),
            )
        )
    return entries


def stage_settings(path: Path) -> dict[str, dict[str, Any]]:
    """Return the settings of each stage from a shards.json; none if it is gone."""
    try:
        stages = json.loads(path.read_text(encoding="utf-8"))["stages"]
    except (OSError, ValueError, KeyError):
        return {}
    return {name: stage["recipe"].get("settings", {}) for name, stage in stages.items()}


def cell(entries: Iterable[Entry], row: str, protocol: str, published: float | None = None) -> Cell:
    """Return the cell of some seeds of one method under one protocol.

    Parameters
    ----------
    row
        Of the runs' tables.
    protocol
        ``lntra/video`` and such.
    published
        What the literature says, in %.
    """
    found, undefined = [], ""
    for entry in entries:
        for result in entry.content["results"]:
            name = f"{result['protocol']}/{result['normalise']}"
            if (result["row"], name) != (row, protocol):
                continue
            if result["micro_auc"] is None:
                undefined = result["undefined"]
                continue
            found.append(
                {
                    "run": str(entry.path.parent),
                    "seed": entry.seed,
                    "micro_auc": 100 * result["micro_auc"],
                    "eta": result["eta"],
                    "eta_chosen": result["eta_chosen"],
                    "tuned_on_test": result.get("tuned_on_test"),
                    "keys": entry.content["keys"],
                    "weights": entry.content["fingerprints"],
                    "scoring": entry.content["scoring"],
                }
            )
    if not found:
        return Cell(undefined or NOT_RUN, published=published)
    values = [one["micro_auc"] for one in found]
    mean = float(np.mean(values))
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    text = f"{mean:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")
    text += f" ({len(values)} seed{'s' if len(values) > 1 else ''})"
    return Cell(text, mean, spread, published, tuple(found))


def table1(entries: Sequence[Entry], datasets: Sequence[str], protocol: str) -> Table:
    """Return Tables 1 and 2: every method on every data set, beside the published number."""
    own = [entry for entry in entries if entry.dataset == entry.trained_on]
    rows = []
    for label, method, row in METHODS:
        cells = tuple(
            cell(
                [e for e in own if (e.dataset, e.method) == (dataset, method)],
                row,
                protocol,
                PUBLISHED[label].get(dataset),
            )
            for dataset in datasets
        )
        rows.append((label, cells))
    return Table("Table 1", f"Micro AUC in %, protocol {protocol}.", tuple(datasets), tuple(rows))


def table3(entries: Sequence[Entry], datasets: Sequence[str], protocol: str) -> Table:
    """Return Table 3: trained on one data set, scored on others, without fine-tuning."""
    homes = sorted({e.trained_on for e in entries if e.dataset != e.trained_on}) or ["ubnormal"]
    rows = []
    for home in homes:
        for label, method, row in METHODS:
            cells = tuple(
                cell(
                    [
                        e
                        for e in entries
                        if (e.trained_on, e.dataset, e.method) == (home, dataset, method)
                        and dataset != home
                    ],
                    row,
                    protocol,
                    TRANSFER.get(label, {}).get(dataset) if home == "ubnormal" else None,
                )
                for dataset in datasets
            )
            rows.append((f"{label}, trained on {home}", cells))
    return Table("Table 3", f"Micro AUC in %, protocol {protocol}.", tuple(datasets), tuple(rows))


def table4(entries: Sequence[Entry], datasets: Sequence[str], protocol: str) -> Table:
    """Return Table 4: A^s alone with random and with segmentation masks."""
    rows = []
    for kind, published in MASKS.items():
        cells = tuple(
            cell(
                [
                    e
                    for e in entries
                    if (e.dataset, e.trained_on, e.method) == (dataset, dataset, "unified")
                    and mask_kind(e) == kind
                ],
                SPATIAL,
                protocol,
                published.get(dataset),
            )
            for dataset in datasets
        )
        rows.append((f"{kind} masks", cells))
    note = f"A^s alone, micro AUC in %, protocol {protocol}."
    return Table("Table 4", note, tuple(datasets), tuple(rows))


def mask_kind(entry: Entry) -> str:
    """Return how a run's masks were made: random or segmentation."""
    kind = str(entry.shards.get("masks", {}).get("kind", "segmentation"))
    return "random" if kind == "random" else "segmentation"


def ablation(entries: Sequence[Entry], datasets: Sequence[str], protocol: str) -> Table:
    """Return one row for each row, protocol and differing settings of the unified runs.

    ``protocol`` is not used: every protocol that was run is shown.
    """
    own = [e for e in entries if e.method == "unified" and e.dataset == e.trained_on]
    variants: dict[str, list[Entry]] = {}
    for entry in own:
        variants.setdefault(variant(entry), []).append(entry)
    rows = []
    for name, group in variants.items():
        results = [result for entry in group for result in entry.content["results"]]
        seen = [(r["row"], f"{r['protocol']}/{r['normalise']}") for r in results]
        for row, under in dict.fromkeys(seen):
            cells = tuple(
                cell([e for e in group if e.dataset == dataset], row, under) for dataset in datasets
            )
            rows.append((f"{row}, {under}, {name}", cells))
    return Table("Ablation", "Micro AUC in %, label-free η.", tuple(datasets), tuple(rows))


def variant(entry: Entry) -> str:
    """Return the settings by which runs of one method differ, in words."""
    networks = entry.content["networks"]
    spatial = networks.get("spatial", {}).get("settings", {})
    temporal = networks.get("temporal", {}).get("settings", {})
    parts = [entry.preset]
    for label, value in (
        ("p_s", spatial.get("p")),
        ("p_t", temporal.get("p")),
        ("size", spatial.get("size") or entry.shards.get("frames", {}).get("size")),
        ("display", temporal.get("display")),
        ("region", entry.shards.get("mixed_flow", {}).get("region")),
        ("masks", mask_kind(entry) if entry.shards else None),
    ):
        if value is not None:
            parts.append(f"{label} {value}")
    return ", ".join(parts)


MAKERS = {"table1": table1, "table3": table3, "table4": table4, "ablation": ablation}


def make_table(
    which: Which, runs: Path, datasets: Sequence[str], protocol: str, preset: str | None
) -> Table:
    """Return one table.

    Raises
    ------
    ConfigurationError
        If no data set is named, or there is no such folder.
    """
    if not datasets:
        raise ConfigurationError("datasets: none is named, e.g. --datasets '[ped2, avenue]'")
    return MAKERS[which](collect(runs, preset), datasets, protocol)


def markdown(table: Table) -> str:
    """Return a table as Markdown, each cell with the published number and the difference."""
    lines = [f"# {table.title}", "", table.note, ""]
    lines.append("| | " + " | ".join(table.columns) + " |")
    lines.append("|---|" + "---|" * len(table.columns))
    for label, cells in table.rows:
        lines.append(f"| {label} | " + " | ".join(shown(one) for one in cells) + " |")
    return "\n".join(lines) + "\n"


def shown(one: Cell) -> str:
    """Return a cell in words.

    >>> shown(Cell("90.00 (1 seed)", 90.0, published=92.49))
    '90.00 (1 seed); published 92.49, difference -2.49'
    """
    if one.published is None:
        return one.text
    if one.mean is None:
        return f"{one.text}; published {one.published:.2f}"
    return f"{one.text}; published {one.published:.2f}, difference {one.mean - one.published:+.2f}"


def write_table(table: Table, out: Path, name: str) -> list[Path]:
    """Write a table as Markdown, CSV and JSON and return the paths."""
    import csv
    import io
    from dataclasses import asdict

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        ["row", "dataset", "mean", "spread", "seeds", "published", "difference", "text"]
    )
    for label, cells in table.rows:
        for dataset, one in zip(table.columns, cells, strict=True):
            both = one.mean is not None and one.published is not None
            difference = one.mean - one.published if both else None  # type: ignore[operator]
            numbers = ["" if v is None else f"{v:.4f}" for v in (one.mean, one.spread)]
            rest = ["" if v is None else f"{v:.4f}" for v in (one.published, difference)]
            seeds = " ".join(str(run["seed"]) for run in one.runs)
            writer.writerow([label, dataset, *numbers, seeds, *rest, one.text])
    write_text(out / f"{name}.md", markdown(table))
    write_text(out / f"{name}.csv", text.getvalue())
    write_json(out / f"{name}.json", asdict(table))
    return [out / f"{name}.{kind}" for kind in ("md", "csv", "json")]
