"""The AUC table of one run: every row under every protocol, with what it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from evaluation.indicators.base import Indicator
from evaluation.indicators.registry import INDICATORS, by_name, ready, with_error_map
from evaluation.measures import fusion
from evaluation.measures.heat import map_limits
from evaluation.measures.metrics import UndefinedMeasure
from evaluation.measures.results import Fusing, apply, row
from evaluation.protocols import base as protocols
from evaluation.protocols.base import Protocol
from evaluation.record.run import Run
from evaluation.record.scores import RunScores, open_scores
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import write_json

FORMAT = 1


def evaluate(run: Run, settings: Fusing) -> dict[str, Any]:
    """Fuse a run's saved scores, write metrics.json, and return its content."""
    scores = open_scores(run.out / "scores")
    check_fresh(run, scores)
    results, notes, frames, anomalous = [], [], {}, {}
    for protocol in settings.protocols:
        scored = apply(scores, run.dataset, protocol)
        notes += [f"{protocol}: {note}" for note in scored.notes]
        frames[str(protocol)] = sum(len(part) for part in scored.truth)
        anomalous[str(protocol)] = int(sum(part.sum() for part in scored.truth))
        for label, names in protocol.kind.rows():
            if set(names) <= set(scored.indicators):
                results.append(row(label, names, scored, scores, settings))
    if not results:
        raise ConfigurationError(
            f"fusing.protocols: none of {', '.join(map(str, settings.protocols))} has an indicator "
            f"of {run.folder} ({', '.join(one.NAME for one in ready(run))}); add "
            "{name: local, normalise: heldout}, which judges by maps, or train a network"
        )
    content = {
        "format": FORMAT,
        "results": results,
        "notes": notes,
        "scored_frames": frames,
        "anomalous_frames": anomalous,
        "not_trained": [one.NAME for one in INDICATORS if one.NETWORK and not one.ready(run)],
        "fusing": asdict(settings),
        "test_videos": len(run.test_videos),
        "labelled_videos": sum(video.labelled for video in run.test_videos),
        "heldout_videos": [video.name for video in run.heldout_videos],
        "regions": regions(run, scores, settings),
        "detector": detector_calibration(run, scores, settings),
        **{key: value for key, value in scores.provenance.items() if key != "format"},
    }
    write_json(run.out / "metrics.json", content)
    return content


def check_fresh(run: Run, scores: RunScores) -> None:
    """Raise DataError unless the scores are of the run's present networks and shards."""
    marks = {one.NAME: one.fingerprint(run) for one in ready(run)}
    now = {name: mark for name, mark in marks.items() if mark}
    contents = run.dataset.contents()
    scored = scores.provenance.get("contents", contents)
    replaced = any(scored.get(name) != contents.get(name) for name in scores.videos)
    same = (now, run.dataset.keys) == (scores.provenance["fingerprints"], scores.provenance["keys"])
    if replaced or not same:
        raise DataError(
            f"{scores.folder}: was scored with other weights or shards than are there now; run "
            f"`python -m evaluation score --run {run.folder}`"
        )


def detector_calibration(run: Run, scores: RunScores, settings: Fusing) -> dict[str, Any] | None:
    """Return what a stream is scored with: limits and η from held-out normal videos alone."""
    protocol = Protocol(name="dense", normalise="heldout")
    held = scores.select(holdout=True)
    if not held:
        return None
    limits = protocols.heldout_limits(held, protocol)
    names = protocol.kind.available(held[0])
    if not names:
        return None
    if len(names) == 1:
        eta = {names[0]: 1.0}
    else:
        labels, omegas = fusion.imagined(held, protocol, limits, settings.pseudo)
        eta = fusion.best(names, labels, omegas, "label-free", settings.steps).eta
    maps = heldout_maps(scores)
    return {
        "protocol": asdict(protocol),
        "limits": limits,
        "eta": eta,
        "map_limits": map_limits({n: m for n, m in maps.items() if eta.get(n)} or maps),
    }


def heldout_maps(scores: RunScores) -> dict[str, np.ndarray]:
    """Return the error maps (N, h, w) of all held-out normal frames by indicator, if saved."""
    pooled: dict[str, list[np.ndarray]] = {}
    for video in scores.videos.values():
        if video.holdout:
            values = scores.load(video.name, maps=True).values
            for name in with_error_map():
                if f"{name}_map" in values:
                    pooled.setdefault(name, []).append(values[f"{name}_map"])
    return {name: np.concatenate(parts) for name, parts in pooled.items()}


def regions(run: Run, scores: RunScores, settings: Fusing) -> dict[str, Any]:
    """Return RBDC and TBDC of each autoencoder's error maps, or why there are none."""
    from evaluation.measures.regions import region_criteria

    if not settings.regions:
        return {}
    videos = [
        video
        for video in run.test_videos
        if video.labelled and "pixel_mask" in run.dataset.arrays("labels", video.name)
    ]
    result: dict[str, Any] = {}
    for name in with_error_map() if videos else ():
        if not by_name(name).ready(run):
            continue
        raw = [scores.load(video.name, maps=True).values.get(f"{name}_map") for video in videos]
        if any(one is None for one in raw):
            result[name] = {"undefined": "no error maps were saved; set scoring.maps above 0"}
            continue
        maps = [smoothed(one, settings.region_window) for one in raw if one is not None]
        pooled = np.concatenate([one[:, ::4, ::4].ravel() for one in maps])
        thresholds = np.unique(np.quantile(pooled, 1 - np.geomspace(1e-5, 0.5, settings.regions)))
        masks = (run.dataset.arrays("labels", video.name)["pixel_mask"] for video in videos)
        pairs = ((m, mask[0 : len(mask)]) for m, mask in zip(maps, masks, strict=True))
        try:
            result[name] = asdict(region_criteria(pairs, thresholds))  # type: ignore[arg-type]
        except UndefinedMeasure as error:
            result[name] = {"undefined": str(error)}
    return result


def smoothed(maps: np.ndarray, window: int) -> np.ndarray:
    """Average maps (N, h, w) over squares of ``window`` cells, (N, h, w) float32."""
    import cv2

    return np.stack([cv2.blur(one.astype(np.float32), (window, window)) for one in maps])


def table(content: dict[str, Any]) -> str:
    """Return the AUC table for a terminal."""
    shown = {e["protocol"]: weighed(content, e["protocol"]) for e in content["results"]}
    order = "; ".join(
        f"{name}: " + ", ".join(one.OMEGA or one.SYMBOL for one in part)
        for name, part in shown.items()
    )
    lines = [
        f"{content['run']}: {content['labelled_videos']} of {content['test_videos']} test videos "
        "have labels; AUC in %, η label-free unless said",
        f"{'protocol':<16}{'row':<13}{'micro AUC':>10}{'95 % interval':>16}{'smoothed':>10}"
        f"{'macro':>8}{'EER':>7}{'tuned-on-test':>15}  η ({order})",
    ]
    lines += [_line(entry, shown[entry["protocol"]]) for entry in content["results"]]
    if content["not_trained"]:
        lines.append(f"not trained, so without rows: {', '.join(content['not_trained'])}")
    lines += [f"note: {note}" for note in content["notes"]]
    return "\n".join(lines)


def weighed(content: dict[str, Any], protocol: str) -> list[Indicator]:
    """Return the indicators whose weights rows show: the paper's, and what is there."""
    there = {name for e in content["results"] if e["protocol"] == protocol for name in e["eta"]}
    return [one for one in INDICATORS if one.OMEGA or one.NAME in there]


def _line(entry: dict[str, Any], shown: Sequence[Indicator]) -> str:
    head = f"{entry['protocol'] + '/' + entry['normalise']:<16}{entry['row']:<13}"
    weights = ", ".join(f"{entry['eta'].get(one.NAME, 0):.2f}" for one in shown)
    if entry["micro_auc"] is None:
        return f"{head}{entry['undefined']}  ({weights})"
    interval = entry.get("micro_auc_interval")
    between = f"{100 * interval['low']:.1f}-{100 * interval['high']:.1f}" if interval else "-"
    tuned = entry.get("tuned_on_test")
    optimistic = f"{100 * tuned['micro_auc']:.2f}" if tuned else "-"
    smooth = entry.get("smoothed_micro_auc")
    steady = f"{100 * smooth:.2f}" if smooth is not None else "-"
    return (
        f"{head}{100 * entry['micro_auc']:>10.2f}{between:>16}{steady:>10}"
        f"{100 * entry['macro_auc']:>8.2f}"
        f"{100 * entry['eer']:>7.2f}{optimistic:>15}"
        f"  ({weights})"
    )


def heldout_fused(scores: RunScores, calibration: dict[str, Any]) -> list[np.ndarray]:
    """Return ω_agg of the held-out normal videos on the scale of a stream."""
    protocol = Protocol(**calibration["protocol"])
    held = scores.select(holdout=True)
    limits = calibration["limits"]
    return [
        fusion.fuse(part, calibration["eta"]) for part in protocols.omegas(held, protocol, limits)
    ]
