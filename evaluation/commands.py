"""The commands of ``python -m evaluation``, each a function whose parameters are its options."""

from __future__ import annotations

from pathlib import Path

from evaluation.indicators import Scoring
from evaluation.page import Page
from evaluation.results import Fusing


def score(
    run: Path,
    shards: Path | None = None,
    scoring: Scoring = Scoring(),  # noqa: B008 - frozen
    fusing: Fusing = Fusing(),  # noqa: B008
    page: Page = Page(),  # noqa: B008
) -> None:
    """Score the test and the held-out videos of a run, and print its AUC table.

    What was scored already with the same weights, shards and settings is not scored again.
    Exit status: 0 scored; 2 a wrong setting; 3 wrong data; 4 the machine.

    Args:
        run: The method's folder, such as runs/ped2/quick/unified-seed0.
        shards: Another data set's shards.json, to see how the run transfers to it.
        scoring: How frames are scored.
        fusing: How scores become the table.
        page: Not used here; a preset holds the settings of all commands.
    """
    from evaluation.indicators import score_run
    from evaluation.run import open_run

    score_run(open_run(run, shards), scoring)
    fuse(run, shards, scoring, fusing, page)


def fuse(
    run: Path,
    shards: Path | None = None,
    scoring: Scoring = Scoring(),  # noqa: B008
    fusing: Fusing = Fusing(),  # noqa: B008
    page: Page = Page(),  # noqa: B008
) -> None:
    """Make the AUC table from saved scores, without the networks; writes metrics.json.

    Args:
        run: The method's folder.
        shards: As it was scored with.
        scoring: Not used here.
        fusing: Protocols, η, confidence intervals.
        page: Not used here.
    """
    from evaluation.auc_table import evaluate, table
    from evaluation.run import open_run

    opened = open_run(run, shards)
    print(table(evaluate(opened, fusing)))
    print(opened.out / "metrics.json")


def report(
    run: Path,
    shards: Path | None = None,
    scoring: Scoring = Scoring(),  # noqa: B008
    fusing: Fusing = Fusing(),  # noqa: B008
    page: Page = Page(),  # noqa: B008
) -> None:
    """Write a scored run's report.html (one file, no network) and its figures.

    Args:
        run: The method's folder.
        shards: As it was scored with.
        scoring: Not used here.
        fusing: Not used here; the table is that of metrics.json.
        page: Pictures and figures.
    """
    from evaluation.auc_table import table
    from evaluation.figures import write_figures
    from evaluation.report import write_report
    from evaluation.run import open_run, read_metrics

    opened = open_run(run, shards)
    path = write_report(opened, page)
    print(table(read_metrics(opened.out)))
    if page.figures:
        figures = write_figures(opened)
        print(f"{len(figures)} figures in {opened.out / 'figures'}")
    print(opened.out / "metrics.json")
    print(path)
