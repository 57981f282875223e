"""The wheel holds all that the commands need, away from the checkout."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import pipeline
from tests.documents import ROOT

DATA = (".yaml", ".j2", ".json", ".safetensors", ".txt", ".typed")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Build the wheel from a copy of the tracked files, and unpack it as pip would."""
    place = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "source" / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", place, place / "source"], check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


def call(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_data_file_of_the_packages_is_in_the_wheel(installed):
    for package in ("pipeline", "training", "evaluation", "data_manifests"):
        for path in (ROOT / package).rglob("*"):
            tracked = "__pycache__" not in path.parts and path.suffix in DATA
            if tracked and not path.name.startswith("."):
                assert (installed / path.relative_to(ROOT)).is_file(), path


def test_the_demo_begins_from_the_wheel_with_presets_by_name(installed, tmp_path):
    small = ["--settings.frames", "24", "--settings.train_videos", "2", "--settings.test_videos"]
    sized = ["--settings.height", "64", "--settings.width", "64"]
    made = call(installed, tmp_path, "pipeline", "demo", "plaza", *small, "1", *sized)
    assert made.returncode == 0, made.stderr
    run = call(
        installed, tmp_path, "pipeline", "run", "--config", "demo", "--source.manifest", "demo",
        "--source.data", "plaza", "--out", "out", "--stages.frames.size", "64",
        "--source.only", "[frames]", "--cluster.kind", "threads",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out/shards-frames.json").is_file()
    models = call(installed, tmp_path, "pipeline", "models")
    assert models.returncode == 0 and "NOT THERE" not in models.stdout, models.stdout
    where = call(installed, tmp_path, "pipeline.base.presets")
    assert where.returncode == 0
    assert call(installed, tmp_path, "training", "autoencoder", "--help").returncode == 0
    assert call(installed, tmp_path, "evaluation", "score", "--help").returncode == 0


@pytest.mark.parametrize("program", ["pipeline run", "training autoencoder", "evaluation score"])
def test_an_unknown_preset_is_told_with_those_that_there_are(program, tmp_path):
    done = call(ROOT, tmp_path, *program.split(), "--config", "two-core")
    assert done.returncode == 2
    assert done.stderr.startswith("error: config: 'two-core' is no file and none of demo, ")
    assert "did you mean two-cores?" in done.stderr


def test_one_version():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert settings["metadata"]["version"] == "attr: pipeline.__version__"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == pipeline.__version__
    assert re.search(rf"^## {pipeline.__version__}\b", (ROOT / "CHANGELOG.md").read_text(), re.M)
