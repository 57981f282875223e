"""The report of a detection: one page for all videos, with their events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from evaluation.detector.detect import Found
from evaluation.detector.detector import Detector
from evaluation.indicators.registry import by_name
from evaluation.measures.threshold import Event, many
from evaluation.report.page import Timeline, render
from pipeline.base.files import write_text


def write_detection_report(detector: Detector, found: Sequence[Found], path: Path) -> Path:
    """Write the report of all videos to ``path``, and return it."""
    frames = sum(one.frames for one in found)
    events = sum(len(one.events) for one in found)
    seconds = sum(one.seconds for one in found)
    hours = sum(one.frames / one.fps for one in found) / 3600
    content = {
        "run": detector.run.name,
        "protocol": detector.protocol,
        "eta": detector.eta,
        "threshold": asdict(detector.threshold),
        "alarm": asdict(detector.alarm),
        "videos": [
            {"source": one.source.name, "frames": one.frames, "events": len(one.events)}
            for one in found
        ],
    }
    text = render(
        "detection.html.j2",
        title=many(events, "event") + (f" in {len(found)} videos" if len(found) != 1 else ""),
        lead=f"Scored by {detector.run.name}",
        sections=[("summary", "Summary"), ("timelines", "Timelines"), ("provenance", "Provenance")],
        cards=[
            (str(events), "event" if events == 1 else "events"),
            (f"{detector.threshold.value:.3f}", "threshold"),
            (str(frames), f"frames, {60 * hours:.1f} min of video"),
            (f"{frames / max(seconds, 1e-9):.1f}", "frames a second here"),
        ],
        notes=[
            f"Threshold: {detector.threshold.note}.",
            *(f"{one.source.name}: {text}." for one in found for text in one.warnings),
        ],
        timelines=[_timeline(one, detector) for one in found],
        timeline_text=(
            f"{detector.scale.unit}; the dashed line is the threshold, marks at the bottom are "
            "events. Point at a line, or move the slider, to see the frame and its heat map."
        ),
        events=[
            (one.source.name, number, [_spoken(event) for event in one.events])
            for number, one in enumerate(found)
        ],
        facts=[
            ("Run", detector.run.name),
            ("Protocol", detector.protocol),
            ("η", ", ".join(f"{by_name(n).label} {w:.2f}" for n, w in detector.eta.items())),
            ("Delay", f"at most {detector.delay} frames"),
        ],
        provenance=json.dumps(content, indent=1, ensure_ascii=False),
        footer="Frames and heat maps are embedded; the page needs no network.",
    )
    write_text(path, text)
    return path


def _timeline(one: Found, detector: Detector) -> Timeline:
    series = {by_name(name).label: np.array(values) for name, values in one.seen.omegas.items()}
    if len(series) > 1:
        series["ω_agg"] = np.array(one.seen.total)
    dropped = f", {one.source.dropped} dropped" if one.source.dropped else ""
    return Timeline(
        name=one.source.name,
        frames=one.frames,
        first=0,
        series=series,
        colors={by_name(name).label: by_name(name).COLOR for name in one.seen.omegas},
        fps=one.fps,
        threshold=detector.threshold.value,
        events=[(event.first, event.last) for event in one.events],
        thumbnails=one.seen.pictures,
        text=f"{one.frames} frames{dropped}, {many(len(one.events), 'event')}",
    )


def _spoken(event: Event) -> dict[str, str]:
    return {
        "start": f"{event.start:.2f}",
        "end": f"{event.end:.2f}",
        "peak": f"{event.peak_time:.2f}",
        "score": f"{event.score:.3f}",
    }
