"""Metrics: JSON lines always, trackers if installed, an error by name if not."""

import configparser
import json
import sys
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigurationError
from training.record.folder import RunFolder
from training.record.tracking import TRACKERS, Tracker

RECIPE = {"data": {"dataset": "toy"}, "settings": {"method": "m", "seed": 0}, "kind": "spatial",
          "key": "k"}  # fmt: skip


def test_lines_are_json(tmp_path):
    tracker = Tracker(RunFolder(tmp_path), RECIPE)
    tracker.write("step", 3, loss=0.5)
    tracker.write("epoch", 4, loss=None)
    tracker.close()
    lines = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [
        {"type": "step", "step": 3, "loss": 0.5}, {"type": "epoch", "step": 4, "loss": None},
    ]  # fmt: skip


def test_only_the_first_process_writes(tmp_path):
    Tracker(RunFolder(tmp_path), RECIPE, "tensorboard", active=False).write("step", 1, loss=1.0)
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_receives_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = Tracker(RunFolder(tmp_path), RECIPE, "tensorboard")
    for step in (1, 2):
        tracker.write("step", step, loss=0.5 * step, note="x", nothing=None)
    tracker.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == ["step/loss"]
    assert [(e.step, e.value) for e in events.Scalars("step/loss")] == [(1, 0.5), (2, 1.0)]


@pytest.mark.parametrize("kind, package", [
    ("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb"),
])  # fmt: skip
def test_a_tracker_that_is_not_installed_is_named(tmp_path, monkeypatch, kind, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=rf"tracker: {kind} is not .*'\.\[{kind}\]'"):
        Tracker(RunFolder(tmp_path), RECIPE, kind)


def test_every_tracker_is_an_extra():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[3] / "setup.cfg")
    assert set(TRACKERS) <= set(setup["options.extras_require"])


def test_a_local_mlflow_receives_settings_and_numbers(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    tracker = Tracker(RunFolder(tmp_path), RECIPE, "mlflow")
    tracker.write("step", 7, loss=0.5)
    tracker.close()
    (run,) = mlflow.search_runs(experiment_names=["toy"], output_format="list")
    assert run.info.run_name == "m-seed0-spatial"
    assert run.data.params == {"method": "m", "seed": "0"}
    assert run.data.metrics == {"step/loss": 0.5}


def test_wandb_works_without_an_account(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker = Tracker(RunFolder(tmp_path), RECIPE, "wandb")
    tracker.write("step", 7, loss=0.5)
    tracker.close()
    assert list(tmp_path.glob("wandb/offline-run-*-k/run-k.wandb"))


def test_mlflow_and_wandb_are_given_settings_and_numbers(tmp_path, monkeypatch):
    calls = []

    class Fake:
        def __getattr__(self, name):
            def call(*arguments, **options):
                calls.append((name, arguments, options))
                return self

            return call

    for kind in ("mlflow", "wandb"):
        monkeypatch.setitem(sys.modules, kind, Fake())
        tracker = Tracker(RunFolder(tmp_path), RECIPE, kind)
        tracker.write("step", 7, loss=0.5)
        tracker.close()
    names = [name for name, _, _ in calls]
    assert names == ["set_experiment", "start_run", "log_params", "log_metrics", "end_run",
                     "init", "log", "finish"]  # fmt: skip
    assert ("log_metrics", ({"step/loss": 0.5},), {"step": 7}) in calls
    assert ("log", ({"step/loss": 0.5},), {"step": 7}) in calls
