import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.diagnoses.by_video import MOVING, by_video, table
from evaluation.measures.results import apply, read_labels
from evaluation.protocols.base import Protocol
from evaluation.record.scores import open_scores
from pipeline.base.errors import ConfigurationError

LNTRA = Protocol()


def test_each_video_by_itself(scored_run):
    found = by_video(scored_run, "A^s alone", LNTRA)
    scores = open_scores(scored_run.out / "scores")
    scored = apply(scores, scored_run.dataset, LNTRA)
    assert [one["video"] for one in found["videos"]] == ["test/01", "test/02"]
    for one, info, omegas in zip(found["videos"], scored.videos, scored.omegas, strict=True):
        labels = read_labels(scored_run.dataset, info)[8 : info.frames - 7]
        values = omegas["spatial"]
        assert one["frames"] == len(labels) == info.frames - 15
        assert one["anomalous"] == pytest.approx(labels.mean())
        if 0 < labels.mean() < 1:
            assert one["auc"] == pytest.approx(roc_auc_score(labels, values))
            assert one["anomalous_score"] == pytest.approx(values[labels == 1].mean())
            assert one["normal_score"] == pytest.approx(values[labels == 0].mean())
    assert found["micro_auc"] == pytest.approx(
        roc_auc_score(np.concatenate(scored.truth), np.concatenate(scored.fused({"spatial": 1.0})))
    )


def test_where_the_error_lies(scored_run):
    found = by_video(scored_run, "A^t alone", LNTRA)["videos"][0]
    flow = scored_run.dataset.arrays("flow", "test/01")["flow"]
    flow = np.concatenate([flow[0 : len(flow)], flow[len(flow) - 1 :]]).astype(float)
    # Of 32 px frames each of the 64 x 64 cells is half a pixel: twice the flow, in cells.
    length = np.linalg.norm(np.kron(flow, np.ones((1, 2, 2, 1))) * 2, axis=-1)[8:-7]
    assert found["moving"] == pytest.approx((length > MOVING).mean(), abs=0.1)
    assert 0 <= found["error_moving"] <= 1
    several = by_video(scored_run, "w/o D", Protocol(normalise="video"))["videos"][0]
    assert several["error_moving"] is None


def test_rows_that_are_not_there_are_said(scored_run):
    with pytest.raises(ConfigurationError, match="it has lntra/video A\\^s alone"):
        by_video(scored_run, "A^x alone", LNTRA)
    with pytest.raises(ConfigurationError, match="dense/none"):
        by_video(scored_run, "A^s alone", Protocol(name="dense", normalise="none"))


def test_the_table_has_a_line_a_video(scored_run):
    lines = table(by_video(scored_run, "w/ D (ours)", LNTRA)).splitlines()
    assert len(lines) == 2 + 2 + 1
    assert lines[2].startswith("test/01")
    assert "both kinds" in lines[-1]
