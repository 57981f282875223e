"""Several runs on one page: their tables, their timelines over each other, and how they differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.measures import metrics
from evaluation.measures.auc_table import weighed
from evaluation.measures.results import Scored, apply
from evaluation.measures.threshold import intervals
from evaluation.protocols.base import Protocol
from evaluation.record.run import Run, read_metrics
from evaluation.record.scores import open_scores
from evaluation.record.stretches import spread
from evaluation.report import figures
from evaluation.report import words as facts
from evaluation.report.page import Chart, Page, Timeline, render, rounded
from evaluation.report.report import thumbnails
from evaluation.report.sheets import PSEUDO
from evaluation.report.side_by_side import (
    Chosen,
    chosen_frames,
    chosen_videos,
    entry_of,
    heat_rows,
    label_of,
    pseudo_rows,
    sheet,
)
from pipeline.base.errors import ConfigurationError
from pipeline.base.files import write_text

HEATS = (
    "The frame, its anomaly outlined where there is pixel ground truth, and each method's errors "
    "on the scale of its own held-out normal frames: full colour is twice what these hardly ever "
    "pass."
)


def compare_runs(
    runs: Sequence[Run], out: Path, page: Page, protocol: Protocol, pictured: Chosen | None = None
) -> Path:
    """Write ``compare.html`` and its figures; return the page's path.

    The figures, each as PNG and PDF: ``timelines-1`` ... of all runs over each other (Figure
    3), ``heat_maps`` side by side (Figure 4), ``pseudo_anomalies`` (Figure 2).

    Parameters
    ----------
    pictured
        Which videos and frames the figures show; None for the default.

    Raises
    ------
    ConfigurationError
        If the runs were not scored on the same videos, or not under the protocol.
    """
    by_name = told_apart(runs)
    contents = {name: read_metrics(run.out) for name, run in by_name.items()}
    chosen: dict[str, tuple[Scored, Mapping[str, float]]] = {}
    for own, run in by_name.items():
        entries = [e for e in contents[own]["results"] if facts.same(e, protocol)]
        if not entries:
            raise ConfigurationError(
                f"{run.folder}: has no results under {protocol}; fuse it again with that protocol"
            )
        scored = apply(open_scores(run.out / "scores"), run.dataset, protocol)
        chosen[own] = (scored, entry_of(contents[own]["method"], entries)["eta"])
    first = next(iter(chosen.values()))[0]
    names = [video.name for video in first.videos]
    for name, (scored, _) in chosen.items():
        if [video.name for video in scored.videos] != names:
            raise ConfigurationError(f"{name}: was scored on other videos than the first run")
    pictured = pictured or Chosen()
    methods = {name: content["method"] for name, content in contents.items()}
    shown = chosen_videos(first, pictured)
    heats = heat_rows(by_name, methods, chosen_frames(first, pictured))
    pseudo = pseudo_rows(runs, pictured.count)
    text = render(
        "compare.html.j2",
        title=f"{len(runs)} runs on {runs[0].dataset.name}",
        lead=f"Protocol {protocol.name}, normalised by {facts.scale_name(protocol)}",
        sections=[("table", "Results"), ("timelines", "Timelines"), ("pictures", "Pictures"),
                  ("curves", "Curves"), ("provenance", "Differences")],
        rows=rows(contents),
        timelines=timelines(chosen, runs[0], page),
        sheets=[sheet("Error heat maps", HEATS, heats, page),
                sheet("Pseudo-anomalies", PSEUDO, pseudo, page)],
        charts=[roc(chosen)] if all(scored.truth for scored, _ in chosen.values()) else [],
        facts=differences(contents),
        provenance=json.dumps(contents, indent=1, ensure_ascii=False),
        footer="Frames are embedded; the page needs no network.",
    )  # fmt: skip
    path = out / "compare.html"
    write_text(path, text)
    if page.figures:
        labels = {name: name_of(name, methods) for name in chosen}
        drawn = {labels[name]: one for name, one in chosen.items()}
        for number in range(0, len(shown), figures.PANELS):
            figure = figures.timelines(drawn, shown[number : number + figures.PANELS])
            figures.save(figure, out, f"timelines-{number // figures.PANELS + 1}")
        for name, found in (("heat_maps", heats), ("pseudo_anomalies", pseudo)):
            if found:
                figures.save(figures.rows_of_pictures(found), out, name)
    return path


def name_of(name: str, methods: Mapping[str, str]) -> str:
    """Return a run's name for a legend: its method's, if no other run has the same."""
    method = methods[name]
    return (
        label_of(method) if list(methods.values()).count(method) == 1 else shortest(methods)[name]
    )


def rows(contents: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the table: each run's row of every protocol that all of them share."""
    shared = [
        {(e["protocol"], e["normalise"]) for e in content["results"]}
        for content in contents.values()
    ]
    result = []
    for name, normalise in sorted(set.intersection(*shared)):
        protocol = Protocol(name=name, normalise=normalise)
        for run, content in contents.items():
            same = [e for e in content["results"] if facts.same(e, protocol)]
            entry = entry_of(content["method"], same)
            result.append(
                {
                    "run": run,
                    "protocol": str(protocol),
                    **facts.table_row(entry, weighed(content, name)),
                }
                | {"headline": same[0] is content["results"][0]}
            )
    return result


def timelines(
    chosen: Mapping[str, tuple[Scored, Mapping[str, float]]], first: Run, page: Page
) -> list[Timeline]:
    """Return for each video the scores of all runs over each other."""
    scored = next(iter(chosen.values()))[0]
    share = page.thumbnails // max(len(scored.videos), 1)
    fused = {name: one.fused(dict(eta)) for name, (one, eta) in chosen.items()}
    labels_of, result = shortest(chosen), []
    for number, video in enumerate(scored.videos):
        start = scored.protocol.scored(video.frames).start
        labels = scored.labels[number]
        result.append(
            Timeline(
                name=video.name,
                frames=video.frames,
                first=start,
                series={labels_of[name]: parts[number] for name, parts in fused.items()},
                truth=None if labels is None else intervals(labels, start),
                fps=video.fps,
                thumbnails=thumbnails(first, video.name, None, spread(video.frames, share), page)
                if share
                else [],
            )
        )
    return result


def roc(chosen: Mapping[str, tuple[Scored, Mapping[str, float]]]) -> Chart:
    """Return the ROC of every run."""
    import html

    traces = []
    for name, (scored, eta) in chosen.items():
        truth = np.concatenate(scored.truth)
        values = np.concatenate(scored.labelled(scored.fused(dict(eta))))
        try:
            alarms, hits, _ = metrics.roc(truth, values)
        except metrics.UndefinedMeasure:
            continue
        keep = spread(len(alarms), 250)
        traces.append(
            {
                "x": rounded(alarms[keep]),
                "y": rounded(hits[keep]),
                "name": html.escape(shortest(chosen)[name]),
            }
        )
    return Chart("ROC", "Label-free η.", traces, "false alarm rate", "detection rate", square=True)


def differences(contents: Mapping[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the settings in which the runs differ, one value a run."""
    flat = {name: dict(_flat(_settings(content))) for name, content in contents.items()}
    keys = sorted({key for one in flat.values() for key in one})
    result = []
    for key in keys:
        values = [one.get(key, "-") for one in flat.values()]
        if any(value != values[0] for value in values):
            result.append((key, " | ".join(str(value) for value in values)))
    return result


def _settings(content: dict[str, Any]) -> dict[str, Any]:
    networks = {
        name: {"settings": one["settings"], "architecture": one["architecture"]}
        for name, one in content["networks"].items()
    }
    return {key: content[key] for key in ("scoring", "fusing", "keys", "seed", "method")} | networks


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(prefix, json.dumps(value))]
    return [
        leaf
        for key, part in value.items()
        for leaf in _flat(part, f"{prefix}.{key}" if prefix else str(key))
    ]


def told_apart(runs: Sequence[Run]) -> dict[str, Run]:
    """Return runs by name, with as much of their folders as tells them apart.

    Raises
    ------
    ConfigurationError
        If there are fewer than two, or one is named twice.
    """
    folders = [run.folder.resolve() for run in runs]
    if len({*folders}) < 2:
        raise ConfigurationError("runs: at least two different ones are needed to compare")
    for folder in folders:
        if folders.count(folder) > 1:
            raise ConfigurationError(f"runs: {folder} is named twice; name each run once")
    names = [run.name for run in runs]
    return {
        str(folder) if names.count(run.name) > 1 else run.name: run
        for folder, run in zip(folders, runs, strict=True)
    }


def shortest(names: Iterable[str]) -> dict[str, str]:
    """Return what a legend has room for: of each name as little of its end as is its own.

    >>> shortest(["ped2/quick/memae-seed0", "ped2/paper/memae-seed0"])["ped2/paper/memae-seed0"]
    'paper/memae-seed0'
    """
    split = [name.split("/") for name in names]
    count = 1
    while len({tuple(parts[-count:]) for parts in split}) < len(split):
        count += 1
    return {"/".join(parts): "/".join(parts[-count:]) for parts in split}
