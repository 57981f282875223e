"""The tutorial runs as it stands, and what it says of the results is so."""

import json

import cv2

from tests.documents import blocks, shell


def test_the_tutorial_finds_the_anomalies(tutorial):
    for path in ("metrics.json", "report.html"):
        assert (tutorial.run / path).stat().st_size > 0
    row = next(line for line in tutorial.printed[4].splitlines() if "A^t alone" in line)
    assert float(row.split("alone")[1].split()[0]) > 90


def test_the_same_command_again_does_nothing(tutorial):
    assert "nothing to do" in tutorial.printed[2]


def test_detection_writes_what_the_tutorial_names(tutorial):
    folder = tutorial.folder / "detected/01"
    names = {path.name for path in folder.iterdir()}
    assert {"scores.csv", "scores.json", "events.csv", "events.json"} <= names
    assert len(json.loads((folder / "events.json").read_text())) > 0
    assert "too short" in tutorial.printed[5]


def test_its_python_blocks_run_one_after_the_other(tutorial):
    code = "\n".join(code for _, code in blocks("tutorial.md", "python"))
    (tutorial.folder / "blocks.py").write_text(code)
    printed = shell("PYTHONPATH=. python blocks.py", tutorial.folder)
    mean = dict(line.split() for line in printed.splitlines())
    assert float(mean["anomalous"]) > float(mean["normal"])
    assert cv2.imread(str(tutorial.folder / "pseudo-anomaly.png")).shape == (64, 128, 3)
