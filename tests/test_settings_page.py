"""The page of settings is written from the parsers, so it holds what the commands take."""

import importlib
import sys

import pytest

from pipeline.execution.planning import Source
from tests.documents import ROOT
from training.settings.base import RunSettings


@pytest.fixture(scope="module")
def page():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        module = importlib.import_module("settings_tables")
    finally:
        sys.path.remove(str(ROOT / "docs"))
    assert module.MARK in (ROOT / "docs/settings.md").read_text()
    return module.markdown()


def test_every_field_stands_there_with_its_default(page):
    for field, default in (("holdout", "0.125"), ("shard_frames", "512"), ("cache", "cache")):
        assert field in Source.__dataclass_fields__
        assert f"| `--source.{field}` | `{default}` |" in page
    for field in RunSettings.__dataclass_fields__:
        assert page.count(f"| `--{field}` |") == 1


def test_what_must_be_given_is_said(page):
    assert "| `--source.manifest` | *must be given* |" in page
    assert "| `name` | *must be given* |" in page


@pytest.mark.parametrize("command", ["pipeline run", "training inpainter", "evaluation detect"])
def test_every_command_has_a_section(page, command):
    assert f"\n### {command}\n" in page


def test_no_column_breaks_a_row(page):
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 4 for line in rows)
