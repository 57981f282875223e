import json
import os
import subprocess
import sys
import threading
import time

import pytest

from pipeline.shards import claims
from pipeline.shards.claims import claimed


def test_only_one_of_many_computes(tmp_path):
    path = tmp_path / "00000.h5"
    computed = []

    def work():
        with claimed(path, path.exists) as claim:
            if claim.state == "mine":
                time.sleep(0.05)
                computed.append(1)
                path.write_text("x")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert computed == [1]
    assert [file.name for file in tmp_path.iterdir()] == ["00000.h5"]


def test_a_dead_owner_does_not_hold_a_claim_for_ever(tmp_path):
    path = tmp_path / "00000.h5"
    claim = path.with_suffix(claims.CLAIM)
    claim.write_text("a host that died")
    os.utime(claim, (time.time() - 2 * claims.STALE_SECONDS,) * 2)
    with claimed(path, path.exists) as claim:
        assert claim.state == "mine"
    assert list(tmp_path.iterdir()) == []


def test_a_living_owner_is_waited_for_whatever_its_clock_says(tmp_path, monkeypatch):
    """The age is read off the file system's clock: this process's may be hours wrong."""
    path = tmp_path / "00000.h5"
    monkeypatch.setattr(time, "time", lambda: 1e12)
    path.with_suffix(claims.CLAIM).write_text("alive")
    threading.Timer(0.5, path.write_text, args=("done",)).start()
    with claimed(path, path.exists) as claim:
        assert claim.state == "done"
    assert path.read_text() == "done"


def dead_process():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return child.pid


def leave_claim(path, run, pid, deaths=0):
    content = claims._identity() | {"token": "x", "run": run, "deaths": deaths, "pid": pid}
    path.with_suffix(claims.CLAIM).write_text(json.dumps(content))


@pytest.fixture
def no_waiting(monkeypatch):
    """Let whoever waits in this thread fail."""
    wait = time.sleep

    def sleep(seconds):
        assert threading.current_thread() is not threading.main_thread(), "waited"
        wait(seconds)

    monkeypatch.setattr(time, "sleep", sleep)


def test_a_dead_process_of_this_machine_is_recognised_at_once_and_counted(tmp_path, no_waiting):
    path = tmp_path / "00000.h5"
    leave_claim(path, "this run", dead_process(), deaths=1)
    with claimed(path, path.exists, run="this run") as claim:
        assert claim.state == "mine"
        assert claim.deaths == 2
    leave_claim(path, "an earlier run", dead_process(), deaths=5)
    with claimed(path, path.exists, run="this run") as claim:
        assert claim.deaths == 0


def test_a_reused_process_number_is_not_taken_for_the_owner(tmp_path):
    path = tmp_path / "00000.h5"
    leave_claim(path, "", os.getpid())
    content = json.loads(path.with_suffix(claims.CLAIM).read_text())
    path.with_suffix(claims.CLAIM).write_text(json.dumps(content | {"started": "1"}))
    with claimed(path, path.exists) as claim:
        assert claim.state == "mine"


def test_a_lost_claim_is_noticed_and_the_new_owners_is_left_alone(tmp_path):
    path = tmp_path / "00000.h5"
    file = path.with_suffix(claims.CLAIM)
    with claimed(path, path.exists) as claim:
        file.write_text(json.dumps({"token": "another"}))
        assert not claim.held()
    assert json.loads(file.read_text()) == {"token": "another"}


def test_a_living_claim_that_replaced_a_dead_one_is_put_back(tmp_path):
    path = tmp_path / "00000.h5"
    file = path.with_suffix(claims.CLAIM)
    file.write_text(json.dumps({"token": "living"}))
    assert not claims._remove(file, {"token": "dead"})
    assert json.loads(file.read_text()) == {"token": "living"}
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]
