"""The example notebook runs in the tutorial's folder, and is kept without outputs."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.documents import ROOT

PATH = ROOT / "docs/example.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(PATH, as_version=4)


def test_outputs_stay_out_of_the_repository(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_the_notebook_runs(notebook, tutorial, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tutorial.folder))
    folder = tutorial.folder / "docs"
    folder.mkdir(exist_ok=True)
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert float(outputs[-1]["data"]["text/plain"]) > 0.5
