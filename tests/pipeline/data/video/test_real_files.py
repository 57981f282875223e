"""Files that recorders write: every one decodes as another library says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.video.facts import read_facts
from pipeline.data.video.file import FileReader, NumberedFrames
from pipeline.data.video.write import write_video
from tests.pipeline.data.filmed import all_frames, moving

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


@pytest.mark.parametrize(
    "name", ["gap.mp4", "jitter.wmv", "vfr.mp4", "interlaced-as-progressive.mp4"]
)
@pytest.mark.skipif(not TRUTH, reason="the files are not at hand")
def test_frames_are_those_of_another_library(name: str) -> None:
    ours = np.stack([frame.image for frame in FileReader(CASES / name)])
    assert np.array_equal(ours, all_frames(CASES / name))


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "h264"), (".mkv", "h264"), (".avi", "mjpeg"), (".mp4", "mpeg4")]
)
def test_frames_reached_from_key_frames_are_those_read_in_order(
    tmp_path: Path, monkeypatch, suffix: str, codec
) -> None:
    path = tmp_path / f"a{suffix}"
    with write_video(path, 25.0, codec) as writer:
        for image in moving(300, 64, 96):
            writer.write(image)
    facts = read_facts(path)
    assert facts.keys
    wanted = [frame.image for frame in FileReader(path)]
    numbered = NumberedFrames(path, facts.keys)
    monkeypatch.setattr(numbered, "_restart", lambda: pytest.fail("decoded from the start"))
    for start in (280, 270, facts.keys[0][0], facts.keys[0][0] + 3, 299):
        for number, image in enumerate(numbered.frames(range(start, min(start + 4, 300)))):
            assert np.array_equal(image, wanted[start + number])


def test_times_of_a_file_with_times(tmp_path: Path) -> None:
    times = [n * 0.04 if n < 10 else n * 0.1 for n in range(30)]
    with write_video(tmp_path / "a.mp4", 25.0) as writer:
        for image, seconds in zip(moving(30, 64, 96), times, strict=True):
            writer.write(image, seconds)
    assert read_facts(tmp_path / "a.mp4").times == pytest.approx(times, abs=1e-4)
