"""Progress: a bar in a terminal, whole lines in a log file."""

import io
import sys

from pipeline.base.progress import progress_bar


def test_a_log_file_gets_whole_lines(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with progress_bar(4, "frames", done=1) as bar:
        bar.update(3)
    lines = log.getvalue().splitlines()
    assert len(lines) >= 1 and all(line.startswith("frames:") for line in lines)
    assert "4/4" in lines[-1]


def test_several_bars_do_not_move_the_cursor_of_a_log_file(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    bars = [progress_bar(2, name, position=at) for at, name in enumerate(("a", "b", "c"))]
    for bar in bars:
        bar.update(2)
    for bar in reversed(bars):
        bar.close()
    assert not set(log.getvalue()) & {"\r", "\x1b"}
    assert "\n\n" not in log.getvalue()
    assert sum("2/2" in line for line in log.getvalue().splitlines()) == 3


def test_lines_come_once_a_minute(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with progress_bar(1000, "frames") as bar:
        for _ in range(1000):
            bar.update()
    assert log.getvalue().count("frames:") <= 2


def test_without_a_total_it_counts(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with progress_bar(None, "camera") as bar:
        bar.update(7)
    last = log.getvalue().splitlines()[-1]
    assert last.startswith("camera: 7it") and "/0" not in last
