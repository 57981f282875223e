import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import evaluation.scoring.score as scoring
from evaluation.indicators.registry import by_name
from evaluation.indicators.settings import Scoring, choose_device
from evaluation.indicators.window import window_frames
from evaluation.measures.auc_table import check_fresh
from evaluation.record.run import open_run
from evaluation.record.scores import open_scores
from evaluation.scoring.score import score_run
from pipeline.base.errors import ConfigurationError, DataError
from tests.evaluation.conftest import make_network, make_run, make_shards


def quiet(text):
    """Say nothing."""


def by_hand(network, frames_of, t, frames):
    """The error of frame t, written out: its window, the network, the mean of squares."""
    clip = np.stack([frames_of(i) for i in window_frames(t, frames)])  # (16, H, W, 3) in [-1, 1]
    clip = torch.from_numpy(clip.astype(np.float32)).permute(3, 0, 1, 2)[None]
    with torch.no_grad():
        output = network(clip)
    return ((output[0, :, 8] - clip[0, :, 8]) ** 2).numpy()


def test_spatial_errors_are_those_written_out(scored_run):
    network = make_network_again(scored_run, "spatial")
    images = scored_run.dataset.arrays("frames", "test/01")["image"]
    scores = open_scores(scored_run.out / "scores").load("test/01", maps=True)
    for t in (0, 5, 14, 29):
        squares = by_hand(network, lambda i: images[int(i)] / 127.5 - 1, t, 30)
        assert scores.values["spatial"][t] == pytest.approx(squares.mean(), rel=1e-4)
        cells = squares.mean(0).reshape(8, 4, 8, 4).mean((1, 3))
        np.testing.assert_allclose(scores.values["spatial_map"][t], cells, rtol=2e-3)


def test_temporal_errors_repeat_the_last_flow_and_show_uvm(scored_run):
    network = make_network_again(scored_run, "temporal")
    flows = scored_run.dataset.arrays("flow", "test/02")["flow"]

    def shown(i):
        flow = flows[min(int(i), 28)].astype(np.float32) / 4
        return np.clip(np.dstack([flow, np.hypot(*flow.transpose(2, 0, 1))]), -1, 1)

    values = open_scores(scored_run.out / "scores").load("test/02").values["temporal"]
    for t in (3, 20, 29):
        expected = by_hand(network, shown, t, 30).mean()
        assert values[t] == pytest.approx(expected, rel=1e-3)


def test_probabilities_are_ds(scored_run):
    network = make_network_again(scored_run, "discriminator")
    scores = open_scores(scored_run.out / "scores").load("train/02")
    for stage, name in (("features", "discriminator"), ("pa_features", "discriminator_pa")):
        features = scored_run.dataset.arrays(stage, "train/02")["feature"][0:30]
        with torch.no_grad():
            expected = torch.sigmoid(network(torch.from_numpy(features))).numpy()
        np.testing.assert_allclose(scores.values[name], expected, rtol=1e-5)


def test_held_out_videos_carry_their_pseudo_anomalies(scored_run):
    scores = open_scores(scored_run.out / "scores")
    assert set(scores.videos) == {"test/01", "test/02", "train/02"}
    held = scores.load("train/02", maps=True)
    assert held.has("_pa")
    assert held.values["temporal_pa_map"].shape == (30, 8, 8)
    assert not scores.load("test/01").has("_pa")
    assert held.values["spatial_pa"].mean() > held.values["spatial"].mean()


def make_network_again(run, kind):
    from training.record.folder import load_trained

    return load_trained(run.folder / kind)[0]


def test_scoring_again_does_nothing_and_new_weights_do_all(tmp_path, monkeypatch):
    folder = make_run(tmp_path, tests=1)
    calls = []
    real = scoring.score_video
    monkeypatch.setattr(
        scoring, "score_video", lambda *a, **k: calls.append(a[1].name) or real(*a, **k)
    )
    score_run(open_run(folder), Scoring(maps=0, movers=False), quiet)
    assert calls == ["test/01", "train/02"]
    said = []
    score_run(open_run(folder), Scoring(maps=0, movers=False), said.append)
    assert len(calls) == 2
    assert "nothing to do" in said[0]
    make_network(folder, "spatial", seed=1)
    score_run(open_run(folder), Scoring(maps=0, movers=False), quiet)
    assert len(calls) == 4


def test_a_test_video_that_was_replaced_is_scored_anew_and_no_other(tmp_path, monkeypatch):
    """Under its own name: its shards lie in another folder, named by what is in the video."""
    folder = make_run(tmp_path)
    run, settings = open_run(folder), Scoring(maps=0, movers=False)
    score_run(run, settings, quiet)
    check_fresh(run, open_scores(run.out / "scores"))
    content = json.loads(run.dataset.path.read_text())
    for stage in content["stages"].values():
        where = stage["videos"].get("test/01")
        if where:
            old = Path(stage["folder"]) / where["folder"]
            where["folder"] = "test/01-00ff00ff"
            shutil.copytree(old, Path(stage["folder"]) / where["folder"])
    run.dataset.path.write_text(json.dumps(content))
    changed = open_run(folder)
    with pytest.raises(DataError, match="other weights or shards"):
        check_fresh(changed, open_scores(run.out / "scores"))
    calls = []
    real = scoring.score_video
    monkeypatch.setattr(
        scoring, "score_video", lambda *a, **k: calls.append(a[1].name) or real(*a, **k)
    )
    score_run(changed, settings, quiet)
    assert calls == ["test/01"]
    check_fresh(changed, open_scores(run.out / "scores"))


def test_an_interrupted_scoring_goes_on(tmp_path, monkeypatch):
    folder = make_run(tmp_path, kinds=("discriminator",))
    real, calls = scoring.score_video, []

    def dies(run, video, *rest):
        calls.append(video.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(run, video, *rest)

    monkeypatch.setattr(scoring, "score_video", dies)
    with pytest.raises(KeyboardInterrupt):
        score_run(open_run(folder), Scoring(movers=False), quiet)
    with pytest.raises(ConfigurationError, match="evaluation score"):
        open_scores(folder / "scores")
    score_run(open_run(folder), Scoring(movers=False), quiet)
    assert calls == ["test/01", "test/02", "test/02", "train/02"]


def test_provenance_names_what_made_the_scores(scored_run):
    found = open_scores(scored_run.out / "scores").provenance
    assert found["keys"]["flow"] == "key-flow"
    assert found["networks"]["temporal"]["settings"]["display"] == "uvm"
    assert found["versions"]["torch"].startswith(torch.__version__)
    assert (found["method"], found["seed"]) == ("unified", 0)


def test_bf16_is_near_fp32(tmp_path):
    folder = make_run(tmp_path, kinds=("spatial",), tests=1)
    run = open_run(folder)
    score_run(run, Scoring(movers=False), quiet)
    exact = open_scores(folder / "scores").load("test/01").values["spatial"]
    score_run(run, Scoring(precision="bf16", movers=False), quiet)
    near = open_scores(folder / "scores").load("test/01").values["spatial"]
    assert not np.array_equal(exact, near)
    np.testing.assert_allclose(near, exact, rtol=0.05)


def test_transfer_scores_another_data_set(tmp_path):
    folder = make_run(tmp_path / "one", kinds=("discriminator",))
    other = make_shards(tmp_path / "two", name="other", tests=1)
    run = open_run(folder, other)
    assert run.name.endswith("unified-seed0 on other")
    score_run(run, Scoring(movers=False), quiet)
    assert (folder / "transfer" / "other" / "scores" / "scores.json").exists()
    assert not (folder / "scores").exists()


def test_a_network_with_memory_is_judged_by_its_clip():
    assert by_name("spatial").measure({"memory": {"slots": 2000}}) == "clip"
    assert by_name("spatial").measure({"memory": {"slots": 0}}) == "frame"


def test_bad_input_is_said(tmp_path):
    for wrong, said in (
        ({"precision": "fp16"}, "precision"),
        ({"batch": 0}, "batch"),
        ({"maps": -1}, "maps"),
        ({"stride": 17}, "stride"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            Scoring(**wrong)
    with pytest.raises(ConfigurationError, match="device"):
        choose_device("tpu9000")
    with pytest.raises(ConfigurationError, match="is no folder"):
        open_run(tmp_path / "nowhere")
    folder = make_run(tmp_path, kinds=())
    folder.mkdir()
    make_network(folder, "spatial")
    (folder / "spatial").rename(folder / "temporal")
    with pytest.raises(DataError, match="of kind spatial, not temporal"):
        score_run(open_run(folder), Scoring(movers=False), quiet)
    recipe = json.loads((folder / "temporal" / "recipe.json").read_text())
    recipe["architecture"]["channels"] = [3, 3, 3, 3]
    (folder / "temporal" / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(DataError, match="another architecture"):
        score_run(open_run(folder), Scoring(movers=False), quiet)


def test_a_missing_stage_is_named(tmp_path):
    folder = make_run(tmp_path, kinds=("spatial",))
    path = folder.parent / "shards.json"
    content = json.loads(path.read_text())
    del content["stages"]["inpaint"]
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="stage inpaint is not in it"):
        score_run(open_run(folder), Scoring(movers=False), quiet)
