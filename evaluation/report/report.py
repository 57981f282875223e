"""The report of a run: one HTML page with its table, timelines, pictures and provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.indicators.registry import by_name
from evaluation.measures import metrics
from evaluation.measures.metrics import UndefinedMeasure
from evaluation.measures.results import Scored, apply
from evaluation.measures.threshold import intervals
from evaluation.protocols.base import Protocol
from evaluation.protocols.registry import kind_of
from evaluation.record.run import Run, read_metrics
from evaluation.record.scores import RunScores, open_scores
from evaluation.record.stretches import spread
from evaluation.report import charts, sheets
from evaluation.report import words as facts
from evaluation.report.heatmaps import Heat
from evaluation.report.page import Page, Sheet, Thumbnail, Timeline, render
from evaluation.report.pictures import jpeg
from pipeline.base.files import write_text


def write_report(run: Run, page: Page) -> Path:
    """Write ``report.html`` of a scored and fused run, and return its path."""
    content = read_metrics(run.out)
    scores = open_scores(run.out / "scores")
    entry = headline(content)
    protocol = timeline_protocol(content)
    scored = apply(scores, run.dataset, protocol)
    eta = next(
        e["eta"] for e in content["results"] if facts.same(e, protocol) and e["row"] == entry["row"]
    )
    heat = Heat(run, scores, eta)
    text = render(
        "report.html.j2",
        title=f"{content['method'] or 'run'} on {content['dataset']}",
        lead=f"{run.name}, seed {content['seed']}, {content['test_videos']} test videos",
        sections=_sections(content),
        cards=facts.cards(content, entry),
        notes=facts.notes(run, content),
        results=facts.groups(content, entry),
        level=f"{100 * content['fusing']['level']:.0f} %",
        table_text=(
            "AUC in %. η of the fused rows is label-free: chosen on held-out normal videos and "
            "their own pseudo-anomalies. Beside it, the best η on the test labels, which no "
            "detector could know. Under local the weights are equal, without a choice: there the "
            "flow is an indicator too, the first of the weights. Smoothed: micro AUC of scores "
            "smoothed over time."
            if content["fusing"]["eta"] == "label-free"
            else "AUC in %. η is the same for each indicator; beside it the best on the labels."
        ),
        regions=facts.region_lines(content),
        timelines=timelines(run, scored, eta, heat, page),
        timeline_text=(
            f"Protocol {protocol.name}, normalised by {facts.scale_name(protocol)}, "
            f"row {entry['row']}. Shaded: anomalous by the ground truth. Point at a line, or "
            "move the slider, to see the frame and its error heat map; drag over a stretch to "
            "zoom, double-click to zoom out."
        ),
        sheets=_sheets(run, scores, scored, eta, heat, page),
        charts=[*charts.roc_charts(scores, run, content), *charts.training_charts(run)],
        facts=facts.facts(content),
        provenance=json.dumps(content, indent=1, ensure_ascii=False),
        footer="Frames and heat maps are embedded; the page needs no network.",
    )
    path = run.out / "report.html"
    write_text(path, text)
    return path


def headline(content: dict[str, Any]) -> dict[str, Any]:
    """Return the entry that is shown first: the last row of the first protocol."""
    first = content["results"][0]
    group = [
        e
        for e in content["results"]
        if (e["protocol"], e["normalise"]) == (first["protocol"], first["normalise"])
    ]
    return group[-1]


def timeline_protocol(content: dict[str, Any]) -> Protocol:
    """Return the protocol of the timelines: the first in which every frame has a score."""
    found = [(e["protocol"], e["normalise"]) for e in content["results"]]
    name, normalise = next((pair for pair in found if kind_of(pair[0]).WHOLE), found[0])
    return Protocol(name=name, normalise=normalise)


def timelines(
    run: Run, scored: Scored, eta: dict[str, float], heat: Heat, page: Page
) -> list[Timeline]:
    """Return the timeline of each test video, with its pictures."""
    result = []
    share = page.thumbnails // max(len(scored.videos), 1)
    fused = scored.fused(eta)
    for number, video in enumerate(scored.videos):
        frames = scored.protocol.scored(video.frames)
        series = {by_name(n).label: scored.omegas[number][n] for n in scored.indicators}
        if len(series) > 1:
            series["ω_agg"] = fused[number]
        labels = scored.labels[number]
        anomalous = None if labels is None else intervals(labels, frames.start)
        result.append(
            Timeline(
                name=video.name,
                frames=video.frames,
                first=frames.start,
                series=series,
                colors={by_name(n).label: by_name(n).COLOR for n in scored.indicators},
                truth=anomalous,
                fps=video.fps,
                thumbnails=thumbnails(run, video.name, heat, spread(video.frames, share), page)
                if share
                else [],
                text=_video_text(labels, fused[number], video.frames),
            )
        )
    return result


def _video_text(labels: np.ndarray | None, fused: np.ndarray, frames: int) -> str:
    if labels is None:
        return f"{frames} frames, no labels"
    text = f"{frames} frames, {int(labels.sum())} of the {len(labels)} scored are anomalous"
    try:
        return f"{text}; AUC of this video {100 * metrics.micro_auc(labels, fused):.2f} %"
    except UndefinedMeasure:
        return f"{text}; one class only, so no AUC of its own"


def thumbnails(
    run: Run, video: str, heat: Heat | None, frames: np.ndarray, page: Page
) -> list[Thumbnail]:
    """Return some frames of a video with their heat maps."""
    images = run.dataset.arrays("frames", video)["image"]
    maps = heat.maps(video) if heat else {}
    return [
        Thumbnail(
            int(frame),
            jpeg(images[int(frame)], page.side),
            jpeg(heat.over(images[int(frame)], maps, int(frame)), page.side)
            if heat and maps
            else "",
        )
        for frame in frames
    ]


def _sheets(
    run: Run, scores: RunScores, scored: Scored, eta: dict[str, float], heat: Heat, page: Page
) -> list[Sheet]:
    found = sheets.events(run, scored, eta, heat, page) if page.events else []
    found += [sheets.pseudo_anomalies(run, scores, heat, page)] if page.examples else []
    return [sheet for sheet in found if sheet.rows]


def _sections(content: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("summary", "Summary"),
        ("table", "Results"),
        ("timelines", "Timelines"),
        ("events", "Pictures"),
        ("curves", "Curves"),
        ("provenance", "Provenance"),
    ]
