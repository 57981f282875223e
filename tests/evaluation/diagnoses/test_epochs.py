import json

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.diagnoses.epochs import epoch_curve
from evaluation.indicators.base import run_through
from evaluation.indicators.registry import by_name
from evaluation.indicators.settings import Scoring
from evaluation.record.material import Stored
from evaluation.record.run import open_run
from evaluation.record.stretches import whole
from pipeline.base.errors import ConfigurationError
from tests.evaluation.conftest import make_network, make_run
from training.record.folder import save_weights

FAST = Scoring(stride=8, batch=2)


@pytest.fixture
def run(tmp_path):
    folder = make_run(tmp_path, kinds=("spatial",))
    for epoch, seed in ((1, 3), (2, 0)):
        network = make_network(tmp_path / f"seed{seed}", "spatial", seed=seed)
        save_weights(folder / f"spatial/epochs/{epoch:05d}.safetensors", network)
    return open_run(folder)


def test_each_epoch_is_scored_as_the_finished_network_is(run):
    from evaluation.measures.results import read_labels

    said = []
    first, last = epoch_curve(run, "spatial", FAST, said.append)
    assert (first["epoch"], last["epoch"]) == (1, 2)
    assert first["weights"] != last["weights"]
    # The last snapshot is the finished network: by hand, per video from 0 to 1, frames 8 to -8.
    begin = by_name("spatial").load(run, FAST)
    values, labels = [], []
    for video in run.test_videos:
        (part,) = run_through([begin()], Stored(run.dataset, whole(video)), ("frames",))
        error = np.log(part.values[8:23])
        values.append((error - error.min()) / (error.max() - error.min()))
        labels.append(read_labels(run.dataset, video)[8:23])
    wanted = roc_auc_score(np.concatenate(labels), np.concatenate(values))
    assert last["micro_auc_on_test"] == pytest.approx(wanted)
    assert said == [f"epochs: spatial after epoch {n}" for n in (1, 2)]


def test_what_was_scored_is_not_scored_again_and_the_file_says_what_it_looks_at(run):
    found = epoch_curve(run, "spatial", FAST, str)
    said = []
    assert epoch_curve(run, "spatial", FAST, said.append) == found
    assert said == []
    assert json.loads((run.out / "epochs-spatial.json").read_text())["looks_at"] == "test labels"
    assert cv2.imread(str(run.out / "figures/epochs-spatial.png")) is not None


def test_without_snapshots_it_says_how_to_keep_them(scored_run):
    with pytest.raises(ConfigurationError, match="train with --snapshots 1"):
        epoch_curve(scored_run, "temporal", FAST, str)
