import json
import shutil

import cv2
import numpy as np
import pytest

from evaluation.measures.results import apply
from evaluation.protocols.base import Protocol
from evaluation.record.run import open_run, read_metrics
from evaluation.record.scores import open_scores
from evaluation.report import compare
from evaluation.report.page import Page
from evaluation.report.side_by_side import (
    Chosen,
    chosen_frames,
    chosen_videos,
    entry_of,
    heat_rows,
    pseudo_rows,
)
from pipeline.base.errors import ConfigurationError


@pytest.fixture
def peer(scored_run):
    """The same run once more, as a baseline."""
    other = scored_run.folder.parent / "baseline-seed1"
    shutil.copytree(scored_run.folder, other)
    metrics = json.loads((other / "metrics.json").read_text())
    metrics |= {"seed": 1, "method": "baseline"}
    (other / "metrics.json").write_text(json.dumps(metrics))
    yield open_run(other)
    shutil.rmtree(other)


@pytest.fixture
def scored(scored_run):
    scores = open_scores(scored_run.out / "scores")
    return apply(scores, scored_run.dataset, Protocol(name="dense"))


def test_runs_stand_over_each_other(scored_run, peer, tmp_path):
    runs, page = [scored_run, peer], Page(thumbnails=4)
    chosen = Chosen(videos=["test/02"], count=2)
    path = compare.compare_runs(runs, tmp_path, page, Protocol(name="dense"), chosen)
    html = path.read_text()
    assert "unified-seed0" in html and "baseline-seed1" in html
    assert "0 | 1" in html  # the seeds, among what differs
    assert "Error heat maps" in html and "the paper, A^t" in html and "mixed flow" in html
    for name in ("timelines-1", "heat_maps", "pseudo_anomalies"):
        assert (tmp_path / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
        assert cv2.imread(str(tmp_path / f"figures/{name}.png")) is not None
    assert not (tmp_path / "figures/timelines-2.png").exists()


def test_what_cannot_be_compared_is_refused(scored_run, peer, tmp_path):
    runs, page = [scored_run, peer], Page()
    with pytest.raises(ConfigurationError, match="no results under dense/none"):
        compare.compare_runs(runs, tmp_path, page, Protocol(name="dense", normalise="none"))
    with pytest.raises(ConfigurationError, match="at least two"):
        compare.compare_runs([scored_run, scored_run], tmp_path, page, Protocol())


def test_a_method_is_shown_by_the_row_of_table_1(scored_run):
    results = read_metrics(scored_run.out)["results"]
    found = [e for e in results if (e["protocol"], e["normalise"]) == ("dense", "video")]
    assert entry_of("baseline", found)["row"] == "A^s alone"
    assert entry_of("unified", found)["row"] == "w/ D (ours)"
    assert entry_of("unified", found[:4])["row"] == "w/o D"
    assert entry_of("unknown", found[:2])["row"] == found[1]["row"]


def test_frames_are_the_middles_of_anomalies_unless_named(scored):
    # The anomalies are frames 12 ... 20 of both videos.
    assert chosen_frames(scored, Chosen()) == [("test/01", 16), ("test/02", 16)]
    assert chosen_frames(scored, Chosen(count=1)) == [("test/01", 16)]
    assert chosen_frames(scored, Chosen(frames=["test/02:3"])) == [("test/02", 3)]
    for bad in ("test/02:30", "test/09:1", "test/02", "test/02:-1"):
        with pytest.raises(ConfigurationError, match="is no frame of a scored video"):
            chosen_frames(scored, Chosen(frames=[bad]))
    assert chosen_videos(scored, Chosen()) == ["test/01", "test/02"]
    with pytest.raises(ConfigurationError, match="test/09 was not scored"):
        chosen_videos(scored, Chosen(videos=["test/09"]))


def test_heat_maps_of_each_method_stand_beside_the_outlined_frame(scored_run, peer):
    runs = {"a": peer, "b": scored_run}
    ((title, row),) = heat_rows(runs, {"a": "baseline", "b": "unified"}, [("test/01", 16)])
    assert title == "test/01, frame 16"
    assert [c for c, _ in row] == ["frame", "Baseline", "the paper, A^s", "the paper, A^t"]
    image = scored_run.dataset.arrays("frames", "test/01")["image"][16]
    changed = np.argwhere((row[0][1] != image).any(-1))
    assert changed.min(0).tolist() == [8, 16] and changed.max(0).tolist() == [15, 23]
    assert np.array_equal(row[1][1], row[2][1])  # the same networks
    assert not np.array_equal(row[2][1], row[3][1])


def test_pseudo_anomalies_are_frame_mask_inpainted_flow_and_mixed_flow(scored_run):
    ((_, row),) = pseudo_rows([scored_run], 1)
    assert [caption for caption, _ in row] == ["frame", "mask", "inpainted", "flow", "mixed flow"]
    mask = dict(row)["mask"]
    assert set(np.unique(mask)) == {0, 255}
    assert (mask > 0).all(-1).sum() == 64


def test_runs_of_one_name_are_told_apart(scored_run, tmp_path):
    folders = [tmp_path / side / "ped2/quick/unified-seed0" for side in "xy"]
    for folder in folders:
        shutil.copytree(scored_run.folder.parent, folder.parent)
    runs = [open_run(folder) for folder in folders]
    assert runs[0].name == runs[1].name
    page = Page(thumbnails=0, figures=False)
    html = compare.compare_runs(runs, tmp_path, page, Protocol(name="dense")).read_text()
    assert all(f"{side}/ped2/quick/unified-seed0" in html for side in "xy")
    with pytest.raises(ConfigurationError, match="named twice"):
        compare.compare_runs([*runs, runs[0]], tmp_path, page, Protocol(name="dense"))
