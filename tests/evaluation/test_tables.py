import csv
import json
import statistics

import pytest

from evaluation import compare, tables
from evaluation.page import Page
from evaluation.protocols import Protocol
from evaluation.run import open_run
from evaluation.tables import cell, collect, make_table, markdown, shown, write_table
from pipeline.errors import ConfigurationError


def write_run(runs, dataset, method, seed, aucs, preset="quick", transfer=None, masks="instance"):
    """Write a metrics.json with some rows under lntra/video."""
    home = runs / dataset / preset / f"{method}-seed{seed}"
    folder = home / "transfer" / transfer if transfer else home
    folder.mkdir(parents=True)
    (home.parent / "shards.json").write_text(
        json.dumps(
            {
                "stages": {
                    "masks": {"recipe": {"settings": {"kind": masks}}},
                    "frames": {"recipe": {"settings": {"size": 256}}},
                }
            }
        )
    )
    results = [
        {"row": row, "protocol": "lntra", "normalise": "video", "micro_auc": auc,
         "eta": {}, "eta_chosen": "label-free", "undefined": "no labels"}
        for row, auc in aucs.items()
    ]  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps({
        "format": 1, "results": results, "dataset": transfer or dataset, "method": method,
        "seed": seed, "keys": {"frames": "k"}, "fingerprints": {}, "scoring": {},
        "networks": {"spatial": {"settings": {"p": 0.4, "size": None}}},
    }))  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    for seed, auc in enumerate((0.90, 0.93, 0.96)):
        write_run(tmp_path, "ped2", "baseline", seed, {"A^s alone": auc})
    write_run(
        tmp_path, "ped2", "unified", 0, {"A^s alone": 0.9, "w/o D": 0.94, "w/ D (ours)": 0.95}
    )
    write_run(tmp_path, "ubnormal", "patch", 0, {"A^s alone": 0.77}, transfer="ped2")
    write_run(tmp_path, "ped2", "unified", 0, {"A^s alone": 0.8}, preset="random", masks="random")
    return tmp_path


def by_label(table):
    return {label: dict(zip(table.columns, cells, strict=True)) for label, cells in table.rows}


def test_table1_has_mean_spread_and_what_is_published(runs):
    table = by_label(make_table("table1", runs, ["ped2", "avenue"], "lntra/video", "quick"))
    found = table["Baseline"]["ped2"]
    assert found.mean == pytest.approx(93)
    assert found.spread == pytest.approx(statistics.stdev([90, 93, 96]))
    assert shown(found) == "93.00 ± 3.00 (3 seeds); published 92.49, difference +0.51"
    assert [run["seed"] for run in found.runs] == [0, 1, 2]
    assert found.runs[0]["keys"] == {"frames": "k"}
    assert table["the paper w/o D"]["ped2"].mean == pytest.approx(94)
    assert table["the paper w/ D"]["ped2"].mean == pytest.approx(95)


def test_what_was_not_run_is_said_and_never_filled_in(runs):
    table = by_label(make_table("table1", runs, ["ped2", "avenue"], "lntra/video", "quick"))
    assert table["MemAE"]["ped2"].mean is None
    assert shown(table["MemAE"]["ped2"]) == "not run; published 94.10"
    assert shown(table["Baseline"]["avenue"]) == "not run; published 81.47"
    other = by_label(make_table("table1", runs, ["ped2"], "dense/video", "quick"))
    assert other["Baseline"]["ped2"].text == "not run"


def test_table3_is_transfer_alone(runs):
    table = by_label(make_table("table3", runs, ["ped2"], "lntra/video", None))
    assert table["Patch, trained on ubnormal"]["ped2"].mean == pytest.approx(77)
    assert table["Patch, trained on ubnormal"]["ped2"].published == 78.80
    assert table["Baseline, trained on ubnormal"]["ped2"].mean is None


def test_table4_tells_masks_apart(runs):
    table = by_label(make_table("table4", runs, ["ped2"], "lntra/video", None))
    assert table["random masks"]["ped2"].mean == pytest.approx(80)
    assert table["segmentation masks"]["ped2"].mean == pytest.approx(90)


def test_the_ablation_keeps_settings_apart(runs):
    table = make_table("ablation", runs, ["ped2"], "", None)
    labels = [label for label, _ in table.rows]
    assert len(labels) == 4
    assert "A^s alone, lntra/video, random, p_s 0.4, size 256, masks random" in labels


def test_an_undefined_auc_is_said(tmp_path):
    write_run(tmp_path, "gate", "baseline", 0, {"A^s alone": None})
    assert cell(collect(tmp_path), "A^s alone", "lntra/video").text == "no labels"


def test_a_table_is_written_three_times(runs, tmp_path):
    table = make_table("table1", runs, ["ped2"], "lntra/video", "quick")
    paths = write_table(table, tmp_path / "out", "table1")
    assert [path.suffix for path in paths] == [".md", ".csv", ".json"]
    assert paths[0].read_text() == markdown(table)
    with paths[1].open() as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert float(rows["Baseline"]["difference"]) == pytest.approx(0.51)
    assert rows["MemAE"]["mean"] == ""
    assert json.loads(paths[2].read_text())["rows"][0][0] == "Baseline"


def test_wrong_requests_are_said(runs):
    with pytest.raises(ConfigurationError, match="is no folder"):
        make_table("table1", runs / "nowhere", ["ped2"], "lntra/video", None)
    with pytest.raises(ConfigurationError, match="none is named"):
        make_table("table1", runs, [], "lntra/video", None)


def test_published_numbers_are_those_of_the_method():
    assert tables.PUBLISHED["STEAL"] == {"ped2": 98.40, "avenue": 87.10, "shanghaitech": 73.70}
    assert len(tables.METHODS) == 7


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
