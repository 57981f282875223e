"""Figures for papers, as PNG and PDF: timelines, ROC, heat maps, pseudo-anomalies, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.measures import metrics
from evaluation.measures.results import Scored, apply
from evaluation.measures.threshold import intervals
from evaluation.protocols.base import Protocol
from evaluation.record.run import Run, read_metrics
from evaluation.record.scores import RunScores, open_scores
from evaluation.report.heatmaps import Heat
from evaluation.report.words import same

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = 12
"""Timelines on one sheet."""


def write_figures(run: Run) -> list[Path]:
    """Write a run's figures into ``figures/`` and return their paths.

    ``timelines-1`` ... (as the paper's Figure 3), ``roc``, ``heat_maps`` (Figure 4),
    ``pseudo_anomalies`` (Figure 2) and ``training``; each as PNG and PDF.
    """
    content = read_metrics(run.out)
    scores = open_scores(run.out / "scores")
    first = content["results"][0]
    protocol = Protocol(name=first["protocol"], normalise=first["normalise"])
    scored = apply(scores, run.dataset, protocol)
    entries = [entry for entry in content["results"] if same(entry, protocol)]
    eta = entries[-1]["eta"]
    heat = Heat(run, scores, eta)
    figures: dict[str, Figure] = {}
    for number in range(0, len(scored.videos), PANELS):
        names = [video.name for video in scored.videos[number : number + PANELS]]
        figures[f"timelines-{number // PANELS + 1}"] = timelines({run.name: (scored, eta)}, names)
    if any(entry["micro_auc"] is not None for entry in entries):
        figures["roc"] = roc(scored, entries)
    if heat.limits:
        figures["heat_maps"] = heat_maps(run, scored, eta, heat)
    sheet = pseudo_anomalies(run, scores, heat)
    if sheet is not None:
        figures["pseudo_anomalies"] = sheet
    curves = training(run)
    if curves is not None:
        figures["training"] = curves
    return [path for name, figure in figures.items() for path in save(figure, run.out, name)]


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Write a figure as PNG and PDF, whole or not at all."""
    from pipeline.base.files import replacing

    paths = []
    for kind in ("png", "pdf"):
        path = out / "figures" / f"{name}.{kind}"
        with replacing(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=150, bbox_inches="tight")
        paths.append(path)
    return paths


def new_figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """Return a figure that belongs to no window, and its axes (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def timelines(
    methods: Mapping[str, tuple[Scored, Mapping[str, float]]], names: Sequence[str]
) -> Figure:
    """Draw ω_agg over time of chosen videos, ground truth shaded, all methods over each other.

    Parameters
    ----------
    methods
        Method to its test videos and η.
    names
        Of the videos.
    """
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure, axes = new_figure(rows, columns, 5.2 * columns, 1.5 * rows + 0.4)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        for color, (method, (scored, eta)) in enumerate(methods.items()):
            number = [video.name for video in scored.videos].index(name)
            video, labels = scored.videos[number], scored.labels[number]
            start = scored.protocol.scored(video.frames).start
            values = scored.fused(dict(eta))[number]
            axis.plot(
                np.arange(len(values)) + start, values, color=f"C{color}", lw=1.1, label=method
            )
            if color == 0 and labels is not None:
                for a, b in intervals(labels, start):
                    axis.axvspan(a - 0.5, b + 0.5, color="tab:red", alpha=0.15, lw=0)
        axis.set_title(plain(name), fontsize=8, loc="left")
        axis.tick_params(labelsize=7)
        axis.margins(x=0)
    if len(methods) > 1:
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(),
            loc="outside upper center",
            ncols=min(len(methods), 6),
            fontsize=8,
            frameon=False,
        )
    figure.supxlabel("frame", fontsize=8)
    figure.supylabel("anomaly score", fontsize=8)
    return figure


def roc(scored: Scored, entries: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the ROC of each row."""
    figure, axes = new_figure(1, 1, 4.2, 4.2)
    axis = axes[0, 0]
    for entry in entries:
        truth = np.concatenate(scored.truth)
        fused = np.concatenate(scored.labelled(scored.fused(entry["eta"])))
        alarms, hits, _ = metrics.roc(truth, fused)
        axis.plot(alarms, hits, lw=1.2, label=f"{entry['row']} {100 * entry['micro_auc']:.1f} %")
    axis.plot([0, 1], [0, 1], color="0.7", lw=0.8, zorder=0)
    axis.set(xlabel="false alarm rate", ylabel="detection rate", xlim=(0, 1), ylim=(0, 1.005))
    axis.legend(fontsize=8, loc="lower right")
    return figure


def heat_maps(
    run: Run, scored: Scored, eta: Mapping[str, float], heat: Heat, count: int = 4
) -> Figure:
    """Show the anomalous frames (any, without labels) that a row scores highest, and heat maps."""
    from evaluation.report.sheets import extremes

    label = 1 if scored.truth and any(part.any() for part in scored.truth) else None
    found = extremes(scored, scored.fused(dict(eta)), label, False, count)
    rows = []
    for number, frame in found:
        video = scored.videos[number].name
        image = run.dataset.arrays("frames", video)["image"][frame]
        rows.append((f"{video}, frame {frame}", [image, heat.over(image, heat.maps(video), frame)]))
    return pictures(rows, ["frame", "error heat map"])


def pseudo_anomalies(run: Run, scores: RunScores, heat: Heat, count: int = 4) -> Figure | None:
    """Show frame, mask, inpainted frame, flow and mixed flow; None if they were not made."""
    from evaluation.report.sheets import pseudo_anomaly_rows
    from pipeline.base.errors import ConfigurationError

    try:
        found = pseudo_anomaly_rows(run, heat, scores, count)
    except ConfigurationError:
        return None
    return rows_of_pictures(found) if found else None


def rows_of_pictures(
    rows: Sequence[tuple[str, Sequence[tuple[str, np.ndarray]]]],
) -> Figure:
    """Show rows of (caption, picture), captions above the first row."""
    longest = max(rows, key=lambda row: len(row[1]))
    return pictures(
        [(title, [image for _, image in row]) for title, row in rows],
        [caption for caption, _ in longest[1]],
    )


def pictures(rows: Sequence[tuple[str, Sequence[np.ndarray]]], captions: Sequence[str]) -> Figure:
    """Show rows of pictures, each with its title on the left, below captions."""
    figure, axes = new_figure(len(rows), len(captions), 1.7 * len(captions), 1.75 * len(rows) + 0.3)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(False)
    for line, (title, images) in zip(axes, rows, strict=True):
        line[0].set_ylabel(plain(title), fontsize=7)
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image, interpolation="nearest")
    for axis, caption in zip(axes[0], captions, strict=True):
        axis.set_title(caption, fontsize=8)
    return figure


def training(run: Run) -> Figure | None:
    """Draw the loss over steps of each network; None if none kept its metrics."""
    from evaluation.report.charts import training_charts

    charts = training_charts(run)
    if not charts:
        return None
    figure, axes = new_figure(1, len(charts), 3.6 * len(charts), 2.8)
    for axis, chart in zip(axes[0], charts, strict=True):
        for trace in chart.traces:
            marker = "." if "markers" in trace.get("mode", "") else None
            axis.plot(trace["x"], trace["y"], lw=1, marker=marker, label=trace["name"])
        axis.set(xlabel="step", ylabel="loss", yscale="log")
        axis.set_title(chart.heading, fontsize=9)
        axis.legend(fontsize=7)
    return figure


def plain(text: str) -> str:
    """Return a text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")
