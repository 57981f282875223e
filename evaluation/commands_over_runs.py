"""The commands of ``python -m evaluation`` that take several runs: tables and comparisons."""

from __future__ import annotations

from pathlib import Path

from evaluation.protocols.base import Protocol
from evaluation.report.page import Page
from evaluation.report.side_by_side import Chosen
from evaluation.tables.tables import Which


def tables(
    which: Which,
    runs: Path,
    datasets: list[str],
    out: Path,
    protocols: list[str] = ["lntra/video", "local/heldout"],  # noqa: B006 - never changed
    preset: str | None = None,
    train: str = "",
) -> int:
    """Print a table over runs and write it as Markdown, CSV and JSON.

    table1: every method on every data set beside the published number (Tables 1 and 2);
    table3: transfer; table4: random against segmentation masks; ablation: every row and
    protocol of the paper's method, and the variants. Cells without a run say why; exit status
    1 if a run failed. `make table1` and so on first run what is missing.

    Args:
        which: table1, table3, table4 or ablation.
        runs: The folder of runs (RUNS).
        datasets: The columns.
        out: Where to write.
        protocols: A table is made under each; published numbers stand beside lntra/video alone.
        preset: Only runs of this preset; needed where there are several.
        train: table3: the data set that was trained on.
    """
    from evaluation.tables.table_cells import markdown, write_tables
    from evaluation.tables.tables import make_tables

    made = make_tables(which, runs, datasets, protocols, preset, train)
    print(markdown(made))
    for path in write_tables(made, out, which):
        print(path)
    cells = (cell for table in made for _, row in table.rows for cell in row)
    return int(any("failed" in cell.text for cell in cells))


def compare(
    runs: list[Path],
    out: Path,
    protocol: Protocol = Protocol(),  # noqa: B008
    page: Page = Page(),  # noqa: B008
    chosen: Chosen = Chosen(),  # noqa: B008
) -> None:
    """Compare scored runs on one page: tables, timelines and heat maps, what differs.

    Args:
        runs: Two or more methods' folders, scored on the same videos.
        out: Where to write compare.html and the figures.
        protocol: The protocol of the timelines.
        page: Pictures and figures.
        chosen: The videos and frames of the figures.
    """
    from evaluation.record.run import open_run
    from evaluation.report.compare import compare_runs

    print(compare_runs([open_run(run) for run in runs], out, page, protocol, chosen))
