"""Files that recorders write: every one decodes as another library says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.video.facts import read_facts
from pipeline.data.video.file import FileReader

CASES = Path(__file__).parents[5] / "shared/cases/video"
TRUTH = list(csv.DictReader((CASES / "truth.csv").open())) if CASES.is_dir() else []


@pytest.mark.parametrize("row", TRUTH, ids=lambda row: row["file"])
def test_a_file_decodes_as_is_known(row: dict[str, str]) -> None:
    facts = read_facts(CASES / row["file"])
    assert facts.frames == int(row["decodable"])
    assert facts.lost == int(row["unreadable_packets"])
    assert facts.interlaced == int(row["interlaced"])
    assert (facts.declared or 0) == int(row["declared"])
    times = facts.times or tuple(np.arange(facts.frames) / (facts.rate or 1))
    first = float(row["first_s"])
    if row["frame_37_s"]:
        assert first + times[37] == pytest.approx(float(row["frame_37_s"]), abs=6e-4)
    assert first + times[-1] == pytest.approx(float(row["last_s"]), abs=6e-4)
    frames = list(FileReader(CASES / row["file"]))
    assert [frame.number for frame in frames] == list(range(facts.frames))
    assert [frame.seconds for frame in frames] == pytest.approx(times, abs=1e-6)
