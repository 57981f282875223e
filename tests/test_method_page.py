"""The page of the method: what is cited is there, and what it says of the code is so."""

import re

import pytest
import yaml

from evaluation.tables.published import MASKS, PUBLISHED, TRANSFER
from tests.documents import ROOT

PAGE = (ROOT / "docs/method.md").read_text(encoding="utf-8")
SECTIONS = {int(n) for n in re.findall(r"^## (\d+)\. ", PAGE, re.MULTILINE)}
CITED = re.compile(r"docs/method\.md,\s+(\d+(?:(?:,| and)\s+\d+)*)")


def citations():
    """Yield each section number that the code cites, and where."""
    for package in ("pipeline", "training", "evaluation", "benchmarks", "tests"):
        for path in (ROOT / package).rglob("*"):
            if path.suffix in (".py", ".yaml"):
                for found in CITED.findall(path.read_text(encoding="utf-8")):
                    for number in re.findall(r"\d+", found):
                        yield int(number), path.relative_to(ROOT)


def table(after):
    """Return the table that follows some text of the page, {row: {column: number}}."""
    start = PAGE.index("\n|", PAGE.index(after)) + 1
    head, _, *rows = PAGE[start : PAGE.index("\n\n", start)].splitlines()
    split = [[cell.strip() for cell in row.strip("|").split("|")] for row in (head, *rows)]
    columns = [name.partition(" ")[0].lower() for name in split[0][1:]]
    return {
        name: {c: float(v) for c, v in zip(columns, values, strict=True) if v != "-"}
        for name, *values in split[1:]
    }


def test_every_cited_section_is_there():
    cited = list(citations())
    assert len({path for _, path in cited}) > 10
    assert [(number, str(path)) for number, path in cited if number not in SECTIONS] == []
    assert sorted(SECTIONS) == list(range(1, len(SECTIONS) + 1))


def test_every_file_that_it_names_is_there():
    named = re.findall(r"`((?:pipeline|training|evaluation|data_manifests)/[\w/*.]+)`", PAGE)
    assert len(named) > 20
    assert [name for name in named if not list(ROOT.glob(name))] == []


def test_published_numbers_are_those_of_the_page():
    assert table("Published micro AUC") == PUBLISHED
    assert table("Trained on UBnormal") == TRANSFER
    assert table("Table 4 of the paper") == MASKS


@pytest.mark.parametrize("name", ["Ped2", "Avenue", "ShanghaiTech", "UBnormal"])
def test_counts_are_those_of_the_manifests(name):
    manifest = yaml.safe_load((ROOT / f"data_manifests/{name.lower()}.yaml").read_text())
    lines = PAGE[PAGE.index("## 10.") :].splitlines()
    row = next(line for line in lines if line.startswith("|") and f"{name} |" in line)
    numbers = set(map(int, re.findall(r"\b\d+\b", row)))
    for counts in manifest["expected"].values():
        assert set(counts.values()) <= numbers
