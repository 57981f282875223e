import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import open_dataset
from tests.training.toys import write_dataset
from training.loops.bank import read_recipe, train_bank
from training.networks.exemplars import load_exemplars
from training.settings.bank import BankTraining

VIDEOS = {"train/01": 20, "train/02": 12, "train/03": 9, "test/01": 10}
FEW = BankTraining(exemplars=40, candidates=300, dimensions=5)


@pytest.fixture
def shards(tmp_path):
    return write_dataset(tmp_path, VIDEOS, holdout=("train/03",), stages=("frames", "patches"))


def test_exemplars_are_of_all_normal_videos_and_of_no_other(shards, tmp_path):
    exemplars = load_exemplars(train_bank(shards, tmp_path / "out", FEW) / "exemplars.npz")
    assert exemplars.videos == ("train/01", "train/02", "train/03")
    assert exemplars.points.shape == (40, 5)
    assert set(exemplars.origin) == {0, 1, 2}
    dataset = open_dataset(shards)
    for at, video in enumerate(exemplars.videos):
        array = dataset.arrays("patches", video)["patch"]
        seen = exemplars.project(array[0 : len(array)])
        own = exemplars.points[exemplars.origin == at]
        assert cdist(own, seen).min(1).max() < 1e-3


def test_the_same_again_is_left_alone_and_another_is_refused(shards, tmp_path, capsys):
    out = train_bank(shards, tmp_path / "out", FEW)
    first = (out / "exemplars.npz").read_bytes()
    time = (out / "exemplars.npz").stat().st_mtime_ns
    train_bank(shards, out, FEW)
    assert "nothing to do" in capsys.readouterr().out
    assert (out / "exemplars.npz").stat().st_mtime_ns == time
    other = BankTraining(exemplars=10, candidates=300, dimensions=5)
    with pytest.raises(ConfigurationError, match="another recipe"):
        train_bank(shards, out, other)
    (out / "recipe.json").unlink()  # as after a kill: the recipe comes last
    train_bank(shards, out, FEW)
    arrays = np.load(out / "exemplars.npz")
    assert np.array_equal(arrays["points"], load_exemplars(out / "exemplars.npz").points)
    assert (out / "exemplars.npz").read_bytes()[:4] == first[:4]
    assert read_recipe(train_bank(shards, out, other, overwrite=True))["count"] == 10


def test_what_it_cannot_be_made_of(shards, tmp_path):
    content = json.loads(shards.read_text())
    alone = {**content, "videos": content["videos"][:1] + content["videos"][3:]}
    shards.write_text(json.dumps(alone))
    with pytest.raises(ConfigurationError, match="2 are needed"):
        train_bank(shards, tmp_path / "out", FEW)
    del content["stages"]["patches"]
    shards.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=r"make toy\.patches"):
        train_bank(shards, tmp_path / "out", FEW)
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(DataError, match="no recipe of exemplars"):
        read_recipe(tmp_path)


@pytest.mark.parametrize("field", ["exemplars", "candidates", "dimensions"])
def test_wrong_settings_name_themselves(field):
    with pytest.raises(ConfigurationError, match=field):
        BankTraining(**{field: 0})


def test_the_command_takes_its_own_settings_alone(shards, tmp_path):
    command = [sys.executable, "-m", "training", "bank", "--shards", str(shards)]
    command += ["--out", str(tmp_path / "out"), "--exemplars", "20", "--candidates", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "20 of 3 videos" in done.stdout
    refused = subprocess.run([*command, "--batch", "8"], capture_output=True, check=False)
    assert refused.returncode == 2
