import pytest

from evaluation.diagnoses import ablation as local_ablation
from evaluation.diagnoses.ablation import COLUMNS, FORMS, LOCAL, ablation, table
from evaluation.indicators.settings import Scoring
from evaluation.measures.auc_table import evaluate
from evaluation.measures.results import Fusing
from evaluation.protocols.local.lasting import Form
from evaluation.record.run import open_run
from evaluation.scoring.score import score_run
from pipeline.base.errors import ConfigurationError
from tests.evaluation.conftest import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("ablation"), kinds=("temporal", "discriminator"))
    opened = open_run(folder)
    score_run(opened, Scoring(maps=8, movers=False), lambda text: None)
    return opened


def test_the_first_row_is_that_of_the_table_and_each_other_leaves_something_out(run, monkeypatch):
    monkeypatch.setattr(local_ablation, "FORMS", FORMS[:2])
    rows = ablation(run, lambda text: None)
    assert [row["row"] for row in rows] == [
        "all parts",
        "scale from held-out videos alone",
        "level and scale from held-out videos",
        FORMS[1][0],
    ]
    content = evaluate(run, Fusing(protocols=(LOCAL,), samples=0, pseudo="own"))
    known = {entry["row"]: entry for entry in content["results"]}
    for column, row in (("flow", "flow alone"), ("flow + A^t", "flow + A^t")):
        for name in ("micro_auc", "smoothed_micro_auc"):
            assert rows[0][column][name] == pytest.approx(known[row][name], abs=1e-12)
    text = table(rows)
    assert "| all parts |" in text
    assert "A^s" not in text


def test_the_forms_differ_from_the_whole_in_one_part_each():
    whole = Form()
    for label, form in FORMS[1:-1]:
        changed = [name for name in vars(whole) if getattr(form, name) != getattr(whole, name)]
        assert len(changed) == 1, label
    assert len({label for label, _ in (*FORMS, *COLUMNS)}) == len(FORMS) + len(COLUMNS)


def test_without_held_out_videos_it_says_so(tmp_path):
    folder = make_run(tmp_path, kinds=("discriminator",), heldout=False)
    opened = open_run(folder)
    score_run(opened, Scoring(maps=0, movers=False), lambda text: None)
    with pytest.raises(ConfigurationError, match="no held-out ones"):
        ablation(opened, lambda text: None)
