import json

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from evaluation.detector.detector import Detector
from evaluation.indicators.settings import Scoring
from evaluation.measures.auc_table import evaluate
from evaluation.measures.results import Fusing
from evaluation.measures.threshold import Alarm
from evaluation.protocols import base as protocols
from evaluation.protocols.base import Protocol, run_limits
from evaluation.record.run import open_run
from evaluation.record.scores import open_scores
from evaluation.scoring.score import score_run
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import open_dataset
from pipeline.shards.shard import write_shard
from pipeline.stages.live import Live
from pipeline.stages.registry import Stages
from tests.evaluation.conftest import SIZE, make_shards
from training.loops.bank import train_bank
from training.networks.exemplars import load_exemplars
from training.settings.bank import BankTraining

LOCAL = Protocol(name="local", normalise="heldout")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run without any network: the flow, and how places look."""
    folder = tmp_path_factory.mktemp("looks")
    shards = make_shards(folder, frames=24)
    content = json.loads(shards.read_text())
    recipes = {
        "frames": {"size": SIZE},
        "flow": {"engine": "tvl1"},
        "patches": {"size": SIZE, "cells": 4},
    }
    content["stages"]["patches"] = {
        "key": "key-patches",
        "folder": str(folder / "cache" / "patches"),
        "arrays": {"patch": {"dtype": "float16", "shape": [4, 4, 40]}},
        "videos": {v["name"]: {"folder": v["name"], "frames": 24} for v in content["videos"]},
    }
    for stage, settings in recipes.items():
        version = Stages().by_name()[stage].VERSION
        content["stages"][stage]["recipe"] = {"version": version, "settings": settings}
    shards.write_text(json.dumps(content))
    dataset = open_dataset(shards)
    live = Live(dataset)
    for video in dataset.videos:
        images = dataset.arrays("frames", video.name)["image"][0:24]
        again = {"flow": live.flow(images), "patches": live.patches(images, 0)}
        for stage, array in again.items():
            path = folder / "cache" / stage / video.name / "00000.h5"
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
            write_shard(path, {"patch" if stage == "patches" else stage: array}, {})
    out = shards.parent / "looks"
    train_bank(shards, out / "appearance", BankTraining(exemplars=200, candidates=900))
    opened = open_run(out)
    score_run(opened, Scoring(maps=8, movers=False), lambda text: None)
    evaluate(opened, Fusing(protocols=(LOCAL,), eta="equal", samples=0))
    return opened


def test_maps_are_distances_to_the_nearest_of_other_videos(run):
    exemplars = load_exemplars(run.folder / "appearance" / "exemplars.npz")
    scores = open_scores(run.out / "scores")
    for video in ("test/01", "train/02"):
        patches = run.dataset.arrays("patches", video)["patch"][0:24]
        others = [name != video for name in np.array(exemplars.videos)[exemplars.origin]]
        expected = cdist(exemplars.project(patches), exemplars.points[others]).min(1)
        found = scores.load(video, maps=True).values["appearance_map"]
        assert found.shape == (24, 4, 4)
        np.testing.assert_allclose(found.ravel(), expected, rtol=2e-3, atol=2e-3)


def test_what_no_normal_video_shows_is_odd(run):
    scores = open_scores(run.out / "scores")
    limits = run_limits(scores, LOCAL)
    test = [scores.load(video.name) for video in run.test_videos]
    for omegas in protocols.omegas(test, LOCAL, limits):
        odd = omegas["appearance"][12:21]  # the square is bright
        assert odd.mean() > omegas["appearance"][:8].mean() + 0.5


def test_a_stream_has_the_numbers_of_the_whole_video(run):
    images = run.dataset.arrays("frames", "test/01")["image"][0:24]
    names = ("flow", "appearance")
    detector = Detector(run, Alarm(threshold=2.0), indicators=names, batch=3)
    found = [score for image in images for score in detector.push(image)] + detector.finish()
    assert [score.frame for score in found] == list(range(24))
    scores = open_scores(run.out / "scores")
    (whole,) = protocols.omegas([scores.load("test/01")], LOCAL, run_limits(scores, LOCAL))
    for name in names:
        streamed = [score.omegas[name] for score in found]
        np.testing.assert_allclose(streamed, whole[name], rtol=0.02, atol=0.02)
    assert found[0].heat.shape == (64, 64)


def test_other_descriptors_and_damage_are_refused(run, tmp_path):
    folder = tmp_path / "looks"
    (folder / "appearance").mkdir(parents=True)
    for name in ("recipe.json", "exemplars.npz"):
        (folder / "appearance" / name).write_bytes((run.folder / "appearance" / name).read_bytes())
    shards = tmp_path / "shards.json"
    content = json.loads(run.dataset.path.read_text())
    content["stages"]["patches"]["recipe"]["settings"]["stride"] = 4
    shards.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="other descriptors"):
        score_run(open_run(folder), Scoring(), lambda text: None)
    shards.write_text(run.dataset.path.read_text())
    with (folder / "appearance" / "exemplars.npz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match=r"exemplars\.npz"):
        score_run(open_run(folder), Scoring(), lambda text: None)
