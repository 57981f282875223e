"""Which test videos lose, and why: a row of the AUC table, video by video.

``python -m evaluation videos --run RUN`` prints the table. It looks at the test labels, and so
must choose nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evaluation.indicators.registry import with_error_map
from evaluation.measures.metrics import UndefinedMeasure, micro_auc
from evaluation.measures.results import apply
from evaluation.protocols.base import Protocol
from evaluation.protocols.local.scores import stretch_maps
from evaluation.record.run import Run, read_metrics
from evaluation.record.scores import RunScores, open_scores
from evaluation.record.stretches import whole
from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import VideoInfo

MOVING = 0.3 / 4
"""Something moves in a cell: 0.3 px of a 256 px frame a frame, in cells of 4 px."""


@dataclass(frozen=True)
class VideoRow:
    """What a video contributes.

    Attributes
    ----------
    video
        Its name.
    frames
        That are scored.
    anomalous
        Share of them that is anomalous.
    auc
        Of this video alone; None where all its frames are of one kind.
    anomalous_score, normal_score
        Means over frames of either kind; None where there are none.
    moving
        Share of the picture in which something moves.
    error_moving
        Share of the error there; None for rows of several indicators, and D.
    """

    video: str
    frames: int
    anomalous: float
    auc: float | None
    anomalous_score: float | None
    normal_score: float | None
    moving: float | None
    error_moving: float | None


def by_video(run: Run, row: str, protocol: Protocol) -> dict[str, Any]:
    """Return a row of the table by video, and what it is without videos of one kind.

    Returns
    -------
    dict
        ``videos`` (one :class:`VideoRow` each, as a dict), ``micro_auc``, and
        ``micro_auc_both_kinds`` over the videos that have normal and anomalous frames.

    Raises
    ------
    ConfigurationError
        If the run has no such row, or no test video has labels.
    """
    entries = read_metrics(run.out)["results"]
    ours = [e for e in entries if (e["protocol"], e["normalise"]) == _key(protocol)]
    found = [entry for entry in ours if entry["row"] == row]
    if not found:
        there = "; ".join(
            dict.fromkeys(f"{e['protocol']}/{e['normalise']} {e['row']}" for e in entries)
        )
        raise ConfigurationError(f"row: {run.folder} has no {protocol} {row!r}; it has {there}")
    scores = open_scores(run.out / "scores")
    scored = apply(scores, run.dataset, protocol)
    eta = found[0]["eta"]
    used = [name for name, weight in eta.items() if weight]
    name = used[0] if len(used) == 1 and used[0] in with_error_map() else None
    rows = [
        _row(run, scores, video, truth, values, protocol, name)
        for video, truth, values in zip(
            scored.videos, scored.labels, scored.fused(eta), strict=True
        )
        if truth is not None
    ]
    if not rows:
        raise ConfigurationError(f"{run.dataset.path}: no test video has labels")
    truths, fused = scored.truth, scored.labelled(scored.fused(eta))
    both = [i for i, truth in enumerate(truths) if 0 < truth.mean() < 1]
    return {
        "row": row,
        "protocol": str(protocol),
        "videos": [asdict(one) for one in rows],
        "micro_auc": _auc(truths, fused),
        "micro_auc_both_kinds": _auc([truths[i] for i in both], [fused[i] for i in both]),
    }


def _key(protocol: Protocol) -> tuple[str, str]:
    return protocol.name, protocol.normalise


def _row(
    run: Run,
    scores: RunScores,
    video: VideoInfo,
    truth: np.ndarray,
    values: np.ndarray,
    protocol: Protocol,
    name: str | None,
) -> VideoRow:
    odd, normal = values[truth == 1], values[truth == 0]
    moving = error_moving = None
    if "flow" in run.dataset.stages:
        maps = stretch_maps(run, scores, whole(video))
        where = np.linalg.norm(maps["flow"], axis=-1) > MOVING
        where = where[protocol.scored(video.frames)]
        moving = float(where.mean())
        if name in maps:
            error = maps[name][protocol.scored(video.frames), ..., 0]
            error_moving = float(error[where].sum() / max(float(error.sum()), 1e-30))
    return VideoRow(
        video.name,
        len(truth),
        float(truth.mean()),
        _auc([truth], [values]),
        float(odd.mean()) if len(odd) else None,
        float(normal.mean()) if len(normal) else None,
        moving,
        error_moving,
    )


def _auc(truths: list[np.ndarray], values: list[np.ndarray]) -> float | None:
    try:
        return micro_auc(np.concatenate(truths), np.concatenate(values)) if truths else None
    except UndefinedMeasure:
        return None


def table(content: dict[str, Any]) -> str:
    """Return what :func:`by_video` found, for a terminal."""
    lines = [
        f"{content['row']}, {content['protocol']}; scores as means, shares in %",
        f"{'video':<16}{'frames':>7}{'anomalous':>10}{'AUC':>8}{'score: anomalous':>18}"
        f"{'normal':>8}{'moving':>8}{'error there':>13}",
    ]
    lines += [
        f"{one['video']:<16}{one['frames']:>7}{_share(one['anomalous']):>10}"
        f"{_share(one['auc'], 2):>8}{_number(one['anomalous_score']):>18}"
        f"{_number(one['normal_score']):>8}{_share(one['moving']):>8}"
        f"{_share(one['error_moving']):>13}"
        for one in content["videos"]
    ]
    lines.append(
        f"micro AUC {_share(content['micro_auc'], 2)}; over the videos that have frames of both "
        f"kinds {_share(content['micro_auc_both_kinds'], 2)}"
    )
    return "\n".join(lines)


def _share(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
