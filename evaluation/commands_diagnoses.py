"""The commands of ``python -m evaluation`` that explain a run's numbers and choose nothing."""

from __future__ import annotations

from pathlib import Path

from evaluation.indicators.settings import Scoring
from evaluation.measures.results import Fusing
from evaluation.protocols.base import Protocol
from evaluation.report.page import Page


def local(run: Path, shards: Path | None = None) -> None:
    """Say what each part of the protocol local adds, leaving out one at a time.

    Prints a table of micro AUCs, unsmoothed and smoothed over time, and writes it as
    local.json; takes about a minute a row for Ped2. Nothing is chosen by it.

    Args:
        run: The method's folder; it must have been scored.
        shards: As it was scored with.
    """
    from evaluation.diagnoses.ablation import ablation, table
    from evaluation.record.run import open_run
    from pipeline.base.files import write_json

    opened = open_run(run, shards)
    rows = ablation(opened)
    write_json(opened.out / "local.json", {"run": opened.name, "rows": rows})
    print(table(rows))
    print(opened.out / "local.json")


def videos(
    run: Path,
    shards: Path | None = None,
    row: str = "w/ D (ours)",
    protocol: Protocol = Protocol(),  # noqa: B008 - frozen
) -> None:
    """Diagnose: a row of the AUC table by test video; nothing may be chosen by it.

        python -m evaluation videos --run RUN --row "A^s alone"

    Prints for each video its AUC, the mean score of its anomalous and of its normal frames,
    how much of the picture moves and how much of the error lies there; writes videos.json.

    Args:
        run: The method's folder; it must have been scored.
        shards: As it was scored with.
        row: A row of the table, as it is called there.
        protocol: Under which.
    """
    from evaluation.diagnoses.by_video import by_video, table
    from evaluation.record.run import open_run
    from pipeline.base.files import write_json

    opened = open_run(run, shards)
    content = by_video(opened, row, protocol)
    write_json(opened.out / "videos.json", content)
    print(table(content))
    print(opened.out / "videos.json")


def epochs(
    run: Path,
    network: str = "spatial",
    scoring: Scoring = Scoring(),  # noqa: B008
    fusing: Fusing = Fusing(),  # noqa: B008
    page: Page = Page(),  # noqa: B008
) -> None:
    """Diagnose: the micro AUC on the test labels after every epoch; nothing may be chosen by it.

    For trainings that kept their weights (--snapshots 1 of the training command).

    Args:
        run: The method's folder.
        network: spatial (A^s) or temporal (A^t).
        scoring: How frames are scored; stride 16 is the quickest.
        fusing: Without effect here; it is taken since a preset holds the settings of all commands.
        page: Without effect here; it is taken since a preset holds the settings of all commands.
    """
    from evaluation.diagnoses.epochs import epoch_curve
    from evaluation.record.run import open_run

    opened = open_run(run)
    print("epoch  micro AUC on the test labels (lntra/video)  error of held-out normal videos")
    for one in epoch_curve(opened, network, scoring):
        auc, held = one["micro_auc_on_test"], one["heldout_error"]
        shown = ["undefined" if auc is None else f"{100 * auc:.2f}"]
        shown.append("-" if held is None else f"{held:.3g}")
        print(f"{one['epoch']:<7}{shown[0]:<44}{shown[1]}")
    print(opened.out / f"epochs-{network}.json")
