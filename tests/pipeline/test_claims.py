import os
import threading
import time

from pipeline import claims
from pipeline.claims import claimed


def test_only_one_of_many_computes(tmp_path):
    path = tmp_path / "00000.h5"
    computed = []

    def work():
        with claimed(path, path.exists) as mine:
            if mine:
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
    with claimed(path, path.exists) as mine:
        assert mine
    assert list(tmp_path.iterdir()) == []


def test_a_living_owner_is_waited_for_whatever_its_clock_says(tmp_path, monkeypatch):
    """The age is read off the file system's clock: this process's may be hours wrong."""
    path = tmp_path / "00000.h5"
    monkeypatch.setattr(time, "time", lambda: 1e12)
    path.with_suffix(claims.CLAIM).write_text("alive")
    threading.Timer(0.5, path.write_text, args=("done",)).start()
    with claimed(path, path.exists) as mine:
        assert not mine
    assert path.read_text() == "done"
