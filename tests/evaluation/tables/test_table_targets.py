"""``make table1`` and so on: what is missing is computed, failures are said, once more prints."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
]

TRAINING = """
run: {workers: 0}
autoencoder:
  stride: 16
  batch: 2
  epochs: 1
  architecture: {channels: [4, 4, 4, 4]}
spatial: {p: 1}
discriminator: {epochs: 1}
"""
EVALUATION = """
scoring: {batch: 8, stride: 16, maps: 16, movers: false}
fusing:
  protocols: [{name: lntra, normalise: video}]
  pseudo: own
  samples: 0
  steps: 2
page: {thumbnails: 4}
"""
PIPELINE = """
stages:
  frames: {size: 32}
  inpaint: {engine: telea}
  flow: {engine: opencv}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a tiny demo data set, settings to match, and a VENV for make."""
    root = tmp_path_factory.mktemp("tables")
    from pipeline.data.plaza.demo import DemoSettings, write_demo

    write_demo(
        root / "data/demo",
        DemoSettings(train_videos=2, test_videos=1, frames=24, height=64, width=64),
    )
    for name, text in {
        "pipeline": PIPELINE,
        "training": TRAINING,
        "evaluation": EVALUATION,
    }.items():
        (root / f"{name}.yaml").write_text(text)
    python = root / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (root / "venv/.installed").touch()
    return root


def make(place, *words, status=0, **variables):
    given = {
        "VENV": place / "venv",
        "DATA": place / "data",
        "CACHE": place / "cache",
        "RUNS": place / "runs",
        "PRESET": "demo",
        "CLUSTER": "threads",
        "DATASETS": "demo",
        "SEEDS": "0",
        **{f"{n.upper()}_OPTIONS": f"--config {place / n}.yaml"
           for n in ("pipeline", "training", "evaluation")},
        **variables,
    }  # fmt: skip
    done = subprocess.run(
        ["make", *words, *(f"{name}={value}" for name, value in given.items())],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == status, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def table(place, name):
    with (place / f"runs/tables/{name}.csv").open() as file:
        return {(line["row"], line["dataset"]): line for line in csv.DictReader(file)}


def test_a_dry_run_names_every_run(place):
    said = make(place, "-n", "table1", DATASETS="demo avenue", METHODS="baseline patch unified",
                SEEDS="0 1", PRESET="two-cores")  # fmt: skip
    for name in ("baseline-seed0", "baseline-seed1", "patch-seed0", "unified-seed1"):
        folder = f"{place}/runs/avenue/two-cores/{name}/spatial"
        assert f"--seed '{name[-1]}' --out '{folder}'" in said
    assert "patch-seed1" not in said
    assert "evaluation tables demo avenue --which table1" in said
    assert not (place / "runs").exists()


def test_table1_is_run_and_printed_and_then_only_printed(place):
    words = {"METHODS": "baseline", "DATASETS": "demo avenue", "NETWORKS": "spatial"}
    make(place, "table1", **words)
    found = table(place, "table1")
    assert float(found["Baseline", "demo"]["mean"]) > 0
    assert found["Baseline", "demo"]["seeds"] == "0"
    assert found["the paper w/ D", "demo"]["text"] == "not run"
    assert found["Baseline", "avenue"]["text"] == "data not at hand"
    notes = json.loads((place / "runs/tables/table1.json").read_text())[0]["notes"]
    assert "over 1 runs" in notes[-1]
    assert " frames 1 (" in notes[-1], notes
    assert " flow 1 (" in notes[-1], notes

    before = {path: path.stat().st_mtime_ns for path in place.glob("runs/demo/demo/*/*")}
    said = make(place, "table1", **words)
    assert "trained" not in said
    assert "scores:" not in said
    assert {p: p.stat().st_mtime_ns for p in place.glob("runs/demo/demo/*/*")} == before


def test_a_dry_ablation_takes_from_the_preset_what_is_the_same(place):
    said = make(place, "-n", "ablation", VARIANTS="color", PRESET="two-cores")
    variant, preset = (f"{place}/runs/demo/two-cores{end}/unified-seed0" for end in ("-color", ""))
    assert "--config training/variants/color.yaml" in said
    words = " ".join(said.replace("\\\n", "").split())
    assert f"--out '{variant}/temporal' --reuse '{preset}/temporal'" in words


def test_the_ablation_says_what_failed_and_table4_finds_it_done(place):
    """px-256 is more than the shards' 32 px, so its training is refused."""
    make(place, "ablation", VARIANTS="px-256 random-masks", NETWORKS="spatial", status=2)
    found = table(place, "ablation")
    assert float(found["lntra/video: A^s alone", "demo"]["mean"]) > 0
    assert float(found["random-masks: A^s alone", "demo"]["reference"]) > 0
    assert found["px-256", "demo"]["text"] == "seed 0 failed"

    said = make(place, "table4")
    assert "trained" not in said
    found = table(place, "table4")
    assert float(found["random masks", "demo"]["mean"]) > 0
    assert float(found["segmentation masks", "demo"]["mean"]) > 0
    notes = json.loads((place / "runs/tables/table4.json").read_text())[0]["notes"][-1]
    assert " masks 2 (" in notes
    assert " frames 1 (" in notes


def test_table3_scores_elsewhere_without_training_there(place):
    # The demo's shards under another name: a second data set.
    shards = json.loads((place / "runs/demo/demo/shards.json").read_text())
    (place / "runs/ped2/demo").mkdir(parents=True)
    (place / "runs/ped2/demo/shards.json").write_text(json.dumps(shards | {"name": "ped2"}))
    words = {"TRAIN": "demo", "METHODS": "baseline", "NETWORKS": "spatial"}
    make(place, "demo.transfer", METHOD="baseline", ONTO="ped2", CHECKED="1", **words)
    words |= {"DATASETS": "ped2 avenue"}
    said = make(place, "-n", "table3", **words)
    assert "demo.transfer ONTO=avenue CHECKED=1 METHOD=baseline SEED=0" in said.replace("  ", " ")
    make(place, "table3", **words)
    found = table(place, "table3")
    assert float(found["Baseline, trained on demo", "ped2"]["mean"]) > 0
    assert found["Baseline, trained on demo", "avenue"]["text"] == "avenue: data not at hand"


def test_a_variant_must_be_known(place):
    done = subprocess.run(["make", "-n", "ped2", "VARIANT=pink"], cwd=ROOT, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 2
    assert "VARIANT=pink: is none of color " in done.stderr


def test_help_lists_the_tables():
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in ("table1", "table3", "table4", "ablation", "figures"):
        assert f"\n  {name} " in said.stdout
