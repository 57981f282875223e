"""Scores of a run: every indicator over every video, saved as they come.

Every frame has a value; the protocol ``lntra`` leaves those at a video's ends out. Held-out normal
training videos are scored with their pseudo-anomalies beside them, which is what label-free
choices are made on (:mod:`evaluation.measures.fusion`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.indicators.base import Stream, run_through
from evaluation.indicators.registry import by_name, ready
from evaluation.indicators.settings import Scoring
from evaluation.protocols.registry import PROTOCOLS
from evaluation.record.material import PSEUDO, Material, Stored
from evaluation.record.run import Run, network_provenance, versions
from evaluation.record.scores import is_saved, save_index, save_video
from evaluation.record.stretches import normal_stretches, whole
from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import VideoInfo

Streams = Mapping[str, Callable[[], Stream]]
"""By indicator, how to begin its stream."""


def score_run(run: Run, settings: Scoring, progress: Callable[[str], object] = print) -> Path:
    """Score the test videos and the held-out normal ones of a run; return its scores folder.

    Videos that were scored with the same settings, shards and networks are left alone, so
    an interrupted scoring goes on where it stopped.

    Raises
    ------
    ConfigurationError, DataError
        If a stage or a network is missing, or they do not fit together.
    """
    provenance = make_provenance(run, settings)
    made = {key: provenance[key] for key in ("scoring", "keys", "fingerprints")} | {"format": 2}

    def mark(video: VideoInfo) -> str:
        """What a video's scores are made from: a file that was replaced is another video."""
        return json.dumps(made | {"video": provenance["contents"][video.name]}, sort_keys=True)

    folder = run.out / "scores"
    videos = [*run.test_videos, *run.heldout_videos]
    if not run.test_videos:
        raise ConfigurationError(
            f"{run.dataset.path}: has no videos of the split {run.dataset.evaluate!r} to evaluate"
        )
    missing = [video for video in videos if not is_saved(folder, video.name, mark(video))]
    stretches = normal_stretches(run.dataset)
    normal = [one for one in stretches if not is_saved(folder, one.name, mark(one.video))]
    if not missing:
        progress(f"scores: nothing to do, all {len(videos)} videos are scored in {folder}")
    streams = load_indicators(run, settings) if missing or normal else {}
    for number, video in enumerate(missing, 1):
        progress(f"scores: {number}/{len(missing)} {video.name}, {video.frames} frames")
        save_video(folder, video.name, score_video(run, video, streams, settings), mark(video))
    if normal:
        progress(f"scores: {len(normal)} stretches of normal training videos")
    for one in normal:
        values = score(Stored(run.dataset, one), streams, "")
        kept = {name: array for name, array in values.items() if name.endswith("_map")}
        save_video(folder, one.name, kept, mark(one.video))
    save_index(folder, provenance, videos, [one.info for one in stretches])
    for protocol in PROTOCOLS:
        protocol.prepare(run, progress)
    return folder


def make_provenance(run: Run, settings: Scoring) -> dict[str, Any]:
    """Return what scores are made from: settings, shard keys, indicators, versions.

    Raises
    ------
    ConfigurationError
        If the run has nothing to score it by.
    """
    indicators = ready(run)
    if not indicators:
        raise ConfigurationError(
            f"run: {run.folder} holds no network trained to its end, and there are no shards of "
            "flow; `make DATASET.train` trains, `make DATASET.shards` makes shards"
        )
    networks = {
        one.NAME: network_provenance(run.folder / one.NAME) for one in indicators if one.NETWORK
    }
    first = next(iter(networks.values()), {"method": "", "seed": None})
    marks = {one.NAME: one.fingerprint(run) for one in indicators}
    return {
        "dataset": run.dataset.name,
        "run": run.name,
        "method": first["method"],
        "seed": first["seed"],
        "scoring": asdict(settings),
        "dataset_settings": run.dataset.settings,
        "keys": run.dataset.keys,
        "contents": run.dataset.contents(),
        "measures": {
            name: by_name(name).measure(entry["architecture"]) for name, entry in networks.items()
        },
        "fingerprints": {name: mark for name, mark in marks.items() if mark},
        "networks": networks,
        "versions": versions(),
    }


def load_indicators(run: Run, settings: Scoring) -> dict[str, Callable[[], Stream]]:
    """Load what each indicator needs of which numbers are saved."""
    return {one.NAME: one.load(run, settings) for one in ready(run)}


def score_video(
    run: Run, video: VideoInfo, streams: Streams, settings: Scoring
) -> dict[str, np.ndarray]:
    """Return a video's raw scores, of a held-out one with those of what was put into it.

    Returns
    -------
    dict
        Arrays as in :mod:`evaluation.record.scores`.
    """
    values = score(Stored(run.dataset, whole(video)), streams, "")
    if not video.holdout:
        return values
    # Without a network there may be no shards of pseudo-anomalies, and nothing to weigh by them.
    trained = any(by_name(name).NETWORK for name in streams)
    there = {stage for stage, pseudo in PSEUDO.items() if pseudo in run.dataset.stages}
    if trained:
        there = set(PSEUDO)
    seen = {n: begin for n, begin in streams.items() if there >= set(by_name(n).READS)}
    values |= score(Stored(run.dataset, whole(video), pseudo=True), seen, "_pa")
    if settings.movers and (trained or "masks" in run.dataset.stages):
        values |= score_movers(run, video, streams, settings)
    return values


def score(material: Material, streams: Streams, suffix: str) -> dict[str, np.ndarray]:
    """Return what the indicators say of a material, their names with a suffix.

    What an indicator does not save is left out, but for movers, of which there are no shards.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in streams:
        if by_name(name).SAVED or suffix == "_mover":
            groups.setdefault(by_name(name).READS, []).append(name)
    values = {}
    for reads, names in groups.items():
        parts = run_through([streams[name]() for name in names], material, reads)
        for name, found in zip(names, parts, strict=True):
            if found.values is not None:
                values[name + suffix] = found.values
            if found.maps is not None:
                values[f"{name}{suffix}_map"] = found.maps.astype(np.float16)
    return values


def score_movers(
    run: Run, video: VideoInfo, streams: Streams, settings: Scoring
) -> dict[str, np.ndarray]:
    """Return the raw scores of a held-out video with movers in it, names with ``_mover``."""
    from evaluation.scoring.movers import Movers
    from pipeline.stages.live import Live

    movers = Movers(run.dataset, video, Live(run.dataset, settings.features_model))
    return score(movers, streams, "_mover")
