"""The commands of ``python -m pipeline``, each a function whose parameters are its options."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipeline.base.environment import cores
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import write_text
from pipeline.execution import audit as maintenance
from pipeline.execution import garbage
from pipeline.execution import run as execution
from pipeline.execution.executors.array import Share, shard_ids
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.outputs import write_keys, write_shards_json
from pipeline.execution.plan import Plan
from pipeline.execution.planning import Planned, Source, make_plan
from pipeline.execution.store import open_store
from pipeline.execution.todo import Settings, Summary, lying_at, missing_count
from pipeline.execution.travel import at_store, fetch
from pipeline.stages.registry import Stages


def run(
    source: Source,
    out: Path = Path("runs/latest"),
    stages: Stages = Stages(),  # noqa: B008 - frozen
    cluster: Cluster = Cluster(),  # noqa: B008
    engine_settings: Settings = Settings(),  # noqa: B008
    shards: str = "",
    remote: str = "",
) -> int:
    r"""Compute every missing shard of a data set, and write OUT/shards.json for the trainers.

        python -m pipeline run --config pipeline/presets/quick.yaml \
            --source.manifest ped2 --source.data UCSDped2 --out runs/ped2/quick

    Interrupted or failed, the same command goes on where it stopped. Exit status: 0 all
    shards are there; 1 some failed (listed); 2 a wrong setting; 3 wrong data; 4 the machine.

    Args:
        source: Which videos.
        out: Folder of the run; logs go below it.
        stages: Settings of each stage.
        cluster: Where to compute.
        engine_settings: Compression, retries, time limits.
        shards: I/N: only this part of the shards, for element I of a job array of N.
        remote: A store (docs/sharing.md) whose shards are taken instead of being computed;
            the site's `remote` if this is empty.
    """
    share = Share.parse(shards) if shards else None
    planned = make_plan(source, stages, cluster.workers)
    plan = planned.plan
    write_keys(plan, out / "keys.json")
    _take(plan, remote or cluster.read_site().remote)
    wanted = share.wanted(plan) if share else None
    summary = execution.run(plan, cluster, engine_settings, out / "logs", wanted)
    computed = sum(summary.computed.values())
    if not computed and not summary.failures:
        print(
            f"{plan.dataset}: nothing to do, all {sum(summary.cached.values())} shards are "
            f"cached in {source.cache} ({summary.wall_seconds:.2f} s)"
        )
    else:
        print(summary.table())
        print(f"{computed} shards in {summary.wall_seconds:.1f} s, cache {source.cache}")
    if summary.failures:
        return _report_failures(summary)
    if share and missing_count(plan):
        print(f"share {shards} is done; shards of other shares are still missing")
    else:
        # A part of the stages has a name of its own: the inpainter is trained on frames alone.
        name = "-".join(("shards", *source.only))
        _write_shards_json(planned, out / f"{name}.json")
    return 0


def _take(plan: Plan, remote: str) -> None:
    """Take from a store what the cache lacks; what cannot be had there is computed, and said."""
    if not remote:
        return
    store = open_store(remote)
    found = at_store(plan, store)
    taken = fetch(store, plan.cache, set().union(*found.values()))
    for failure in taken.failures:
        print(f"{remote}: {failure}; computed here", file=sys.stderr)
    print(f"{taken.shards} shards taken from {remote} ({taken.bytes / 1e6:.1f} MB)")


def _write_shards_json(planned: Planned, path: Path) -> None:
    changed = write_shards_json(planned.plan, path, planned.evaluate, planned.settings)
    print(f"{path} {'written' if changed else 'is up to date'}")


def plan(source: Source, out: Path = Path("runs/latest"), stages: Stages = Stages()) -> None:  # noqa: B008
    """Write the ids of all shards to OUT/shards.txt, a line each, and say what is missing.

    Nothing is computed, but every video is read once to hash it, which later runs and all
    elements of a job array then need not do.

    Args:
        source: Which videos.
        out: Folder of the run.
        stages: Settings of each stage.
    """
    planned = make_plan(source, stages).plan
    ids = list(shard_ids(planned))
    write_text(out / "shards.txt", "".join(f"{name}\n" for name in ids))
    write_keys(planned, out / "keys.json")
    missing = missing_count(planned)
    print(f"{len(ids)} shards of {len(planned.videos)} videos, {missing} missing: {out}/shards.txt")


def _report_failures(summary: Summary) -> int:
    direct = [result for result in summary.failures if not result.skipped]
    skipped = len(summary.failures) - len(direct)
    print(f"{len(direct)} tasks failed, {skipped} more read what they make:", file=sys.stderr)
    for result in direct[:20]:
        print(f"  {result.name}: {result.error}", file=sys.stderr)
        if result.log and Path(result.log).exists():
            print(f"    log: {result.log}", file=sys.stderr)
    if len(direct) > 20:
        print(f"  ... and {len(direct) - 20} more", file=sys.stderr)
    print(
        "the other shards are committed; the same command tries the failed again", file=sys.stderr
    )
    return 1


def status(
    source: Source,
    stages: Stages = Stages(),  # noqa: B008
    remote: str = "",
    as_json: bool = False,
) -> None:
    """Show, stage by stage, what is cached and what is missing.

    Args:
        source: Which videos.
        stages: Settings of each stage.
        remote: A store (docs/sharing.md): show what of the missing it has.
        as_json: Print JSON for programs.
    """
    plan = make_plan(source, stages).plan
    rows = maintenance.status_of_plan(plan)
    if remote:
        found = at_store(plan, open_store(remote))
        rows = [row | {"remote": len(found[row["stage"]])} for row in rows]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    there = f"{'at remote':>10}{'missing':>9}" if remote else ""
    print(f"{'stage':<14}{'key':<14}{'videos':>7}{'shards':>14}{there}{'MB':>12}{'core s':>10}")
    for row in rows:
        shards = f"{row['done']}/{row['shards']}"
        if remote:
            missing = row["shards"] - row["done"] - row["remote"]
            there = f"{row['remote']:>10}{missing:>9}"
        print(
            f"{row['stage']:<14}{row['key']:<14}{row['videos']:>7}{shards:>14}{there}"
            f"{row['bytes'] / 1e6:>12.1f}{row['core_seconds']:>10.1f}"
        )


def why(
    stage: str,
    source: Source,
    stages: Stages = Stages(),  # noqa: B008
    as_json: bool = False,
) -> None:
    """Show which part of a stage's recipe differs from what is cached under other keys.

    So it says why a stage is computed again: give it the settings of that run.

    Args:
        stage: The stage's name.
        source: Which videos.
        stages: Settings of each stage.
        as_json: Print JSON for programs.
    """
    found = maintenance.why(make_plan(source, stages).plan, stage)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    print(f"{stage} {found['key']}: {'is cached' if found['cached'] else 'is not cached'}")
    for key, parts in found["others"].items():
        print(f"  {key} differs in:")
        for part, (cached, wanted) in parts.items():
            print(f"    {part}: cached {cached!r}, wanted {wanted!r}")


def verify(
    cache: Path = Path("cache"),
    repair: bool = False,
    source: Source | None = None,
    stages: Stages = Stages(),  # noqa: B008
    cluster: Cluster = Cluster(),  # noqa: B008
    engine_settings: Settings = Settings(),  # noqa: B008
    out: Path = Path("runs/latest"),
    as_json: bool = False,
) -> int:
    """Read every byte of every shard and compare it with its record.

    Exit status 3 if one differs. --repair removes those and, with --source.manifest and
    --source.data, computes them again.

    Args:
        cache: The cache to verify; a source's own cache goes before it.
        repair: Remove what is damaged and, where a source is given, compute just that again.
        source: Which videos to repair from.
        stages: Settings of each stage, to repair.
        cluster: Where to compute, to repair.
        engine_settings: Compression, retries, time limits, to repair.
        out: Folder for the logs of a repair.
        as_json: Print JSON for programs.
    """
    cache = source.cache if source else cache
    if not cache.is_dir():
        raise ConfigurationError(f"cache: {cache} is not a folder")
    bad = maintenance.verify(cache, cores())
    repaired: set[Path] = set()
    if repair and bad:
        plan = make_plan(source, stages, cluster.workers).plan if source else None
        repaired = _repair([path for path, _ in bad], plan, cluster, engine_settings, out)
    if as_json:
        rows = [{"shard": str(p), "error": error, "repaired": p in repaired} for p, error in bad]
        print(json.dumps(rows, indent=1))
    else:
        for _, error in bad:
            print(error)
        removed = f", removed; {len(repaired)} computed again" if repair and bad else ""
        print(f"{len(bad)} damaged shards{removed}")
        if repair and len(repaired) < len(bad):
            print("run the pipeline with the settings that made the others, to compute them again")
    return DataError.exit_status if bad and not repair else 0


def _repair(
    damaged: list[Path], plan: Plan | None, cluster: Cluster, settings: Settings, out: Path
) -> set[Path]:
    maintenance.discard(damaged)
    if plan is None:
        return set()
    summary = execution.run(plan, cluster, settings, out / "logs", lying_at(plan, set(damaged)))
    if summary.failures:
        _report_failures(summary)
    return {path for path in damaged if path.with_suffix(".json").exists()}


def gc(
    cache: Path = Path("cache"),
    runs: Path | None = None,
    delete: bool = False,
    undo: bool = False,
    as_json: bool = False,
) -> None:
    """List what nothing needs, or move it out of the way.

    Files of interrupted writes; with --runs also shards that no run below that folder names, that
    no living run reads or writes, and that nothing needed was made from. Runs in other folders are
    not known: name the folder that holds all of them.

    Nothing is touched without --delete. It moves what is listed to CACHE/.removed, from where
    --undo brings it back; the next --delete removes it for good.

    Args:
        cache: The cache to look through.
        runs: With it, also every key that no run below this folder needs.
        delete: Move aside what is listed, and remove for good what the last --delete moved aside.
        undo: Bring back what the last --delete moved aside.
        as_json: Print JSON for programs.
    """
    if not cache.is_dir():
        raise ConfigurationError(f"cache: {cache} is not a folder")
    if undo:
        if delete:
            raise ConfigurationError("gc: --undo and --delete exclude each other")
        moved = garbage.bring_back(cache)
        print(json.dumps({"brought_back": moved}) if as_json else f"{moved} files brought back")
        return
    found = garbage.strays(cache)
    unused = garbage.unused(cache, runs) if runs is not None else None
    found += unused.strays if unused else []
    if delete:
        garbage.set_aside(cache, found)
    aside = garbage.aside_bytes(cache)
    if as_json:
        rows = [vars(stray) | {"path": str(stray.path)} for stray in found]
        content: dict[str, object] = {"strays": rows, "aside": aside}
        if unused:
            content |= {"runs": unused.runs, "kept": unused.kept, "kept_bytes": unused.kept_bytes}
        print(json.dumps(content, indent=1))
        return
    for stray in found:
        print(f"{stray.bytes / 1e6:>10.2f} MB  {stray.path}: {stray.reason}")
    if unused:
        print(
            f"{unused.runs} runs below {runs} were read; {unused.kept} keys with "
            f"{unused.kept_bytes / 1e6:.2f} MB stay"
        )
    total = f"{len(found)} strays, {sum(stray.bytes for stray in found) / 1e6:.2f} MB"
    print(f"{total} {'moved aside' if delete else '(--delete moves them aside)'}")
    if aside:
        print(
            f"{aside / 1e6:.2f} MB in {cache / garbage.ASIDE}: gc --undo brings them back, the "
            "next gc --delete removes them for good"
        )
