"""Shards that travel: what one lab computed, another takes instead of computing it again.

Nothing is trusted on arrival: a record must bear out its own digest and fit the key of its folder,
a file must have the record's bytes. What is there already is never overwritten, on either side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.base.errors import DataError, ProjectError
from pipeline.base.files import canonical, json_text, replacing, sha256_of_file, write_json
from pipeline.base.progress import progress_bar
from pipeline.execution.plan import Plan
from pipeline.execution.store import Place, Store, committed, reaching
from pipeline.shards.claims import claimed
from pipeline.shards.shard import check_record, check_shard


@dataclass
class Travelled:
    """What came of a push or a pull.

    Attributes
    ----------
    shards, bytes
        How many went over, and their size in bytes.
    there
        How many were there already.
    failures
        What went wrong, a line a shard.
    """

    shards: int = 0
    bytes: int = 0
    there: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Choice:
    """Which shards travel: those of some stages, of one data set, of one run; all by default."""

    stages: Sequence[str] = ()
    dataset: str = ""
    folders: Collection[str] | None = None

    def takes(self, place: Place) -> bool:
        """Tell whether a shard is among them."""
        dataset, stage, key = place.parts[:3]
        return (
            (not self.stages or stage in self.stages)
            and (not self.dataset or dataset == self.dataset)
            and (self.folders is None or f"{dataset}/{stage}/{key}" in self.folders)
        )


def push(cache: Path, store: Store, choice: Choice | None = None, jobs: int = 8) -> Travelled:
    """Take to a store every committed shard of a cache that is not there.

    Parameters
    ----------
    jobs
        How many shards travel at once.

    Raises
    ------
    MachineError
        If the store cannot be reached.
    """
    choice = choice or Choice()
    mine = [place for place in cached(cache) if choice.takes(place)]
    with reaching(store):
        theirs = store.listing(sorted({"/".join(place.parts[:3]) for place in mine}))
    there = committed(theirs)

    def one(place: Place) -> int:
        return _push_one(cache, store, place, theirs)

    left = [place for place in mine if place not in there]
    return _all(one, left, len(mine) - len(left), "push", jobs)


def pull(store: Store, cache: Path, choice: Choice | None = None, jobs: int = 8) -> Travelled:
    """Take from a store every shard that the cache lacks; see :func:`push`."""
    choice = choice or Choice()
    with reaching(store):
        theirs = [place for place in committed(store.listing()) if choice.takes(place)]
    return fetch(store, cache, theirs, jobs)


def fetch(store: Store, cache: Path, places: Iterable[Place], jobs: int = 8) -> Travelled:
    """Take certain shards from a store into a cache; those that the cache has stay as they are."""
    wanted = sorted(places)
    mine = {place for place in wanted if _is_there(cache, place)}

    def one(place: Place) -> int:
        return _fetch_one(store, cache, place)

    return _all(one, [place for place in wanted if place not in mine], len(mine), "pull", jobs)


def missing_places(plan: Plan) -> dict[str, set[Place]]:
    """Return, by stage, the shards of a plan that its cache lacks."""
    missing = {}
    for name in plan.stages:
        missing[name] = {
            Place((plan.folder(name, video).relative_to(plan.cache) / f"{number:05d}").as_posix())
            for video in plan.videos_of(name)
            for number in set(range(plan.shard_count(name, video))) - plan.committed(name, video)
        }
    return missing


def at_store(plan: Plan, store: Store) -> dict[str, set[Place]]:
    """Return, by stage, the shards of a plan that its cache lacks and a store has."""
    missing = missing_places(plan)
    folders = {"/".join(place.parts[:3]) for places in missing.values() for place in places}
    with reaching(store):
        theirs = committed(store.listing(sorted(folders)))
    return {name: places & theirs for name, places in missing.items()}


def cached(cache: Path) -> list[Place]:
    """Return the committed shards of a cache, in order."""
    records = (path.relative_to(cache).with_suffix("") for path in cache.glob("*/*/*/*/*/*.json"))
    return sorted(
        Place(path.as_posix())
        for path in records
        if path.name.isdigit() and (cache / f"{path}.h5").exists()
    )


def _is_there(cache: Path, place: Place) -> bool:
    return all((cache / f"{place}{suffix}").exists() for suffix in (".h5", ".json"))


def _all(
    one: Callable[[Place], int], places: Sequence[Place], there: int, name: str, jobs: int
) -> Travelled:
    """Let shards travel, several at once; what fails is told and the others go on."""
    done = Travelled(there=there)
    pool = ThreadPoolExecutor(max(jobs, 1))
    bar = progress_bar(len(places) + there, name, done=there)
    try:
        waiting = {pool.submit(one, place): place for place in places}
        for future in as_completed(waiting):
            try:
                done.bytes += future.result()
                done.shards += 1
            except (ProjectError, OSError, ValueError) as error:
                kind = "" if isinstance(error, ProjectError) else f"{type(error).__name__}: "
                done.failures.append(f"{waiting[future]}: {kind}{error}")
            bar.update()
    finally:
        bar.close()
        pool.shutdown(cancel_futures=True)
    return done


def _push_one(cache: Path, store: Store, place: Place, theirs: dict[Place, int]) -> int:
    """Take one shard to a store: recipe, file, record. Returns its bytes."""
    path = cache / f"{place}.h5"
    record = check_shard(path)
    name = place.with_name(f"{place.name}.{record['sha256'][:16]}.h5")
    store.files.makedirs(store.path(place.parent), exist_ok=True)
    recipe = Place(*place.parts[:3]) / "recipe.json"
    if not store.files.exists(store.path(recipe)):
        store.write(recipe, (cache / recipe).read_bytes())
    if theirs.get(name) != record["bytes"]:  # a piece of an interrupted push is written anew
        store.files.put_file(str(path), store.path(name))
    store.write(place.with_name(f"{place.name}.json"), json_text(record).encode())
    return int(record["bytes"])


def _fetch_one(store: Store, cache: Path, place: Place) -> int:
    """Take one shard from a store, checked, record last. Returns its bytes."""
    record = _record(store, place)
    recipe = Place(*place.parts[:3]) / "recipe.json"
    if not (cache / recipe).exists():
        write_json(cache / recipe, _recipe(store, recipe))
    path = cache / f"{place}.h5"
    with claimed(path, lambda: _is_there(cache, place)) as claim:
        if claim.state == "done":
            return 0
        remote = store.path(place.with_name(f"{place.name}.{record['sha256'][:16]}.h5"))
        with replacing(path, sync_name=False) as temporary:
            store.files.get_file(remote, str(temporary))
            if sha256_of_file(temporary) != record["sha256"]:
                raise DataError(
                    f"{store.address}: its file is not the one that its record names; remove both "
                    "there, and push the shard again"
                )
        write_json(path.with_suffix(".json"), record)
    return int(record["bytes"])


def _record(store: Store, place: Place) -> dict[str, Any]:
    """Read and check a shard's record at a store."""
    record = _json(store, place.with_name(f"{place.name}.json"))
    check_record(record, f"{store.address}/{place}.json", "remove it there and push it again")
    if not str(record.get("key", "")).startswith(place.parts[2]):
        raise DataError(f"{store.address}: its record is of key {str(record.get('key'))[:12]}")
    return record


def _recipe(store: Store, place: Place) -> dict[str, Any]:
    """Read a stage's recipe at a store, and hold it against the key that its folder is named by."""
    recipe = _json(store, place)
    rest = {name: value for name, value in recipe.items() if name != "key"}
    if not hashlib.sha256(canonical(rest).encode()).hexdigest().startswith(place.parts[2]):
        raise DataError(f"{store.address}/{place}: is not the recipe of key {place.parts[2]}")
    return recipe


def _json(store: Store, place: Place) -> dict[str, Any]:
    content = json.loads(store.files.cat_file(store.path(place)))
    if not isinstance(content, dict):
        raise DataError(f"{store.address}/{place}: is no JSON object")
    return content
