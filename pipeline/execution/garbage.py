"""``gc``: what nothing in a cache needs, moved aside first and removed by the next ``gc``.

A shard is needed by a run that names its key, by a living run that reads or writes it now, and
by every needed shard that was made from it. A key is known by its stage and its name, wherever
the cache lay when a run wrote it down: a link, a moved cache or another working directory
change nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import TEMPORARY
from pipeline.shards.claims import CLAIM, STALE_SECONDS, file_system_now, is_living

#: Where ``gc`` puts what it takes, below the cache; removed for good by the next ``gc``.
ASIDE = ".removed"

Key = tuple[str, str]
"""A stage's name and the key of its folder."""


@dataclass(frozen=True)
class Stray:
    """A file or folder of the cache that nothing needs, and why."""

    path: Path
    bytes: int
    reason: str


@dataclass(frozen=True)
class Unused:
    """What no run needs, and what stays because one does.

    Attributes
    ----------
    strays
        Folders of keys.
    runs
        How many folders below the runs folder name keys.
    kept, kept_bytes
        How many folders of keys stay, and their size.
    """

    strays: list[Stray]
    runs: int
    kept: int
    kept_bytes: int


def strays(cache: Path) -> list[Stray]:
    """Return the files that interrupted writes left, 30 s old by the cache's clock or older.

    Where a living run holds a claim, nothing in that folder is a stray.
    """
    found = []
    now = _now(cache)
    busy: dict[Path, bool] = {}
    for path in _files(cache):
        reason = _reason(path)
        if not reason:
            continue
        if path.parent not in busy:
            busy[path.parent] = any(map(is_living, path.parent.glob(f"*{CLAIM}")))
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue
        if not busy[path.parent] and now - facts.st_mtime > STALE_SECONDS:
            found.append(Stray(path, facts.st_size, reason))
    return sorted(found, key=lambda stray: stray.path)


def _reason(path: Path) -> str:
    if path.name.endswith(TEMPORARY):
        return "temporary file of an interrupted write"
    if path.suffix == CLAIM:
        return "claim of a run that ended"
    if path.suffix == ".h5" and not path.with_suffix(".json").exists():
        return "shard without a record"
    if path.suffix == ".json" and path.stem.isdigit() and not path.with_suffix(".h5").exists():
        return "record without its shard"
    return ""


def unused(cache: Path, runs: Path) -> Unused:
    """Return the folders of keys that no run needs.

    Parameters
    ----------
    runs
        Finished runs and those under way are looked for below it, links followed.

    Raises
    ------
    ConfigurationError
        If no run is there, or none of them uses this cache.
    DataError
        If a run's list of keys cannot be read: what it needs is unknown.
    """
    if not runs.is_dir():
        raise ConfigurationError(f"runs: {runs} is not a folder: nothing is removed")
    named: dict[Path, set[Key]] = {}
    for file in _lists(runs):
        named.setdefault(file.parent, set()).update(_named(file))
    if not named:
        raise ConfigurationError(
            f"runs: {runs} holds no run (no shards.json or keys.json below it): nothing is "
            "removed; name the folder that RUNS named"
        )
    folders = sorted(recipe.parent for recipe in cache.glob("[!.]*/*/*/recipe.json"))
    used = {key for keys in named.values() for key in keys}
    if folders and not used & {_key(folder) for folder in folders}:
        raise ConfigurationError(
            f"runs: {len(named)} runs below {runs}, but none of them uses a shard of {cache}: "
            "nothing is removed; name the folder of this cache's runs"
        )
    needed = _with_inputs(folders, used | {_key(folder) for folder in folders if _living(folder)})
    sizes = {folder: sum(file.stat().st_size for file in _files(folder)) for folder in folders}
    free = [folder for folder in folders if _key(folder) not in needed]
    kept = [folder for folder in folders if _key(folder) in needed]
    reason = f"no run below {runs} uses this key"
    return Unused(
        strays=[Stray(folder, sizes[folder], reason) for folder in free],
        runs=len(named),
        kept=len(kept),
        kept_bytes=sum(sizes[folder] for folder in kept),
    )


def _lists(runs: Path) -> Iterator[Path]:
    """Yield the files in which runs name their keys; each folder once, whatever links to it."""
    seen = set()
    for folder, below, names in os.walk(runs, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        for name in names:
            if name == "keys.json" or (name.startswith("shards") and name.endswith(".json")):
                yield Path(folder, name)


def _named(file: Path) -> set[Key]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["stages"].values()
        return {_key(Path(entry["folder"])) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file}: cannot be read as a run's list of keys ({error!r}), so what it needs is "
            "unknown and nothing is removed; run the pipeline again to write it, or remove it"
        ) from error


def _key(folder: Path) -> Key:
    return folder.parent.name, folder.name


def _living(folder: Path) -> bool:
    return any(is_living(claim) for claim in folder.glob(f"*/*/*{CLAIM}"))


def _with_inputs(folders: Iterable[Path], needed: set[Key]) -> set[Key]:
    """Add the keys that needed ones were made from, as their recipes name them."""
    inputs: dict[Key, set[Key]] = {}
    for folder in folders:
        recipe = _recipe(folder / "recipe.json").get("inputs", {})
        inputs[_key(folder)] = {(stage, str(key)[:12]) for stage, key in recipe.items()}
    waiting, found = list(needed), set(needed)
    while waiting:
        new = inputs.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _recipe(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is no JSON ({error}); remove it and run the pipeline") from error
    return content if isinstance(content, dict) else {}


def set_aside(cache: Path, found: Iterable[Stray]) -> None:
    """Remove for good what the last ``gc`` moved aside, then move aside what was found now.

    Each is moved by one rename within the cache, so an interruption leaves every file in its
    place or aside, from where :func:`bring_back` takes it.
    """
    if (cache / ASIDE).exists():
        shutil.rmtree(cache / ASIDE)
    for stray in found:
        aside = cache / ASIDE / stray.path.relative_to(cache)
        aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            stray.path.rename(aside)
        except FileNotFoundError:
            continue  # a run that ended just now removed it


def aside_bytes(cache: Path) -> int:
    """Return the size of what the last ``gc`` moved aside."""
    folder = cache / ASIDE
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def bring_back(cache: Path) -> int:
    """Undo the last ``gc``: move back what it moved aside, and return how many files those are.

    What was made again meanwhile stays as it is now.
    """
    aside = cache / ASIDE
    if not aside.exists():
        raise ConfigurationError(f"{aside}: not found: no gc --delete moved anything aside")
    moved = 0
    for where, _, names in os.walk(aside):
        place = cache / Path(where).relative_to(aside)
        place.mkdir(parents=True, exist_ok=True)
        # A shard goes with its record, which another machine may have made a little different.
        there = {path.stem for path in place.iterdir() if path.is_file()}
        for name in sorted(names):  # a shard before its record
            if Path(name).stem not in there:
                Path(where, name).rename(place / name)
                moved += 1
    shutil.rmtree(aside)
    return moved


def _now(cache: Path) -> float:
    """Return the time by the cache's own clock; by this machine's where it is read-only."""
    try:
        return file_system_now(cache)
    except OSError:
        return time.time()


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder but those that were moved aside."""
    for where, below, names in os.walk(folder):
        if ASIDE in below:
            below.remove(ASIDE)
        yield from (Path(where, name) for name in names)
