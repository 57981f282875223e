"""What each part of the protocol ``local`` adds: the same run with one part left out at a time.

``python -m evaluation local --run RUN`` prints the table. Nothing is chosen here, and no
setting: the rows are fixed, and their order says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.indicators.registry import INDICATORS
from evaluation.measures import fusion
from evaluation.measures.results import Fusing, Scored, measure, read_labels
from evaluation.protocols import base as protocols
from evaluation.protocols.base import Limits, Protocol
from evaluation.protocols.local import local
from evaluation.protocols.local.lasting import Form
from evaluation.protocols.local.scores import normal_levels, stretch_values
from evaluation.record.run import Run
from evaluation.record.scores import RunScores, VideoScores, open_scores
from evaluation.record.stretches import Stretch, normal_stretches, whole
from pipeline.base.errors import ConfigurationError

LOCAL = Protocol(name="local", normalise="heldout")

ONE = (local.WINDOWS[1],)

FORMS: tuple[tuple[str, Form], ...] = (
    ("all parts", Form()),
    ("mean over 17 frames, not the smaller of before and after", Form(both=False)),
    ("at one place over time, not along the flow", Form(along=False)),
    ("no time at all", Form(reach=0)),
    ("one level for all places", Form(place=False)),
    ("a window of 3 cells alone", Form(windows=local.WINDOWS[:1])),
    ("a window of 5 cells alone", Form(windows=ONE)),
    ("a window of 7 cells alone", Form(windows=local.WINDOWS[2:])),
    ("no part: maximum of box means", Form(reach=0, both=False, place=False, windows=ONE)),
)
"""The maps' forms."""

CHOSEN = [one for one in INDICATORS if one.CHOSEN]

COLUMNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    *((one.SYMBOL, (one.NAME,)) for one in INDICATORS if one.MAP),
    (" + ".join(one.SYMBOL for one in CHOSEN), tuple(one.NAME for one in CHOSEN)),
    LOCAL.kind.rows()[-1],
)
"""What is fused, with equal weights."""


def ablation(run: Run, progress: Callable[[str], object] = print) -> list[dict[str, Any]]:
    """Return the rows of the table, each with its cells by column.

    Raises
    ------
    ConfigurationError
        If the run was not scored with the protocol ``local``.
    """
    scores = open_scores(run.out / "scores")
    if not scores.normal or not run.heldout_videos or "flow" not in run.dataset.stages:
        raise ConfigurationError(
            f"{run.folder}: has no clips of normal training videos, no held-out ones or no flow; "
            "run `python -m evaluation score` on it, with shards that have them"
        )
    rows = []
    for label, form in FORMS:
        progress(f"local: {label}")
        parts = every_value(run, scores, form)
        rows.append({"row": label, **cells(run, parts, parts["normal"])})
        if form == Form():
            rows.append({"row": "scale from held-out videos alone", **cells(run, parts, [])})
            if all("flow_mover_local" in one.values for one in parts["heldout"]):
                rows.append({"row": "η chosen on movers, not equal", **cells(run, parts, None)})
            few = every_value(run, scores, form, [whole(video) for video in run.heldout_videos])
            rows.append({"row": "level and scale from held-out videos", **cells(run, few, [])})
    return rows


def every_value(
    run: Run, scores: RunScores, form: Form, normal: Sequence[Stretch] | None = None
) -> dict[str, list[VideoScores]]:
    """Return the values of test, held-out and normal videos under a form, none of it saved.

    Parameters
    ----------
    normal
        What sets the level, if not clips of the training videos.
    """
    levels = normal_levels(run, scores, form, normal)
    groups = {
        "test": [whole(video) for video in run.test_videos],
        "heldout": [whole(video) for video in run.heldout_videos],
        "normal": normal_stretches(run.dataset),
    }
    return {
        group: [
            VideoScores(
                clip.info,
                {
                    **{
                        name: values
                        for name, values in scores.load(clip.name).values.items()
                        if not name.endswith("_local")
                    },
                    **stretch_values(run, scores, clip, levels, form),
                },
                scores.provenance.get("measures", {}),
            )
            for clip in clips
        ]
        for group, clips in groups.items()
    }


def cells(
    run: Run, parts: Mapping[str, Sequence[VideoScores]], normal: Sequence[VideoScores] | None
) -> dict[str, Any]:
    """Return micro AUC and smoothed micro AUC by column.

    Parameters
    ----------
    normal
        What sets the scale beside held-out videos; None: all, and η is chosen on movers.
    """
    known = parts["normal"] if normal is None else normal
    limits = protocols.heldout_limits(parts["heldout"], LOCAL, known)
    scored = Scored(
        LOCAL,
        tuple(one.video for one in parts["test"]),
        tuple(protocols.omegas(parts["test"], LOCAL, limits)),
        tuple(read_labels(run.dataset, one.video) for one in parts["test"]),
    )
    found: dict[str, Any] = {}
    for label, names in COLUMNS:
        if not set(names) <= set(scored.indicators):
            continue
        eta = fusion.equal(names).eta
        if normal is None:
            if len(names) == 1:
                continue
            eta = on_movers(names, parts["heldout"], limits)
        one = measure(scored, eta, Fusing(samples=0))
        found[label] = {
            "eta": eta,
            "micro_auc": one["micro_auc"],
            "smoothed_micro_auc": one.get("smoothed_micro_auc"),
        }
    return found


def on_movers(names: Sequence[str], heldout: Sequence[VideoScores], limits: Limits) -> fusion.Eta:
    """Return the weights that separate held-out frames from the same with movers best."""
    labels, omegas = fusion.imagined(heldout, LOCAL, limits, "movers")
    return fusion.best(names, labels, omegas, "label-free").eta


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as Markdown: micro AUC / smoothed, in %."""
    columns = [label for label, _ in COLUMNS if label in rows[0]]
    lines = [
        "| | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for row in rows:
        texts = [_text(row.get(label)) for label in columns]
        lines.append(f"| {row['row']} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _text(cell: Mapping[str, Any] | None) -> str:
    if cell is None or cell["micro_auc"] is None:
        return "-"
    pair = np.array([cell["micro_auc"], cell["smoothed_micro_auc"]]) * 100
    return f"{pair[0]:.2f} / {pair[1]:.2f}"
