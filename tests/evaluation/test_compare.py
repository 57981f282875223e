import json

import pytest

from evaluation import compare
from evaluation.page import Page
from evaluation.protocols import Protocol
from evaluation.run import open_run
from pipeline.errors import ConfigurationError


def test_compare_shows_runs_over_each_other(scored_run, tmp_path):
    import shutil

    other = scored_run.folder.parent / "baseline-seed1"
    shutil.copytree(scored_run.folder, other)
    try:
        metrics = json.loads((other / "metrics.json").read_text())
        metrics["seed"] = 1
        (other / "metrics.json").write_text(json.dumps(metrics))
        runs = [scored_run, open_run(other)]
        page = Page(thumbnails=4)
        path = compare.compare_runs(runs, tmp_path, page, Protocol(name="dense"))
        html = path.read_text()
        assert "unified-seed0" in html and "baseline-seed1" in html
        assert "0 | 1" in html  # the seeds, among what differs
        assert (tmp_path / "figures" / "timelines-1.pdf").exists()
        assert (tmp_path / "figures" / "heat_maps.png").exists()
        with pytest.raises(ConfigurationError, match="no results under dense/none"):
            compare.compare_runs(runs, tmp_path, page, Protocol(name="dense", normalise="none"))
        with pytest.raises(ConfigurationError, match="at least two"):
            compare.compare_runs([scored_run, scored_run], tmp_path, page, Protocol())
    finally:
        shutil.rmtree(other)
