"""What ``gc`` takes, what it leaves, and that its last removal can be undone."""

import contextlib
import io
import json
import os
import shutil
from pathlib import Path

import pytest

from pipeline import commands
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.execution import garbage
from pipeline.execution import run as execution
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.outputs import write_keys, write_shards_json
from pipeline.execution.todo import Settings
from pipeline.shards.claims import CLAIM, claimed
from tests.pipeline.toys import make_plan


def compute(plan, folder):
    assert not execution.run(plan, Cluster(kind="serial"), Settings(), folder / "logs").failures


@pytest.fixture
def filled(tmp_path):
    """A cache of two plans, of which a run below RUNS names the first."""
    cache, runs = tmp_path / "cache", tmp_path / "runs"
    used, free = make_plan(cache), make_plan(cache, size=6)
    for plan in (used, free):
        compute(plan, tmp_path)
    write_shards_json(used, runs / "a" / "shards.json", "test", {})
    return cache, runs, used, free


def folders(plan):
    return {entry.folder for entry in plan.stages.values()}


def files(cache):
    return {
        path.relative_to(cache): path.read_bytes() for path in cache.rglob("*.*") if path.is_file()
    }


def said(*args, **options):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        commands.gc(*args, **options)
    return out.getvalue()


def test_what_no_run_names_is_unused_and_the_rest_is_counted(filled):
    cache, runs, used, free = filled
    found = garbage.unused(cache, runs)
    assert {stray.path for stray in found.strays} == folders(free)
    assert (found.runs, found.kept) == (1, len(used.stages))
    size = sum(p.stat().st_size for f in folders(used) for p in f.rglob("*") if p.is_file())
    assert found.kept_bytes == size
    text = said(cache, runs)
    assert f"1 runs below {runs} were read; 2 keys with {size / 1e6:.2f} MB stay" in text


@pytest.mark.parametrize("make", [lambda runs: None, lambda runs: (runs / "a").mkdir(parents=True)])
def test_a_runs_folder_without_runs_is_refused_and_nothing_goes(filled, tmp_path, make):
    cache, *_ = filled
    before = files(cache)
    make(tmp_path / "typo")
    with pytest.raises(ConfigurationError, match="nothing is removed"):
        commands.gc(cache, tmp_path / "typo", delete=True)
    assert files(cache) == before


def test_runs_of_another_cache_are_refused(filled, tmp_path):
    cache, *_ = filled
    other = make_plan(tmp_path / "other", size=8)
    write_keys(other, tmp_path / "elsewhere" / "keys.json")
    with pytest.raises(ConfigurationError, match="none of them uses a shard"):
        commands.gc(cache, tmp_path / "elsewhere", delete=True)


def test_a_list_of_keys_that_cannot_be_read_is_refused(filled):
    cache, runs, *_ = filled
    (runs / "b").mkdir()
    (runs / "b" / "keys.json").write_text('{"stages": ')
    with pytest.raises(DataError, match="what it needs is unknown"):
        commands.gc(cache, runs, delete=True)


@pytest.mark.parametrize("way", ["link to the cache", "link to a run", "relative", "moved"])
def test_the_same_cache_by_another_path_keeps_what_is_used(filled, tmp_path, monkeypatch, way):
    cache, runs, _, free = filled
    if way == "link to the cache":
        (tmp_path / "link").symlink_to(cache)
        cache = tmp_path / "link"
    elif way == "link to a run":
        (runs / "a").rename(tmp_path / "elsewhere")
        (runs / "a").symlink_to(tmp_path / "elsewhere")
        (runs / "loop").symlink_to(runs)
    elif way == "relative":
        monkeypatch.chdir(tmp_path)
        cache, runs = Path("cache"), Path("runs")
    else:
        cache = cache.rename(tmp_path / "moved")
    found = {stray.path.name for stray in garbage.unused(cache, runs).strays}
    assert found == {folder.name for folder in folders(free)}


@pytest.mark.parametrize("name", ["keys.json", "shards-noise.json"])
def test_what_a_begun_run_or_one_of_a_part_of_the_stages_names_is_kept(filled, name):
    cache, runs, _, free = filled
    write_keys(free, runs / "b" / name)
    assert garbage.unused(cache, runs).strays == []


def test_what_a_living_run_elsewhere_writes_is_kept_with_all_that_it_reads(filled):
    cache, runs, _, free = filled
    shard = free.folder("difference", free.videos[0]) / "00007.h5"
    temporary = shard.with_name(".00007.h5.abc.tmp")
    with claimed(shard, lambda: False):
        temporary.write_bytes(b"x")
        for path in (temporary, shard.with_suffix(CLAIM)):
            os.utime(path, (1, 1))  # a machine that was asleep
        assert garbage.unused(cache, runs).strays == []
        assert garbage.strays(cache) == []
    assert {stray.path for stray in garbage.unused(cache, runs).strays} == folders(free)
    assert [stray.path for stray in garbage.strays(cache)] == [temporary]


def test_files_of_interrupted_writes_are_strays_once_they_are_old(filled):
    cache, _, used, _ = filled
    folder = used.folder("noise", used.videos[0])
    names = (".00009.h5.abc.tmp", "00009.h5", "00011.json", f"00012{CLAIM}")
    for name in (*names, "00010.h5"):
        (folder / name).write_bytes(b"x")
    for name in names:
        os.utime(folder / name, (1, 1))
    assert {stray.path.name for stray in garbage.strays(cache)} == set(names)


def test_the_last_removal_can_be_undone_until_the_next(filled):
    cache, runs, _, free = filled
    before = files(cache)
    assert "moved aside" in said(cache, runs, delete=True)
    assert not any(folder.exists() for folder in folders(free))
    assert garbage.unused(cache, runs).strays == []  # what is aside is no stray
    assert "files brought back" in said(cache, undo=True)
    assert files(cache) == before
    commands.gc(cache, runs, delete=True)
    text = said(cache, runs, delete=True)
    assert not (cache / garbage.ASIDE).exists()
    assert "0 strays" in text
    with pytest.raises(ConfigurationError, match="moved anything aside"):
        commands.gc(cache, undo=True)


def test_an_interrupted_removal_can_be_undone(filled, monkeypatch):
    cache, runs, *_ = filled
    before = files(cache)
    rename = Path.rename

    def interrupted(path, target):
        if (cache / garbage.ASIDE / "toy").exists():
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        commands.gc(cache, runs, delete=True)
    monkeypatch.undo()
    commands.gc(cache, undo=True)
    assert files(cache) == before


def test_undo_leaves_what_was_made_again_meanwhile(filled, tmp_path):
    cache, runs, _, free = filled
    commands.gc(cache, runs, delete=True)
    compute(free, tmp_path)
    shutil.rmtree(free.folder("noise", free.videos[1]))
    now = files(cache)
    kept = {path: content for path, content in now.items() if garbage.ASIDE not in path.parts}
    commands.gc(cache, undo=True)
    after = files(cache)
    assert {path: after[path] for path in kept} == kept
    assert (free.folder("noise", free.videos[1]) / "00000.json").exists()


def test_json_for_programs(filled):
    cache, runs, _, free = filled
    content = json.loads(said(cache, runs, as_json=True))
    assert {Path(row["path"]) for row in content["strays"]} == folders(free)
    assert (content["runs"], content["kept"], content["aside"]) == (1, 2, 0)
