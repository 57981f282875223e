"""The paper's Tables 1 to 4 and the ablation, from what was run (evaluation/tables/collect.py).

Every cell is the mean and spread over seeds of one preset, and carries the protocol, the seeds,
the settings, the weights and the shard keys that it came from. Below a table stand the settings
that its runs share and how many different shards they were made from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from evaluation.indicators.registry import INDICATORS
from evaluation.measures.methods import FLOW, METHODS, SPATIAL
from evaluation.protocols.registry import PROTOCOLS
from evaluation.tables.collect import Collected, Entry, collect
from evaluation.tables.notes import notes
from evaluation.tables.published import MASKS, PEERS, PUBLISHED, TRANSFER
from evaluation.tables.table_cells import Cell, Table, cell, protocol_of
from pipeline.base.errors import ConfigurationError

Which = Literal["table1", "table3", "table4", "ablation"]


def make_tables(
    which: Which,
    runs: Path,
    datasets: Sequence[str],
    protocols: Sequence[str],
    preset: str | None,
    train: str = "",
) -> list[Table]:
    """Return a table under each protocol.

    Parameters
    ----------
    which
        table1, table3, table4 or ablation.
    train
        The data set that table3 trains on; what was transferred at all if empty.

    Raises
    ------
    ConfigurationError
        If no data set is named, there is no such folder, or it holds several presets.
    """
    if not datasets:
        raise ConfigurationError("datasets: none is named, e.g. --datasets '[ped2, avenue]'")
    collected = collect(runs, preset)
    made = [_make(which, collected, datasets, protocol, train) for protocol in protocols]
    if which == "ablation":
        made = [indicators(collected, datasets), *made]
    # A protocol under which nothing was scored is said only where there is nothing else.
    return [table for table in made if table.rows] or made[:1]


def _make(
    which: Which, runs: Collected, datasets: Sequence[str], protocol: str, train: str
) -> Table:
    if which == "table3":
        return table3(runs, datasets, protocol, train)
    makers = {"table1": table1, "table4": table4, "ablation": variants}
    return makers[which](runs, datasets, protocol)


def table1(runs: Collected, datasets: Sequence[str], protocol: str) -> Table:
    """Return Tables 1 and 2: every method on every data set, beside the published number."""
    groups = {
        (method, dataset): runs.pick(dataset=dataset, trained_on=dataset, variant="", method=method)
        for method in methods()
        for dataset in datasets
    }
    rows = [
        (
            label,
            tuple(
                cell(groups[method, d], row, protocol, published(PUBLISHED, label, d, protocol))
                for d in datasets
            ),
        )
        for label, method, row in method_rows(_entries(groups.values()), protocol)
    ]
    return _table("Table 1", protocol, datasets, rows, _entries(groups.values()))


def table3(runs: Collected, datasets: Sequence[str], protocol: str, train: str = "") -> Table:
    """Return Table 3: trained on one data set, scored on others, without fine-tuning."""
    found = {e.trained_on for e in runs.entries if e.dataset != e.trained_on}
    homes = [train] if train else sorted(found) or ["ubnormal"]
    groups = {
        (home, method, dataset): transferred(runs, home, method, dataset)
        for home in homes
        for method in methods()
        for dataset in datasets
    }
    entries = _entries(groups.values())
    rows = []
    for home in homes:
        source = TRANSFER if home == "ubnormal" else {}
        for label, method, row in method_rows(entries, protocol):
            cells = tuple(
                Cell("trained on it")
                if dataset == home
                else cell(
                    groups[home, method, dataset],
                    row,
                    protocol,
                    published(source, label, dataset, protocol),
                )
                for dataset in datasets
            )
            rows.append((f"{label}, trained on {home}", cells))
    return _table("Table 3", protocol, datasets, rows, entries)


def transferred(runs: Collected, home: str, method: str, dataset: str) -> Collected:
    """Return a method's runs from one data set onto another, and why there are none."""
    found = runs.pick(trained_on=home, dataset=dataset, variant="", method=method)
    if home == dataset:
        return Collected()
    missing = tuple(
        dataclasses.replace(failure, text=f"{failure.dataset}: {failure.text}")
        for name in (home, dataset)
        for failure in runs.pick(trained_on=name, dataset=name, variant="").failures
        if not failure.method
    )
    return Collected(found.entries, found.failures + missing)


def table4(runs: Collected, datasets: Sequence[str], protocol: str) -> Table:
    """Return Table 4: A^s alone with random and with segmentation masks."""
    groups = {
        (kind, dataset): masked(runs, kind, dataset) for kind in MASKS for dataset in datasets
    }
    if protocol not in PEERS and not _scored(_entries(groups.values()), protocol):
        return _table("Table 4, A^s alone", protocol, datasets, [], [])
    rows = [
        (
            f"{kind} masks",
            tuple(
                cell(groups[kind, d], SPATIAL, protocol, published(MASKS, kind, d, protocol))
                for d in datasets
            ),
        )
        for kind in MASKS
    ]
    return _table("Table 4, A^s alone", protocol, datasets, rows, _entries(groups.values()))


def masked(runs: Collected, kind: str, dataset: str) -> Collected:
    """Return the paper's method with one kind of masks: as the shards say, not the folder."""
    wanted = {"dataset": dataset, "trained_on": dataset, "method": "unified"}
    whole = runs.pick(**wanted, variant="")
    random = runs.pick(**wanted, variant="random-masks")
    entries = [e for e in (*whole.entries, *random.entries) if mask_kind(e) == kind]
    return Collected(tuple(entries), (random if kind == "random" else whole).failures)


def mask_kind(entry: Entry) -> str:
    """Return how a run's masks were made: random or segmentation."""
    kind = str(entry.shards.get("masks", {}).get("kind", "segmentation"))
    return "random" if kind == "random" else "segmentation"


def indicators(runs: Collected, datasets: Sequence[str]) -> Table:
    """Return every row under every protocol that the paper's method was scored under."""
    groups = {d: runs.pick(dataset=d, trained_on=d, variant="", method="unified") for d in datasets}
    entries = _entries(groups.values())
    results = [result for entry in entries for result in entry.content["results"]]
    rows = [
        (f"{protocol}: {row}", tuple(cell(groups[d], row, protocol) for d in datasets))
        for row, protocol in dict.fromkeys((r["row"], protocol_of(r)) for r in results)
    ]
    if not rows:
        rows = [("any", tuple(cell(groups[d], "", "") for d in datasets))]
    return _table("Ablation: indicators and protocols", "as each row says", datasets, rows, entries)


def variants(runs: Collected, datasets: Sequence[str], protocol: str) -> Table:
    """Return the variants of the paper's method, each beside the preset of the same seeds.

    Rows whose networks are the preset's own, to the last bit, are left out.
    """
    own = Collected(
        tuple(e for e in runs.entries if e.dataset == e.trained_on), runs.failures
    ).pick(method="unified")
    rows: list[tuple[str, tuple[Cell, ...]]] = []
    shown: dict[Path, Entry] = {}
    if not _scored(own.entries, protocol):
        return _table("Ablation: variants", protocol, datasets, [], [])
    for name in sorted({place.variant for place in (*own.entries, *own.failures)} - {""}):
        group = own.pick(variant=name)
        seeds = {entry.seed for entry in group.entries}
        base = [e for e in own.entries if not e.variant and e.seed in seeds]
        results = [
            (entry, result["row"])
            for entry in group.entries
            for result in entry.content["results"]
            if protocol_of(result) == protocol
        ]
        changed = dict.fromkeys(row for e, row in results if not _unchanged(e, base, row))
        shown |= {entry.path: entry for entry in (*group.entries, *base)}
        for row in changed:
            cells = []
            for dataset in datasets:
                beside = Collected(tuple(base)).pick(dataset=dataset)
                reference = cell(beside, row, protocol).mean
                one = cell(group.pick(dataset=dataset), row, protocol, reference, "preset")
                cells.append(one)
            rows.append((f"{name}: {row}", tuple(cells)))
        if not changed:
            same = Cell("the preset's own networks")
            empty = [same if results else cell(group.pick(dataset=d), "", "") for d in datasets]
            rows.append((name, tuple(empty)))
    return _table("Ablation: variants", protocol, datasets, rows, list(shown.values()))


def _unchanged(entry: Entry, base: Sequence[Entry], row: str) -> bool:
    """Whether a row's networks are those of the preset's run of the same data set and seed."""
    saved = [one.NAME for one in INDICATORS if one.SAVED]  # others depend on the shards alone
    used = dict(row for one in PROTOCOLS for row in one.rows()).get(row, saved)
    names = [name for name in used if name in saved]
    ours = [entry.content["fingerprints"].get(name) for name in names]
    return any(
        ours == [other.content["fingerprints"].get(name) for name in names]
        for other in base
        if (other.dataset, other.seed) == (entry.dataset, entry.seed)
    )


def methods() -> list[str]:
    """Return the methods in the order of the table."""
    return list(dict.fromkeys(method for _, method, _ in METHODS))


def method_rows(entries: Sequence[Entry], protocol: str) -> Sequence[tuple[str, str, str]]:
    """Return label, method and row: the peers' under lntra, else every row that was scored."""
    if protocol in PEERS:
        return METHODS
    seen = dict.fromkeys(
        (method, result["row"])
        for method in methods()
        for entry in entries
        if entry.method == method
        for result in entry.content["results"]
        if protocol_of(result) == protocol
    )
    # What needs no network is the same for every method.
    plain = next(([pair] for pair in seen if pair[1] == FLOW), [])
    rest = [(f"{method}, {row}", method, row) for method, row in seen if row != FLOW]
    return [(row, method, row) for method, row in plain] + rest


def published(
    source: dict[str, dict[str, float]], label: str, dataset: str, protocol: str
) -> float | None:
    """Return a published number, which only the peers' own protocol may be set against."""
    return source.get(label, {}).get(dataset) if protocol in PEERS else None


def _scored(entries: Iterable[Entry], protocol: str) -> bool:
    return any(protocol_of(r) == protocol for e in entries for r in e.content["results"])


def _entries(groups: Iterable[Collected]) -> list[Entry]:
    return [entry for group in groups for entry in group.entries]


def _table(
    title: str,
    protocol: str,
    datasets: Sequence[str],
    rows: Sequence[tuple[str, tuple[Cell, ...]]],
    entries: Sequence[Entry],
) -> Table:
    if not rows:
        return Table(title, protocol, tuple(datasets), (), ("Nothing was scored under it.",))
    found = notes(entries) if entries else []
    return Table(title, protocol, tuple(datasets), tuple(rows), tuple(found))
