"""The report as a file; what it does in a browser is in test_page.py."""

import base64
import itertools
import json
import re

import cv2
import numpy as np
import pytest

from evaluation.indicators.settings import Scoring
from evaluation.measures.auc_table import evaluate
from evaluation.measures.heat import combined, map_limits
from evaluation.measures.results import Fusing
from evaluation.measures.threshold import intervals
from evaluation.protocols.base import Protocol
from evaluation.record.run import open_run
from evaluation.record.stretches import spread
from evaluation.report import page, report
from evaluation.report.figures import write_figures
from evaluation.report.page import Page, Timeline, peaks, render
from evaluation.report.pictures import heat, jpeg
from evaluation.report.report import write_report
from evaluation.report.sheets import extremes
from evaluation.scoring.score import score_run
from pipeline.base.errors import ConfigurationError
from tests.evaluation.conftest import make_run


def quiet(text):
    """Say nothing."""


@pytest.fixture(scope="module")
def html(scored_run):
    return write_report(scored_run, Page(thumbnails=8, examples=2, events=2)).read_text()


def data_of(html):
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.S).group(1))


def test_it_holds_all_that_it_shows(html, scored_run):
    for heading in ("Results", "Timelines", "False alarms", "Pseudo-anomalies", "Provenance"):
        assert heading in html
    for row in ("A^s alone", "A^t alone", "D alone", "w/o D", "w/ D (ours)", "tuned-on-test"):
        assert row in html
    for fact in ("key-mixed_flow", "train/02", "unified, 0", "torch"):
        assert fact in html
    assert html.count("plotly.js v") == 1


def test_nothing_is_loaded_from_anywhere(html):
    page_itself = html.replace(re.search(r"<script>(/\*\*.*?)</script>", html, re.S).group(1), "")
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']([^"'#]*)""", page_itself)
    assert {a.split(":")[0] for a in addresses if a} <= {"data"}
    assert "default-src 'none'" in html


def test_timelines_carry_scores_truth_and_pictures(html):
    first = data_of(html)["timelines"][0]
    assert first["labels"] == ["ω1 (A^s)", "ω2 (A^t)", "ω3 (D)", "ω_agg"]
    assert first["truth"] == [[12, 20]]
    assert [len(values) for values in first["series"]] == [30] * 4
    assert [t["frame"] for t in first["thumbnails"]] == [0, 10, 19, 29]
    picture = first["thumbnails"][0]["image"].split(",")[1]
    assert cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), 1).shape == (32, 32, 3)


def test_charts_are_the_roc_and_the_losses(html):
    headings = [chart["heading"] for chart in data_of(html)["charts"]]
    assert headings == ["ROC", "Training of A^s", "Training of A^t", "Training of D"]


def test_names_are_escaped_everywhere(tmp_path):
    evil = "</script><img src=x onerror=alert(1)>'\""
    one = Timeline(evil, 3, 0, {evil: np.arange(3.0)}, text=evil)
    text = render(
        "report.html.j2", title=evil, lead=evil, sections=[("a", evil)], cards=[(evil, evil)],
        notes=[evil], results=[], level="95 %", table_text=evil, regions=[], timelines=[one],
        timeline_text=evil, sheets=[], charts=[], facts=[(evil, evil)], provenance=evil,
        footer=evil,
    )  # fmt: skip
    assert "<img src=x" not in text
    assert text.count("</script>") == 3


def test_without_labels_and_maps(tmp_path):
    run = open_run(make_run(tmp_path, kinds=("spatial",), labelled=False))
    score_run(run, Scoring(maps=0, movers=False), quiet)
    evaluate(run, Fusing(pseudo="own", samples=10))
    html = write_report(run, Page(thumbnails=4)).read_text()
    assert "no test video has labels" in html
    assert "Highest scores" in html
    assert data_of(html)["timelines"][0]["truth"] is None
    assert data_of(html)["timelines"][0]["thumbnails"][0]["heat"] == ""
    assert [path.stem for path in write_figures(run)][::2] == [
        "timelines-1", "pseudo_anomalies", "training",
    ]  # fmt: skip


def test_figures_are_written_as_png_and_pdf(scored_run):
    found = {path.name: path for path in write_figures(scored_run)}
    names = ("timelines-1", "roc", "heat_maps", "pseudo_anomalies", "training")
    assert set(found) == {f"{name}.{kind}" for name in names for kind in ("png", "pdf")}
    assert found["roc.pdf"].read_bytes().startswith(b"%PDF")
    assert cv2.imread(str(found["heat_maps.png"])) is not None


def test_extremes_are_apart_and_of_the_right_label(scored_run):
    from evaluation.measures.results import apply
    from evaluation.record.scores import open_scores

    scored = apply(open_scores(scored_run.out / "scores"), scored_run.dataset, Protocol())
    fused = [part["temporal"] for part in scored.omegas]
    found = extremes(scored, fused, 0, False, 10)
    assert len(found) == len({n for n, _ in found}) == 2  # 15 scored frames: one a video
    for number, frame in found:
        assert scored.labels[number][frame - 8] == 0
        normal = scored.labels[number] == 0
        assert fused[number][frame - 8] == fused[number][normal].max()


def test_only_the_headline_decides_what_comes_first():
    rows = [
        {"row": r, "protocol": p, "normalise": "video"} for p in ("lntra", "dense") for r in "ab"
    ]
    assert report.headline({"results": rows}) == rows[1]
    assert report.timeline_protocol({"results": rows}) == Protocol(name="dense")
    assert report.timeline_protocol({"results": rows[:2]}) == Protocol(name="lntra")


def test_long_timelines_keep_their_peaks():
    values = np.zeros(page.POINTS * 3 + 5)
    values[7777] = 9
    shown = Timeline("x", len(values), 0, {"a": values}).data()
    assert shown["step"] == 4
    assert len(shown["series"][0]) <= page.POINTS
    assert shown["series"][0][7777 // 4] == 9
    assert peaks(np.arange(5), 1).tolist() == [0, 1, 2, 3, 4]


def test_intervals_by_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(50):
        flags = rng.integers(0, 2, rng.integers(0, 12))
        covered = {t for a, b in intervals(flags, 5) for t in range(a, b + 1)}
        assert covered == {int(t) + 5 for t in np.flatnonzero(flags)}
        runs = intervals(flags)
        assert all(one[1] + 1 < two[0] for one, two in itertools.pairwise(runs))


def test_heat_is_gray_where_nothing_is_and_coloured_where_much_is():
    image = np.full((16, 16, 3), 100, np.uint8)
    cells = np.zeros((4, 4))
    assert (heat(image, cells) == 100).all()
    cells[:2] = 5
    shown = heat(image, cells).astype(int)
    assert np.ptp(shown[2], axis=-1).min() > 20
    assert np.ptp(shown[14], axis=-1).max() == 0


def test_the_largest_error_counts_on_its_own_scale():
    limits = map_limits({"spatial": np.full((3, 2, 2), 0.1), "temporal": np.full((3, 2, 2), 4.0)})
    found = combined(
        {"spatial": np.array([[0.1, 0.0]]), "temporal": np.array([[0.0, 8.0]])}, limits
    )
    np.testing.assert_allclose(found, [[0.5, 1.0]])


def test_pictures_shrink_but_never_grow():
    wide = np.zeros((20, 60, 3), np.uint8)
    for side, expected in ((30, (10, 30)), (500, (20, 60))):
        data = base64.b64decode(jpeg(wide, side).split(",")[1])
        assert cv2.imdecode(np.frombuffer(data, np.uint8), 1).shape[:2] == expected
    assert spread(10, 1).tolist() == [0]


def test_bad_settings_are_said():
    for wrong in ({"thumbnails": -1}, {"side": 3}, {"events": -1}, {"examples": -2}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            Page(**wrong)
