"""Several runs on one page: their tables, their timelines over each other, and how they differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import facts, figures, metrics
from evaluation.page import Chart, Page, Timeline, intervals, render, rounded
from evaluation.pictures import spread
from evaluation.protocols import Protocol
from evaluation.report import headline, thumbnails
from evaluation.results import Scored, apply
from evaluation.run import Run, read_metrics
from evaluation.scores import open_scores
from pipeline.atomic import write_text
from pipeline.errors import ConfigurationError


def compare_runs(runs: Sequence[Run], out: Path, page: Page, protocol: Protocol) -> Path:
    """Write ``compare.html`` and the overlaid timelines as figures; return the page's path.

    Raises
    ------
    ConfigurationError
        If the runs were not scored on the same videos, or not under the protocol.
    """
    if len({run.name for run in runs}) < 2:
        raise ConfigurationError("runs: at least two different ones are needed to compare")
    contents = {run.name: read_metrics(run.out) for run in runs}
    chosen: dict[str, tuple[Scored, Mapping[str, float]]] = {}
    for run in runs:
        entries = [e for e in contents[run.name]["results"] if facts.same(e, protocol)]
        if not entries:
            raise ConfigurationError(
                f"{run.folder}: has no results under {protocol}; fuse it again with that protocol"
            )
        scored = apply(open_scores(run.out / "scores"), run.dataset, protocol)
        chosen[run.name] = (scored, entries[-1]["eta"])
    names = [video.name for video in next(iter(chosen.values()))[0].videos]
    for name, (scored, _) in chosen.items():
        if [video.name for video in scored.videos] != names:
            raise ConfigurationError(f"{name}: was scored on other videos than the first run")
    text = render(
        "compare.html.j2",
        title=f"{len(runs)} runs on {runs[0].dataset.name}",
        lead=f"Protocol {protocol.name}, normalised by {facts.scale_name(protocol)}",
        sections=[("table", "Results"), ("timelines", "Timelines"), ("curves", "Curves"),
                  ("provenance", "Differences")],
        rows=rows(contents),
        timelines=timelines(chosen, runs[0], page),
        charts=[roc(chosen)] if all(scored.truth for scored, _ in chosen.values()) else [],
        facts=differences(contents),
        provenance=json.dumps(contents, indent=1, ensure_ascii=False),
        footer="Frames are embedded; the page needs no network.",
    )  # fmt: skip
    path = out / "compare.html"
    write_text(path, text)
    if page.figures:
        for number in range(0, len(names), figures.PANELS):
            figure = figures.timelines(chosen, names[number : number + figures.PANELS])
            figures.save(figure, out, f"timelines-{number // figures.PANELS + 1}")
        figures.save(side_by_side(runs, chosen), out, "heat_maps")
    return path


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
            entry = [e for e in content["results"] if facts.same(e, protocol)][-1]
            result.append(
                {"run": run, "protocol": str(protocol), **facts.table_row(entry)}
                | {"headline": entry is headline(content)}
            )
    return result


def timelines(
    chosen: Mapping[str, tuple[Scored, Mapping[str, float]]], first: Run, page: Page
) -> list[Timeline]:
    """Return for each video the scores of all runs over each other."""
    scored = next(iter(chosen.values()))[0]
    share = page.thumbnails // max(len(scored.videos), 1)
    fused = {name: one.fused(dict(eta)) for name, (one, eta) in chosen.items()}
    result = []
    for number, video in enumerate(scored.videos):
        start = scored.protocol.scored(video.frames).start
        labels = scored.labels[number]
        result.append(
            Timeline(
                name=video.name,
                frames=video.frames,
                first=start,
                series={short(name): parts[number] for name, parts in fused.items()},
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
            {"x": rounded(alarms[keep]), "y": rounded(hits[keep]), "name": html.escape(short(name))}
        )
    return Chart("ROC", "Label-free η.", traces, "false alarm rate", "detection rate", square=True)


def side_by_side(
    runs: Sequence[Run], chosen: Mapping[str, tuple[Scored, Mapping[str, float]]], count: int = 4
) -> Any:
    """Show the error heat maps of all runs on the same frames (the paper's Figure 4)."""
    from evaluation.heatmaps import Heat
    from evaluation.sheets import extremes

    scored, eta = next(iter(chosen.values()))
    label = 1 if any(part.any() for part in scored.truth) else None
    heats = [(run, Heat(run, open_scores(run.out / "scores"), chosen[run.name][1])) for run in runs]
    pictures = []
    for number, frame in extremes(scored, scored.fused(dict(eta)), label, False, count):
        video = scored.videos[number].name
        image = runs[0].dataset.arrays("frames", video)["image"][frame]
        line = [image, *(heat.over(image, heat.maps(video), frame) for _, heat in heats)]
        pictures.append((f"{video}, frame {frame}", line))
    return figures.pictures(pictures, ["frame", *(short(run.name) for run in runs)])


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


def short(name: str) -> str:
    """Return a run's method and seed, what a legend has room for."""
    return name.split("/")[-1]
