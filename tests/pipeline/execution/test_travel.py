"""Shards travel whole: what arrives is what was made, or nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import h5py
import pytest

from pipeline.__main__ import main
from pipeline.base.errors import ConfigurationError, MachineError
from pipeline.execution.audit import verify
from pipeline.execution.store import Store, committed, open_store
from pipeline.execution.travel import Choice, at_store, cached, fetch, pull, push
from tests.torture.common import ROOT, contents, undisturbed


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cache of toy shards, never changed."""
    folder = tmp_path_factory.mktemp("made")
    plan, _ = undisturbed(folder)
    return plan


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    address = f"memory://{uuid.uuid4().hex}" if request.param == "memory" else str(tmp_path / "a b")
    return open_store(address)


def everything(cache: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(cache)): path.read_bytes()
        for path in cache.rglob("*")
        if path.suffix == ".h5" or (path.suffix == ".json" and "/" in str(path.relative_to(cache)))
    }


def test_what_arrives_is_what_was_made_to_the_byte(made, store, tmp_path):
    pushed = push(made.cache, store)
    assert (pushed.shards, pushed.there) == (len(cached(made.cache)), 0)
    assert not pull(store, tmp_path / "other").failures
    wanted = everything(made.cache)
    assert {name: wanted[name] for name in everything(tmp_path / "other")} == everything(
        tmp_path / "other"
    )
    assert contents(tmp_path / "other") == contents(made.cache)
    assert not verify(tmp_path / "other")


def test_only_what_is_missing_travels(made, store, tmp_path):
    shards = len(cached(made.cache))
    assert push(made.cache, store).shards == shards
    again = push(made.cache, store)
    assert (again.shards, again.bytes, again.there) == (0, 0, shards)
    pull(store, tmp_path / "other")
    again = pull(store, tmp_path / "other")
    assert (again.shards, again.bytes, again.there) == (0, 0, shards)


def test_stages_data_sets_and_runs_choose(made, store, tmp_path):
    stages = {place.parts[1] for place in cached(made.cache)}
    assert stages == {"noise", "difference"}
    push(made.cache, store, Choice(stages=("noise",)))
    assert {p.parts[1] for p in at_any(store)} == {"noise"}
    assert push(made.cache, store, Choice(dataset="none such")).shards == 0
    folder = next(p for p in cached(made.cache) if p.parts[1] == "difference")
    assert push(made.cache, store, Choice(folders={"/".join(folder.parts[:3])})).shards > 0
    assert {p.parts[1] for p in at_any(store)} == stages


def file_of(store, place):
    return next(p for p in store.listing() if str(p).startswith(f"{place}.") and p.suffix == ".h5")


def at_any(store):
    return committed(store.listing())


def test_an_interrupted_push_is_no_shard_and_goes_on(made, store, tmp_path):
    push(made.cache, store)
    places = cached(made.cache)
    store.files.rm(store.path(f"{places[0]}.json"))  # it died before the record
    torn = file_of(store, places[1])
    store.files.rm(store.path(f"{places[1]}.json"))
    store.files.pipe_file(store.path(torn), b"half")  # and within the file
    assert at_any(store) == set(places[2:])
    assert pull(store, tmp_path / "early").shards == len(places) - 2
    assert push(made.cache, store).shards == 2
    assert not pull(store, tmp_path / "early").failures
    assert contents(tmp_path / "early") == contents(made.cache)


@pytest.mark.parametrize("damage", ["bytes", "record", "key", "recipe", "no json"])
def test_damage_on_the_way_is_named_and_never_arrives(made, store, tmp_path, damage):
    push(made.cache, store)
    place = cached(made.cache)[0]
    record = store.path(f"{place}.json")
    file = file_of(store, place)
    if damage == "bytes":
        content = bytearray(store.files.cat_file(store.path(file)))
        content[len(content) // 2] ^= 1
        store.files.pipe_file(store.path(file), bytes(content))
    elif damage == "no json":
        store.files.pipe_file(record, b"[")
    elif damage == "recipe":
        recipe = store.path("/".join((*place.parts[:3], "recipe.json")))
        changed = json.loads(store.files.cat_file(recipe)) | {"version": 99}
        store.files.pipe_file(recipe, json.dumps(changed).encode())
    else:
        other = next(p for p in cached(made.cache) if p.parts[2] != place.parts[2])
        content = json.loads(store.files.cat_file(record)) | {"seconds": 1e9}
        if damage == "key":  # a sound record, but of another stage
            content = json.loads(store.files.cat_file(store.path(f"{other}.json")))
        store.files.pipe_file(record, json.dumps(content).encode())
    pulled = pull(store, tmp_path / "other")
    assert pulled.failures and str(place) in "".join(pulled.failures)
    arrived = contents(tmp_path / "other")
    assert f"{place}.h5" not in arrived
    assert arrived == {name: contents(made.cache)[name] for name in arrived}
    assert not verify(tmp_path / "other")


def test_what_is_damaged_here_is_not_pushed(made, store, tmp_path):
    shutil.copytree(made.cache, tmp_path / "mine")
    place = cached(tmp_path / "mine")[0]
    with (tmp_path / "mine" / f"{place}.h5").open("r+b") as file:
        file.seek(100)
        file.write(b"x")
    pushed = push(tmp_path / "mine", store)
    assert len(pushed.failures) == 1 and str(place) in pushed.failures[0]
    assert place not in at_any(store)


def test_nothing_is_overwritten_on_either_side(made, store, tmp_path):
    push(made.cache, store)
    before = {p: store.files.cat_file(store.path(p)) for p in store.listing()}
    shutil.copytree(made.cache, tmp_path / "mine")
    record = next((tmp_path / "mine").rglob("00000.json"))
    record.write_text(record.read_text() + " ")  # mine differs: it stays, and so does theirs
    pull(store, tmp_path / "mine")
    push(tmp_path / "mine", store)
    assert record.read_text().endswith(" ")
    assert {p: store.files.cat_file(store.path(p)) for p in store.listing()} == before


def test_two_who_push_other_bytes_of_one_shard_never_mix_them(made, tmp_path):
    """As where a network computed a shard on two kinds of processor: each is whole by itself."""
    from pipeline.shards.shard import write_shard

    shutil.copytree(made.cache, tmp_path / "theirs")
    place = cached(made.cache)[0]
    path = tmp_path / "theirs" / f"{place}.h5"
    record = json.loads(path.with_suffix(".json").read_text())
    facts = {k: record[k] for k in ("key", "stage", "video", "start", "stop", "seconds")}
    with h5py.File(path) as file:
        arrays = {name: data[:] for name, data in file.items()}
    arrays["step"][0] += 1
    write_shard(path, arrays, facts)
    store = open_store(str(tmp_path / "store"))
    threads = [
        threading.Thread(target=push, args=(cache, store))
        for cache in (made.cache, tmp_path / "theirs")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not pull(store, tmp_path / "other").failures
    assert not verify(tmp_path / "other")
    found = (tmp_path / "other" / f"{place}.h5").read_bytes()
    assert found in {path.read_bytes(), (made.cache / f"{place}.h5").read_bytes()}


def test_a_killed_pull_leaves_whole_shards_and_goes_on(made, tmp_path):
    store = open_store(str(tmp_path / "store"))
    push(made.cache, store)
    code = (
        "import sys, os, signal\n"
        "import pipeline.execution.travel as t\n"
        "from pathlib import Path\n"
        "from pipeline.execution.store import open_store\n"
        "whole, count = t.write_json, [0]\n"
        "def dies(path, value):\n"
        "    count[0] += 1\n"
        "    if count[0] == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    whole(path, value)\n"
        "t.write_json = dies\n"
        "t.pull(open_store(sys.argv[1]), Path(sys.argv[2]), jobs=1)\n"
    )
    command = [sys.executable, "-c", code, tmp_path / "store", tmp_path / "other"]
    died = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert died.returncode == -signal.SIGKILL
    assert not verify(tmp_path / "other")
    assert 0 < len(cached(tmp_path / "other")) < len(cached(made.cache))
    assert not pull(store, tmp_path / "other").failures
    assert contents(tmp_path / "other") == contents(made.cache)


def test_a_plan_takes_what_the_store_has(made, tmp_path):
    from dataclasses import replace

    store = open_store(str(tmp_path / "store"))
    push(made.cache, store, Choice(stages=("noise",)))
    mine = tmp_path / "mine"
    stages = {
        name: replace(entry, folder=mine / entry.folder.relative_to(made.cache))
        for name, entry in made.stages.items()
    }
    plan = replace(made, cache=mine, stages=stages)
    found = at_store(plan, store)
    assert len(found["noise"]) == sum(plan.shard_count("noise", v) for v in plan.videos)
    assert found["difference"] == set()
    fetch(store, mine, found["noise"])
    assert all(not places for places in at_store(plan, store).values())


class Unplugged(Store):
    def listing(self, below=("",)):
        raise OSError("no route to host")


def test_addresses_with_a_password_are_refused_without_repeating_it():
    with pytest.raises(ConfigurationError, match="ends up in logs") as error:
        open_store("ssh://me:secret-word@host/shards")
    assert "secret-word" not in str(error.value)


def test_a_store_that_is_not_to_be_had_is_told_in_a_line(tmp_path):
    with pytest.raises(ConfigurationError, match="remote: nonsense://x"):
        open_store("nonsense://x")
    with pytest.raises(MachineError, match="cannot be reached"):
        pull(Unplugged(open_store(str(tmp_path)).files, str(tmp_path), "s3://lab"), tmp_path / "c")


def test_names_that_climb_out_of_the_cache_are_not_taken(made, tmp_path):
    store = open_store(f"memory://{uuid.uuid4().hex}")
    store.files.pipe_file(f"{store.root}/a/b/c/train/../00000.json", b"{}")
    assert all(".." not in place.parts for place in store.listing())


def test_the_commands_travel_and_report(made, tmp_path, capsys, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pipeline", *map(str, arguments)])
        return main()

    assert not call("push", tmp_path / "s", "--cache", made.cache, "--stages", "[noise]")
    count = sum(place.parts[1] == "noise" for place in cached(made.cache))
    assert f"{count} shards pushed" in capsys.readouterr().out
    assert not call("pull", tmp_path / "s", "--cache", tmp_path / "c")
    assert f"{count} shards pulled" in capsys.readouterr().out
    record = next((tmp_path / "s").rglob("00000.json"))
    record.write_text("{}")
    assert call("pull", tmp_path / "s", "--cache", tmp_path / "d") == 1
    assert "1 failed" in capsys.readouterr().out
