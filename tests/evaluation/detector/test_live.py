"""A live stream as a user sees it: what is there while it runs, and when it is killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from evaluation import commands
from evaluation.detector.addresses import find_addresses, redacted
from evaluation.measures.threshold import Alarm
from pipeline.base.errors import DataError
from tests.evaluation.detector.servers import serve

SECRETS = ("hunter2", "tokentoken", "admin-user")


@contextmanager
def detecting(run, address, out):
    """Detect in a process of its own; yield it and its folder."""
    command = [sys.executable, "-m", "evaluation", "detect", "--run", str(run.folder), address,
               "--out", str(out), "--alarm.threshold", "-100", "--alarm.shortest", "0",
               "--indicators", "[flow]", "--page.thumbnails", "4"]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.05)


def rows_of(path):
    content = path.read_text() if path.exists() else ""
    assert not content or content.endswith("\n")
    return list(csv.DictReader(content.splitlines()))


def test_all_is_there_when_a_live_stream_is_killed(run, images, tmp_path):
    with serve(images=images, rate=20, repeat=True) as address:
        shown = address.replace("http://", "http://admin-user:hunter2@") + "/live?token=tokentoken"
        with detecting(run, shown, tmp_path) as process:
            wait_for(lambda: list(tmp_path.glob("*/source.json")) or process.poll() is not None)
            (folder,) = (path.parent for path in tmp_path.glob("*/source.json"))
            wait_for(lambda: len(rows_of(folder / "scores.csv")) > 30)
            before = len(rows_of(folder / "scores.csv"))
            (event,) = rows_of(folder / "events.csv")
            assert event["state"] == "open" and cv2.imread(str(folder / "event-1.jpg")) is not None
            os.kill(process.pid, signal.SIGKILL)
            said = process.stdout.read()
    rows = rows_of(folder / "scores.csv")
    assert before <= len(rows)
    assert [row["frame"] for row in rows] == [str(number) for number in range(len(rows))]
    assert np.all(np.diff([float(row["seconds"]) for row in rows]) >= 0)
    assert int(rows_of(folder / "events.csv")[0]["last_frame"]) >= len(rows) - 2
    assert "event 1 begins" in said
    everything = said + "".join(
        str(path) + path.read_bytes().decode(errors="replace")
        for path in tmp_path.rglob("*")
        if path.is_file()
    )
    assert not [secret for secret in SECRETS if secret in everything]


def test_a_live_stream_that_ends_is_told_to_its_end_without_its_password(
    run, images, tmp_path, capsys
):
    with serve(images=images, rate=20) as address:
        given = address.replace("http://", "http://admin-user:hunter2@") + "/live?token=tokentoken"
        status = commands.detect(
            run.folder, [given], tmp_path, Alarm(threshold=-100, shortest=0), indicators=["flow"]
        )
    assert status == 0
    (folder,) = (path.parent for path in tmp_path.glob("*/source.json"))
    content = json.loads((folder / "scores.json").read_text())
    assert content["frames"] + content["dropped"] == 24
    seconds = content["scores"][-1]["seconds"]
    assert 0.5 < seconds < 30
    capture = cv2.VideoCapture(str(folder / "overlay.mp4"))
    length = capture.get(cv2.CAP_PROP_FRAME_COUNT) / capture.get(cv2.CAP_PROP_FPS)
    assert length == pytest.approx(seconds, rel=0.15, abs=0.2)
    said = "".join(capsys.readouterr())
    assert "event 1 begins" in said and "event 1 ended" in said
    everything = said + "".join(
        str(path) + path.read_bytes().decode(errors="replace")
        for path in tmp_path.rglob("*")
        if path.is_file()
    )
    assert not [secret for secret in SECRETS if secret in everything]


def test_an_error_holds_no_password(run, tmp_path):
    given = "http://admin-user:hunter2@127.0.0.1:9/live?token=tokentoken"
    with pytest.raises(DataError, match="cannot be opened") as failed:
        commands.detect(run.folder, [given], tmp_path, Alarm(threshold=1), indicators=["flow"])
    assert not [secret for secret in SECRETS if secret in str(failed.value)]
    assert failed.value.__cause__ is None and failed.value.__suppress_context__


@pytest.mark.parametrize(
    "given",
    ["rtsp://admin-user:hunter2@cam/1", "rtsp://admin-user:hun/ter2?@cam/1#hunter2",
     "rtsp://cam/user=admin-user_password=hunter2_channel=1.sdp", "rtsp://admin-user@cam:554/1",
     "HTTP://[::1]:80/a.mjpg?user=admin-user&pwd=hunter2", "rtsp://admin-user:1234/hunter2@cam/1"],
)  # fmt: skip
def test_what_is_shown_of_an_address_holds_no_secret(given):
    (address,) = find_addresses([given])
    for text in (redacted(given), address.name, address.folder_name, repr(address)):
        assert "hunter2" not in text and "admin-user" not in text and "ter2" not in text
    assert "cam" in redacted(given) or "[::1]:80/a.mjpg" in redacted(given)
