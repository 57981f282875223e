"""The example notebook runs in the tutorial's folder, and shows what it gives there.

Its outputs are kept in the repository, for the site and for who reads it without running it.
``WRITE_NOTEBOOK=1 pytest tests/test_notebook.py`` writes them anew.
"""

import copy
import os
import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.documents import ROOT

PATH = ROOT / "docs/example.ipynb"
NUMBER = re.compile(r"-?\d+\.\d+")


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(PATH, as_version=4)


@pytest.fixture(scope="module")
def executed(notebook, tutorial):
    found = copy.deepcopy(notebook)
    folder = tutorial.folder / "docs"
    folder.mkdir(exist_ok=True)
    where = {"metadata": {"path": str(folder)}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tutorial.folder))
        NotebookClient(found, timeout=300, kernel_name="python3", resources=where).execute()
    for cell in found.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":
            cell.execution_count = None
            for output in cell.outputs:
                output.pop("execution_count", None)
    if "WRITE_NOTEBOOK" in os.environ:
        for cell, filled in zip(notebook.cells, found.cells, strict=True):
            if cell.cell_type == "code":
                cell.outputs = filled.outputs
        nbformat.write(notebook, PATH)
    return found


def outputs(notebook):
    """Return the outputs of each cell of code: (what is printed or shown, whether a picture)."""
    return [
        [(output.get("text") or output["data"]["text/plain"], "image/png" in output.get("data", {}))
         for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]  # fmt: skip


def test_it_shows_what_it_gives(notebook, executed):
    """To the letter, but for numbers with a decimal point: a training differs by processor."""
    for kept, found in zip(outputs(notebook), outputs(executed), strict=True):
        assert [picture for _, picture in kept] == [picture for _, picture in found]
        for (one, _), (other, _) in zip(kept, found, strict=True):
            assert NUMBER.sub("x", one) == NUMBER.sub("x", other), "WRITE_NOTEBOOK=1 writes it anew"
    assert sum(picture for cell in outputs(executed) for _, picture in cell) == 2
    assert float(outputs(executed)[-1][0][0]) > 0.5  # an anomalous frame before a normal one


def test_its_pictures_are_small(notebook):
    assert PATH.stat().st_size < 200_000
    assert "error" not in {o.output_type for c in notebook.cells for o in c.get("outputs", ())}
