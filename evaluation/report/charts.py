"""The charts of a report: ROC and training curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.indicators.registry import by_name, networks
from evaluation.measures import metrics
from evaluation.measures.results import apply
from evaluation.protocols.base import Protocol
from evaluation.record.run import Run
from evaluation.record.scores import RunScores
from evaluation.record.stretches import spread
from evaluation.report.page import Chart, rounded
from evaluation.report.words import same, scale_name


def roc_charts(scores: RunScores, run: Run, content: dict[str, Any]) -> list[Chart]:
    """Return the ROC of every row under the first protocol, if it is defined."""
    first = content["results"][0]
    protocol = Protocol(name=first["protocol"], normalise=first["normalise"])
    scored = apply(scores, run.dataset, protocol)
    traces = []
    for entry in content["results"]:
        if not same(entry, protocol) or entry["micro_auc"] is None:
            continue
        truth, fused = scored.truth, scored.labelled(scored.fused(entry["eta"]))
        alarms, hits, _ = metrics.roc(np.concatenate(truth), np.concatenate(fused))
        keep = np.unique(np.linspace(0, len(alarms) - 1, 250).round().astype(int))
        name = f"{entry['row']} {100 * entry['micro_auc']:.1f} %"
        traces.append({"x": rounded(alarms[keep]), "y": rounded(hits[keep]), "name": name})
    if not traces:
        return []
    text = f"Protocol {protocol.name}, normalised by {scale_name(protocol)}, label-free η."
    return [Chart("ROC", text, traces, "false alarm rate", "detection rate", square=True)]


def training_charts(run: Run) -> list[Chart]:
    """Return the loss over steps of each network, from its metrics.jsonl."""
    charts = []
    for name in networks(run):
        lines = read_lines(run.folder / name / "metrics.jsonl")
        traces = []
        for key, label in (("loss", "training"), ("holdout_loss", "held-out normal videos")):
            points = [(e["step"], e[key]) for e in lines if _number(e.get(key)) and "step" in e]
            if points:
                points = [points[i] for i in spread(len(points), 1000)]
                steps, losses = zip(*points, strict=True)
                traces.append(
                    {"x": list(steps), "y": rounded(np.array(losses)), "name": label}
                    | ({"mode": "lines+markers"} if key != "loss" else {})
                )
        if traces:
            heading = by_name(name).SYMBOL
            charts.append(
                Chart(f"Training of {heading}", "Loss by step.", traces, "step", "loss", log=True)
            )
    return charts


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; none where there is no file, and a last line cut off is left."""
    lines = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                lines.append(value)
    return lines


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value)) and value > 0
