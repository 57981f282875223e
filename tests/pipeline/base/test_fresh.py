"""A command is called unless the very same one, with the same files, made what is there."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline.base import fresh

SCRIPT = fresh.__file__


@pytest.fixture
def step(tmp_path, monkeypatch):
    """A step that copies a file and counts its calls; returns how often it was called by now."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source").write_text("a")
    code = "import sys; open('calls','a').write('x'); open('out','w').write(open('source').read())"

    def call(*words, made=("out",), status=0):
        command = [sys.executable, "-c", code, *words]
        assert fresh.run(made, ["source"], command) == status
        return len((tmp_path / "calls").read_text())

    return call


def test_the_same_again_calls_nothing_and_says_where_it_is(step, capsys):
    assert [step(), step()] == [1, 1]
    assert capsys.readouterr().out == "out: up to date\n"


def test_content_decides_and_no_time_stamp(step, tmp_path):
    step()
    os.utime(tmp_path / "source", (9e9, 9e9))
    os.utime(tmp_path / "out", (1, 1))
    assert step() == 1
    (tmp_path / "source").write_text("b")
    os.utime(tmp_path / "source", (1, 1))
    assert step() == 2
    assert (tmp_path / "out").read_text() == "b"


def test_another_word_calls_it_and_says_why(step, capsys):
    step("--p", "0.4")
    assert step("--p", "0.9") == 2
    assert capsys.readouterr().out == "out: asked for now: 0.9; no longer: 0.4\n"
    assert step("--p", "0.9") == 2
    assert step() == 3


@pytest.mark.parametrize("form", ["{}", "--config={}"])
def test_a_file_among_the_words_is_taken_by_its_content(step, tmp_path, form):
    preset = tmp_path / "preset.yaml"
    preset.write_text("p: 0.4")
    word = form.format(preset)
    assert [step(word), step(word)] == [1, 1]
    preset.write_text("p: 0.9")
    assert step(word) == 2


@pytest.mark.parametrize("change", ["remove", "edit"])
def test_what_was_made_and_is_gone_or_changed_is_made_again(step, tmp_path, change):
    step()
    if change == "remove":
        (tmp_path / "out").unlink()
    else:
        (tmp_path / "out").write_text("by hand")
    assert step() == 2


def test_a_command_that_fails_is_called_again(step, tmp_path):
    (tmp_path / "source").unlink()
    assert [step(status=1), step(status=1)] == [1, 2]
    (tmp_path / "source").write_text("a")
    assert [step(), step()] == [3, 3]


def test_a_record_that_cannot_be_read_is_none(step, tmp_path):
    step()
    (tmp_path / "out.made").write_text("{")
    assert step() == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_command_and_its_end_is_waited_for(tmp_path, number):
    code = (
        "import signal, sys, time\n"
        "def end(number, frame):\n"
        "    time.sleep(0.3); open('out', 'w').write('in order'); sys.exit(7)\n"
        "signal.signal(signal.SIGTERM, end); signal.signal(signal.SIGINT, end)\n"
        "open('ready', 'w').close(); time.sleep(60)"
    )
    words = [sys.executable, "-IS", SCRIPT, "out", "--", sys.executable, "-c", code]
    process = subprocess.Popen(words, cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    assert process.wait(timeout=30) == 7
    assert (tmp_path / "out").read_text() == "in order"
    assert not (tmp_path / "out.made").exists()
