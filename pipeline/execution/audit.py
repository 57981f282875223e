"""What is in a cache and whether it is sound: status, why, verify. All read records only,
but for ``verify``, which reads every byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.progress import progress_bar
from pipeline.execution.plan import Plan, committed
from pipeline.shards.shard import check_shard, read_record


def status_of_plan(plan: Plan) -> list[dict[str, Any]]:
    """Return for each planned stage: key, videos, shards done and in all, bytes, seconds."""
    rows = []
    for name, entry in plan.stages.items():
        videos = plan.videos_of(name)
        done = wanted = size = 0
        seconds = 0.0
        for video in videos:
            folder = plan.folder(name, video)
            numbers = committed(folder)
            wanted += len(plan.shards(name, video))
            done += len(numbers)
            for number in numbers:
                record = read_record(folder / f"{number:05d}.h5")
                size += record["bytes"]
                seconds += record["seconds"]
        rows.append(
            {
                "stage": name,
                "key": entry.key[:12],
                "videos": len(videos),
                "done": done,
                "shards": wanted,
                "bytes": size,
                "core_seconds": round(seconds, 1),
            }
        )
    return rows


def why(plan: Plan, stage: str) -> dict[str, Any]:
    """Compare a planned stage's recipe with every cached one of the same stage.

    Returns
    -------
    dict
        The planned key, whether it is cached, and for every other key of the stage the
        parts of the recipe that differ, as ``{part: [cached, planned]}``.
    """
    if stage not in plan.stages:
        raise ConfigurationError(f"stage {stage!r} is none of {', '.join(plan.stages)}")
    entry = plan.stages[stage]
    others = {}
    for folder in sorted(entry.folder.parent.glob("*/recipe.json")):
        recipe = _load(folder)
        if folder.parent != entry.folder:
            others[folder.parent.name] = differences(recipe, entry.recipe)
    return {
        "stage": stage,
        "key": entry.key[:12],
        "recipe": entry.recipe,
        "cached": (entry.folder / "recipe.json").exists(),
        "others": others,
    }


def differences(cached: Any, planned: Any, path: str = "") -> dict[str, list[Any]]:
    """Return the leaves in which two recipes differ, by dotted path.

    >>> differences({"a": {"b": 1}, "key": "x"}, {"a": {"b": 2}})
    {'a.b': [1, 2]}
    """
    if isinstance(cached, dict) and isinstance(planned, dict):
        found: dict[str, list[Any]] = {}
        for name in sorted({*cached, *planned} - ({"key"} if not path else set())):
            below = f"{path}.{name}" if path else name
            found |= differences(cached.get(name), planned.get(name), below)
        return found
    same = cached == planned or (isinstance(planned, tuple) and cached == list(planned))
    return {} if same else {path: [cached, planned]}


def verify(cache: Path, workers: int = 2) -> list[tuple[Path, str]]:
    """Read every committed shard of a cache and return those that differ from their records."""
    shards = sorted(_shards(cache))
    bad: list[tuple[Path, str]] = []

    def check(path: Path) -> None:
        try:
            check_shard(path)
        except (DataError, OSError) as error:
            bad.append((path, str(error)))
        bar.update()

    with progress_bar(len(shards), "verify") as bar, ThreadPoolExecutor(workers) as pool:
        list(pool.map(check, shards))
    return sorted(bad)


def discard(shards: list[Path]) -> None:
    """Remove shards with their records, the record first, so that they are computed again."""
    for path in shards:
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _shards(cache: Path) -> Iterator[Path]:
    """Yield every shard that has a record, and every record's shard that should be there."""
    for record in cache.glob("[!.]*/*/*/*/*/*.json"):
        yield record.with_suffix(".h5")


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: is no JSON ({error}); remove it and run the pipeline") from error
