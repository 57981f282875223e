import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.indicators.settings import Scoring
from evaluation.measures import auc_table
from evaluation.measures.auc_table import evaluate, table
from evaluation.measures.results import Fusing, apply, read_labels
from evaluation.protocols.base import Protocol
from evaluation.record.run import open_run, read_metrics
from evaluation.record.scores import open_scores
from evaluation.scoring.score import score_run
from pipeline.base.errors import ConfigurationError, DataError
from tests.evaluation.conftest import make_network, make_run


def quiet(text):
    """Say nothing."""


def entry(content, row, protocol="lntra", normalise="video"):
    return next(
        e
        for e in content["results"]
        if (e["row"], e["protocol"], e["normalise"]) == (row, protocol, normalise)
    )


def test_every_row_under_every_protocol(scored_run):
    content = read_metrics(scored_run.out)
    assert [e["row"] for e in content["results"]] == [
        label for label, _ in Protocol().kind.rows()
    ] * 3
    assert content["scored_frames"] == {"lntra/video": 30, "dense/video": 60, "dense/heldout": 60}
    assert content["anomalous_frames"]["dense/video"] == 18


def test_a_row_is_its_definition(scored_run):
    scores = open_scores(scored_run.out / "scores")
    labels, values = [], []
    for name in ("test/01", "test/02"):
        error = scores.load(name).values["temporal"][8:-7]
        values.append((error - error.min()) / (error.max() - error.min()))
        labels.append(scored_run.dataset.arrays("labels", name)["label"][8:23])
    found = entry(read_metrics(scored_run.out), "A^t alone")
    assert found["micro_auc"] == pytest.approx(
        roc_auc_score(np.concatenate(labels), np.concatenate(values))
    )
    assert found["eta"] == {"temporal": 1.0}
    assert "tuned_on_test" not in found


def test_label_free_never_beats_tuned_on_test_and_does_not_read_labels(scored_run, monkeypatch):
    content = read_metrics(scored_run.out)
    for e in content["results"]:
        if "tuned_on_test" in e:
            assert e["eta_chosen"] == "label-free"
            assert e["micro_auc"] <= e["tuned_on_test"]["micro_auc"] + 1e-12
    turned = Fusing(pseudo="own", samples=0, steps=4, protocols=(Protocol(),))
    before = [e["eta"] for e in content["results"]][:5]
    monkeypatch.setattr(auc_table, "write_json", lambda *a: None)
    real = read_labels
    monkeypatch.setattr("evaluation.measures.results.read_labels", lambda d, v: 1 - real(d, v))
    after = evaluate(scored_run, turned)["results"]
    assert [e["eta"] for e in after] == before
    assert after[1]["micro_auc"] != pytest.approx(content["results"][1]["micro_auc"])


def test_every_result_carries_what_it_was_made_from(scored_run):
    content = read_metrics(scored_run.out)
    assert content["keys"] == scored_run.dataset.keys
    assert content["seed"] == 0
    assert content["fusing"]["steps"] == 4
    assert content["scoring"]["maps"] == 8
    assert set(content["networks"]) == {"spatial", "temporal", "discriminator"}
    assert "torch" in content["versions"]
    assert content["heldout_videos"] == ["train/02"]
    assert content["regions"]["temporal"]["regions"] == 18
    assert 0 <= content["regions"]["temporal"]["rbdc"] <= 1
    json.dumps(content, allow_nan=False)


def test_the_printed_table(scored_run):
    text = table(read_metrics(scored_run.out))
    for label, _ in Protocol().kind.rows():
        assert text.count(label) == 3
    assert "tuned-on-test" in text


def test_without_labels_everything_but_the_aucs(tmp_path):
    folder = make_run(tmp_path, labelled=False)
    run = open_run(folder)
    score_run(run, Scoring(maps=0, movers=False), quiet)
    content = evaluate(run, Fusing(pseudo="own", samples=10, steps=2))
    assert {e["micro_auc"] for e in content["results"]} == {None}
    assert "no test video has labels" in table(content)
    assert content["detector"]["eta"]
    json.dumps(content, allow_nan=False)


def test_labels_of_one_class_are_said(tmp_path):
    folder = make_run(tmp_path, kinds=("discriminator",), tests=1)
    run = open_run(folder)
    score_run(run, Scoring(movers=False), quiet)
    path = folder.parent.parent / "cache/labels/test/01/00000.h5"
    rewrite(path, np.ones(30, np.uint8))
    content = evaluate(run, Fusing(pseudo="own", samples=10))
    assert "all 15 labelled frames are anomalous" in content["results"][0]["undefined"]
    assert "NaN" not in json.dumps(content)


def rewrite(path, labels):
    from pipeline.shards.shard import write_shard

    path.unlink()
    path.with_suffix(".json").unlink()
    write_shard(path, {"label": labels}, {})


def test_labels_of_another_length_are_an_error(tmp_path):
    folder = make_run(tmp_path, kinds=("discriminator",), tests=1)
    shards = folder.parent / "shards.json"
    content = json.loads(shards.read_text())
    content["stages"]["labels"]["videos"]["test/01"]["frames"] = 29
    shards.write_text(json.dumps(content))
    rewrite(folder.parent.parent / "cache/labels/test/01/00000.h5", np.ones(29, np.uint8))
    run = open_run(folder)
    score_run(run, Scoring(movers=False), quiet)
    with pytest.raises(DataError, match=r"test/01: 29 labels for 30 frames"):
        evaluate(run, Fusing(pseudo="own"))


def test_without_held_out_videos(tmp_path):
    folder = make_run(tmp_path, heldout=False)
    run = open_run(folder)
    score_run(run, Scoring(maps=0, movers=False), quiet)
    only = (Protocol(name="dense"),)
    with pytest.raises(ConfigurationError, match="label-free: needs held-out"):
        evaluate(run, Fusing(pseudo="own", protocols=only))
    content = evaluate(run, Fusing(pseudo="own", protocols=only, eta="equal", samples=0))
    assert content["results"][-1]["eta"] == pytest.approx(
        dict.fromkeys(("spatial", "temporal", "discriminator"), 1 / 3)
    )
    assert content["detector"] is None


def test_a_method_without_all_networks_has_fewer_rows(tmp_path):
    folder = make_run(tmp_path, kinds=("spatial",))
    run = open_run(folder)
    score_run(run, Scoring(maps=0, movers=False), quiet)
    content = evaluate(run, Fusing(pseudo="own", samples=10, protocols=(Protocol(),)))
    assert [e["row"] for e in content["results"]] == ["A^s alone"]
    assert content["not_trained"] == ["temporal", "discriminator"]


def test_stale_scores_are_refused(tmp_path):
    folder = make_run(tmp_path, kinds=("discriminator",))
    run = open_run(folder)
    score_run(run, Scoring(movers=False), quiet)
    make_network(folder, "discriminator", seed=3)
    with pytest.raises(DataError, match="scored with other weights"):
        evaluate(open_run(folder), Fusing(pseudo="own"))


def test_the_scored_frames_of_labels_follow_the_protocol(scored_run):
    scores = open_scores(scored_run.out / "scores")
    scored = apply(scores, scored_run.dataset, Protocol())
    assert [len(part) for part in scored.truth] == [15, 15]
    assert [len(part["spatial"]) for part in scored.omegas] == [15, 15]
    assert list(scored.truth[0]) == [0] * 4 + [1] * 9 + [0] * 2


def test_bad_settings_are_said():
    for wrong, said in (
        ({"eta": "best"}, "eta"),
        ({"steps": 0}, "steps"),
        ({"level": 1.0}, "level"),
        ({"samples": -1}, "samples"),
        ({"protocols": ()}, "protocols"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            Fusing(**wrong)
