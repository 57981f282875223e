import csv
import json
import statistics

import pytest

from evaluation.tables import tables
from evaluation.tables.collect import collect
from evaluation.tables.published import PUBLISHED
from evaluation.tables.table_cells import Table, cell, markdown, shown, write_tables
from evaluation.tables.tables import make_tables
from pipeline.base.errors import ConfigurationError

KEYS = {"frames": "frames-key", "flow": "flow-key", "masks": "masks-key"}


def write_run(runs, dataset, method, seed, aucs, preset="quick", transfer=None, masks="instance",
              keys=KEYS, weights="w", protocols=("lntra/video",)):  # fmt: skip
    """Write a metrics.json with some rows under some protocols."""
    home = runs / dataset / preset / f"{method}-seed{seed}"
    folder = home / "transfer" / transfer if transfer else home
    folder.mkdir(parents=True)
    stages = {
        "masks": {"recipe": {"settings": {"kind": masks}}},
        "frames": {"recipe": {"settings": {"size": 256}}},
    }
    (home.parent / "shards.json").write_text(json.dumps({"stages": stages}))
    results = [
        {"row": row, "protocol": name.split("/")[0], "normalise": name.split("/")[1],
         "micro_auc": auc, "eta": {}, "eta_chosen": "label-free", "undefined": "no labels"}
        for name in protocols for row, auc in aucs.items()
    ]  # fmt: skip
    settings = {"p": 0.4, "size": None, "epochs": 3}
    (folder / "metrics.json").write_text(json.dumps({
        "format": 1, "results": results, "dataset": transfer or dataset, "method": method,
        "seed": seed, "keys": keys, "fingerprints": {"spatial": weights}, "scoring": {"batch": 8},
        "networks": {"spatial": {"settings": settings, "data": {"shards": {
            "frames": keys.get("frames")}}}},
    }))  # fmt: skip


def fail(runs, place, text):
    (runs / place).mkdir(parents=True, exist_ok=True)
    (runs / place / "failed.txt").write_text(f"{text}\n")


OURS = {"A^s alone": 0.9, "w/o D": 0.94, "w/ D (ours)": 0.95}


@pytest.fixture
def runs(tmp_path):
    for seed, auc in enumerate((0.90, 0.93, 0.96)):
        write_run(tmp_path, "ped2", "baseline", seed, {"A^s alone": auc})
    write_run(tmp_path, "ped2", "unified", 0, OURS)
    write_run(tmp_path, "ubnormal", "patch", 0, {"A^s alone": 0.77}, transfer="ped2")
    return tmp_path


def by_label(made):
    return {label: dict(zip(made.columns, cells, strict=True)) for label, cells in made.rows}


def one(which, runs, datasets, protocol="lntra/video", preset="quick", train=""):
    return make_tables(which, runs, datasets, [protocol], preset, train)[-1]


def test_table1_has_mean_spread_and_what_is_published(runs):
    table = by_label(one("table1", runs, ["ped2", "avenue"]))
    found = table["Baseline"]["ped2"]
    assert found.mean == pytest.approx(93)
    assert found.spread == pytest.approx(statistics.stdev([90, 93, 96]))
    assert shown(found) == "93.00 ± 3.00 (3 seeds); published 92.49, difference +0.51"
    assert [run["seed"] for run in found.runs] == [0, 1, 2]
    assert found.runs[0]["keys"] == KEYS
    assert found.runs[0]["settings"]["spatial"]["epochs"] == 3
    assert table["the paper w/o D"]["ped2"].mean == pytest.approx(94)
    assert table["the paper w/ D"]["ped2"].mean == pytest.approx(95)


def test_smoothed_scores_stand_beside_where_every_run_has_them(runs):
    assert by_label(one("table1", runs, ["ped2"]))["Baseline"]["ped2"].smoothed is None
    for path in runs.glob("ped2/quick/baseline-*/metrics.json"):
        content = json.loads(path.read_text())
        content["results"][0]["smoothed_micro_auc"] = content["results"][0]["micro_auc"] + 0.01
        path.write_text(json.dumps(content))
    found = by_label(one("table1", runs, ["ped2"]))["Baseline"]["ped2"]
    assert found.smoothed == pytest.approx(94)
    assert "93.00 ± 3.00 (3 seeds); smoothed 94.00; published 92.49" in shown(found)


def test_what_was_not_run_is_said_and_never_filled_in(runs):
    table = by_label(one("table1", runs, ["ped2", "avenue"]))
    assert table["MemAE"]["ped2"].mean is None
    assert shown(table["MemAE"]["ped2"]) == "not run; published 94.10"
    assert shown(table["Baseline"]["avenue"]) == "not run; published 81.47"


def test_published_numbers_stand_beside_their_own_protocol_alone(runs):
    write_run(runs, "avenue", "steal", 0, {"A^s alone": 0.8}, protocols=["dense/video"])
    made = one("table1", runs, ["avenue"], "dense/video")
    assert shown(by_label(made)["steal, A^s alone"]["avenue"]) == "80.00 (1 seed)"
    assert "published" not in markdown([made])


def test_other_protocols_show_every_row_that_they_have(runs):
    rows = {"A^s alone": 0.97, "flow alone": 0.98}
    for method in ("patch", "unified"):
        write_run(runs, "avenue", method, 0, rows, protocols=["local/heldout"])
    made = one("table1", runs, ["avenue"], "local/heldout")
    # The flow needs no network: it is the same for every method.
    labels = ["flow alone", "patch, A^s alone", "unified, A^s alone"]
    assert [label for label, _ in made.rows] == labels
    assert one("table1", runs, ["ped2"], "local/heldout").rows == ()
    text = markdown([one("table1", runs, ["ped2"], "local/heldout")])
    assert "Nothing was scored under it." in text
    both = make_tables("table1", runs, ["ped2"], ["lntra/video", "local/heldout"], "quick")
    assert [table.protocol for table in both] == ["lntra/video"]


def test_missing_data_and_failed_runs_are_said(runs):
    fail(runs, "avenue/quick", "data not at hand")
    fail(runs, "ped2/quick/steal-seed0", "failed")
    fail(runs, "ped2/quick/baseline-seed1", "failed")
    table = by_label(one("table1", runs, ["ped2", "avenue"]))
    assert {cells["avenue"].text for cells in table.values()} == {"data not at hand"}
    assert table["STEAL"]["ped2"].text == "seed 0 failed"
    # What a failed run left behind is of before, and does not count.
    assert table["Baseline"]["ped2"].text == "93.00 ± 4.24 (2 seeds, seed 1 failed)"
    assert table["Patch"]["ped2"].text == "not run"


def test_table1_says_how_many_sets_of_shards_it_is_made_from(runs):
    notes = one("table1", runs, ["ped2"]).notes
    assert (
        "Shards of ped2, different keys over 4 runs: frames 1 (frames-key), flow 1 (flow-key), "
        "masks 1 (masks-key)." in notes
    )
    write_run(runs, "ped2", "memae", 0, {"A^s alone": 0.9}, keys=KEYS | {"frames": "other"})
    last = one("table1", runs, ["ped2"]).notes[-1]
    assert "over 5 runs: frames 2 (frames-key other), flow 1 (flow-key)" in last
    assert "A^s: size None, epochs 3." in notes


def test_table3_is_transfer_alone(runs):
    table = by_label(one("table3", runs, ["ped2", "ubnormal"]))
    assert table["Patch, trained on ubnormal"]["ped2"].mean == pytest.approx(77)
    assert table["Patch, trained on ubnormal"]["ped2"].reference == 78.80
    assert table["Patch, trained on ubnormal"]["ubnormal"].text == "trained on it"
    assert table["Baseline, trained on ubnormal"]["ped2"].text == "not run"


def test_table3_says_whose_data_are_missing(runs):
    fail(runs, "avenue/quick", "data not at hand")
    table = by_label(one("table3", runs, ["ped2", "shanghaitech"], train="avenue"))
    assert table["Patch, trained on avenue"]["ped2"].text == "avenue: data not at hand"
    fail(runs, "ped2/quick", "shards failed")
    table = by_label(one("table3", runs, ["ped2", "avenue"], train="ubnormal"))
    assert table["STEAL, trained on ubnormal"]["ped2"].text == "ped2: shards failed"
    assert table["STEAL, trained on ubnormal"]["avenue"].text == "avenue: data not at hand"
    fail(runs, "ubnormal/quick/steal-seed0/transfer/avenue", "failed")
    table = by_label(one("table3", runs, ["ped2"], train="ubnormal"))
    assert table["Patch, trained on ubnormal"]["ped2"].mean == pytest.approx(77)


def test_table4_tells_masks_apart(runs):
    write_run(runs, "ped2", "unified", 0, {"A^s alone": 0.8}, "quick-random-masks", masks="random")
    table = by_label(one("table4", runs, ["ped2", "avenue"]))
    assert table["random masks"]["ped2"].mean == pytest.approx(80)
    assert table["segmentation masks"]["ped2"].mean == pytest.approx(90)
    assert table["random masks"]["ped2"].reference == 91.18


def test_the_ablation_shows_every_row_and_protocol(runs):
    write_run(runs, "avenue", "unified", 0, {"flow": 0.7}, protocols=["local/heldout"])
    first, *_ = make_tables("ablation", runs, ["ped2", "avenue"], ["lntra/video"], "quick")
    table = by_label(first)
    assert table["lntra/video: w/o D"]["ped2"].mean == pytest.approx(94)
    assert table["local/heldout: flow"]["avenue"].mean == pytest.approx(70)
    assert table["local/heldout: flow"]["ped2"].text == "not run"


def test_a_variant_stands_beside_the_preset_of_its_seeds(runs):
    write_run(runs, "ped2", "unified", 1, {"A^s alone": 0.5})  # a seed that no variant has
    write_run(runs, "ped2", "unified", 0, {"A^s alone": 0.88}, "quick-p_s-0.2", weights="other")
    write_run(runs, "ped2", "unified", 0, {"A^s alone": 0.9}, "quick-color")  # the same weights
    fail(runs, "ped2/quick-px-256/unified-seed0", "failed")
    rows = {"flow alone": 0.7, "flow + A^s": 0.8}
    write_run(runs, "ped2", "unified", 0, rows, "quick-px-128", weights="third")
    table = by_label(one("ablation", runs, ["ped2"]))
    found = table["p_s-0.2: A^s alone"]["ped2"]
    assert shown(found) == "88.00 (1 seed); preset 90.00, difference -2.00"
    assert "color: A^s alone" not in table
    assert "px-128: flow + A^s" in table
    assert "px-128: flow alone" not in table  # no network, so nothing that differs
    assert table["px-256"]["ped2"].text == "seed 0 failed"


def test_variants_are_no_seeds_of_their_preset(runs):
    write_run(runs, "ped2", "baseline", 3, {"A^s alone": 0.1}, "quick-color")
    assert by_label(one("table1", runs, ["ped2"]))["Baseline"]["ped2"].mean == pytest.approx(93)


def test_an_undefined_auc_is_said(tmp_path):
    write_run(tmp_path, "gate", "baseline", 0, {"A^s alone": None})
    assert cell(collect(tmp_path), "A^s alone", "lntra/video").text == "no labels"


def test_presets_are_never_mixed(runs):
    write_run(runs, "ped2", "unified", 0, OURS, "quick-color")
    assert {entry.preset for entry in collect(runs).entries} == {"quick"}
    write_run(runs, "ped2", "unified", 0, OURS, "paper")
    with pytest.raises(ConfigurationError, match="holds runs of paper, quick, which no cell may"):
        collect(runs)


def test_a_table_is_written_three_times(runs, tmp_path):
    made = make_tables("table1", runs, ["ped2"], ["lntra/video"], "quick")
    paths = write_tables(made, tmp_path / "out", "table1")
    assert [path.suffix for path in paths] == [".md", ".csv", ".json"]
    assert paths[0].read_text() == markdown(made)
    with paths[1].open() as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert float(rows["Baseline"]["difference"]) == pytest.approx(0.51)
    assert rows["Baseline"]["frames"] == "frames-key"
    assert rows["MemAE"]["mean"] == ""
    assert json.loads(paths[2].read_text())[0]["rows"][0][0] == "Baseline"


def test_wrong_requests_are_said(runs):
    with pytest.raises(ConfigurationError, match="is no folder"):
        one("table1", runs / "nowhere", ["ped2"])
    with pytest.raises(ConfigurationError, match="none is named"):
        one("table1", runs, [])


def test_every_method_has_a_published_row():
    assert set(PUBLISHED) == {label for label, *_ in tables.METHODS}


def test_a_table_without_notes_ends_in_its_rows():
    made = Table("T", "lntra/video", ("ped2",), (("a", (cell(collect_nothing(), "r", "p"),)),))
    assert markdown([made]).endswith("| a | not run |\n")


def collect_nothing():
    from evaluation.tables.collect import Collected

    return Collected()
