"""Which runs there are below RUNS: their results, and which of them failed.

::

    RUNS/ped2/two-cores/unified-seed0/metrics.json                  a run's results
                                     /transfer/avenue/metrics.json  the same networks elsewhere
    RUNS/ped2/two-cores-color/...                                   a variant of the preset
    RUNS/avenue/two-cores/failed.txt                                why its runs are missing
    RUNS/ped2/two-cores/steal-seed0/failed.txt                      that this run failed
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.record.run import read_metrics
from pipeline.base.errors import ConfigurationError

PATTERNS = ("*/*/*/{}", "*/*/*/transfer/*/{}")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run stands.

    Attributes
    ----------
    path
        Its folder.
    dataset
        That it was scored on.
    trained_on
        Another one, for transfer.
    variant
        Of the preset; empty for the preset as it is.
    method, seed
        Empty and None for what concerns every run of a data set.
    """

    path: Path
    dataset: str
    trained_on: str
    preset: str
    variant: str
    method: str = ""
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Entry(Place):
    """One run's results on one data set.

    Attributes
    ----------
    content
        Its metrics.json.
    shards
        The settings of each stage of the shards that it was trained on.
    """

    content: dict[str, Any] = field(default_factory=dict)
    shards: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failure(Place):
    """A run that is not there because something failed, and what."""

    text: str = ""


@dataclass(frozen=True)
class Collected:
    """Runs of one preset and its variants."""

    entries: tuple[Entry, ...] = ()
    failures: tuple[Failure, ...] = ()

    def pick(self, **wanted: Any) -> Collected:
        """Return the runs whose fields are as given; a failure of all runs goes with each.

        >>> Collected().pick(dataset="ped2", method="patch")
        Collected(entries=(), failures=())
        """
        return Collected(
            tuple(e for e in self.entries if _matches(e, wanted)),
            tuple(f for f in self.failures if _matches(f, wanted)),
        )

    def reason(self) -> str:
        """Say why a cell without a result is empty."""
        whole = [failure.text for failure in self.failures if not failure.method]
        return whole[0] if whole else self.failed() or "not run"

    def failed(self) -> str:
        """Say which seeds failed; empty if none did."""
        seeds = sorted({f.seed for f in self.failures if f.seed is not None})
        if not seeds:
            return ""
        return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))} failed"


def _matches(place: Place, wanted: dict[str, Any]) -> bool:
    return all(
        getattr(place, name) == value
        or (isinstance(place, Failure) and name == "method" and not place.method)
        for name, value in wanted.items()
    )


def collect(runs: Path, preset: str | None = None) -> Collected:
    """Return every scored or failed run of a preset and its variants below a folder.

    Parameters
    ----------
    preset
        None, where there are runs of one alone.

    Raises
    ------
    ConfigurationError
        If there is no such folder, or it holds runs of several presets and none is named.
    DataError
        If a metrics.json is damaged.
    """
    if not runs.is_dir():
        raise ConfigurationError(f"runs: {runs} is no folder; `make DATASET` makes runs")
    preset = preset or only_preset(runs)
    failures = [
        Failure(**vars(place), text=path.read_text(encoding="utf-8").strip() or "failed")
        for path, place in _places(runs, preset, ("*/*/{}", *PATTERNS), "failed.txt")
    ]
    failed = {failure.path for failure in failures}
    entries = []
    for path, place in _places(runs, preset, PATTERNS, "metrics.json"):
        if path.parent in failed:
            continue  # what is there is of an earlier run, and not what was asked for
        content = read_metrics(path.parent)
        given = vars(place) | {key: content[key] for key in ("dataset", "method", "seed")}
        home = runs / place.trained_on / path.relative_to(runs).parts[1]
        entries.append(Entry(**given, content=content, shards=stage_settings(home / "shards.json")))
    return Collected(tuple(entries), tuple(failures))


def _places(
    runs: Path, preset: str, patterns: Sequence[str], name: str
) -> Iterable[tuple[Path, Place]]:
    """Yield the files of a name that lie where runs do, with what their folders say."""
    for path in sorted(path for pattern in patterns for path in runs.glob(pattern.format(name))):
        home, folder, *rest = path.relative_to(runs).parts[:-1]
        if folder != preset and not folder.startswith(f"{preset}-"):
            continue
        method, _, seed = rest[0].rpartition("-seed") if rest else ("", "", "")
        yield (
            path,
            Place(
                path=path.parent,
                dataset=rest[-1] if len(rest) > 1 else home,
                trained_on=home,
                preset=preset,
                variant=folder.removeprefix(preset).removeprefix("-"),
                method=method,
                seed=int(seed) if seed.isdigit() else None,
            ),
        )


def only_preset(runs: Path) -> str:
    """Return the preset of all runs below a folder, their variants aside."""
    found = {path.parts[-3] for path in runs.glob("*/*/*/metrics.json")}
    presets = sorted(n for n in found if not any(n.startswith(f"{o}-") for o in found - {n}))
    if len(presets) > 1:
        raise ConfigurationError(
            f"preset: {runs} holds runs of {', '.join(presets)}, which no cell may mix; name one"
        )
    return presets[0] if presets else ""


def stage_settings(path: Path) -> dict[str, dict[str, Any]]:
    """Return the settings of each stage from a shards.json; none if it is gone."""
    try:
        stages = json.loads(path.read_text(encoding="utf-8"))["stages"]
    except (OSError, ValueError, KeyError):
        return {}
    return {name: stage["recipe"].get("settings", {}) for name, stage in stages.items()}
