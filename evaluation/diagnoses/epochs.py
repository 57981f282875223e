"""Curves over epochs: a diagnostic that looks at the test labels, and so must choose nothing.

A training that was told ``--snapshots 1`` keeps its weights after every epoch. Each of them is
scored here as the finished network is, and its micro AUC set over the epoch: whether more
training helps or hurts. The epoch that results are given for is always the last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.indicators.base import run_through
from evaluation.indicators.reconstruction import Reconstruction
from evaluation.indicators.registry import by_name
from evaluation.indicators.settings import Scoring
from evaluation.measures.metrics import UndefinedMeasure, micro_auc
from evaluation.measures.results import read_labels
from evaluation.protocols.base import Protocol, omegas
from evaluation.record.material import Stored
from evaluation.record.run import Run, network_provenance
from evaluation.record.scores import VideoScores
from evaluation.record.stretches import whole
from pipeline.base.errors import ConfigurationError
from pipeline.base.files import sha256_of_file, write_json
from pipeline.shards.reader import VideoInfo

PROTOCOL = Protocol(name="lntra", normalise="video")


def epoch_curve(
    run: Run,
    network: str,
    settings: Scoring,
    progress: Callable[[str], object] = print,
) -> list[dict[str, Any]]:
    """Score every snapshot of a network and write RUN/epochs-NETWORK.json and its figure.

    What was scored already with these settings is not scored again.

    Returns
    -------
    list of dict
        ``epoch``, ``micro_auc_on_test`` (under lntra/video), ``heldout_error`` (mean squared
        error of held-out normal videos, None without any), ``weights`` and ``scoring``.

    Raises
    ------
    ConfigurationError
        If the training kept no snapshots.
    """
    indicator = by_name(network)
    if not isinstance(indicator, Reconstruction):
        raise ConfigurationError(f"network: {network!r} is no autoencoder of the run")
    snapshots = sorted((run.folder / network / "epochs").glob("*.safetensors"))
    if not snapshots:
        raise ConfigurationError(
            f"{run.folder / network / 'epochs'}: holds no snapshots; train with --snapshots 1 "
            "(make: TRAINING_OPTIONS='--snapshots 1'; a finished training also with --overwrite)"
        )
    settings = dataclasses.replace(settings, maps=0, movers=False)
    path = run.out / f"epochs-{network}.json"
    known = json.loads(path.read_text(encoding="utf-8"))["epochs"] if path.exists() else []
    curve = []
    for file in snapshots:
        made_of = {"weights": sha256_of_file(file), "scoring": dataclasses.asdict(settings)}
        same = [one for one in known if {k: one[k] for k in made_of} == made_of]
        if not same:
            progress(f"epochs: {network} after epoch {int(file.stem)}")
        found = same[0] if same else _measure(run, indicator, file, settings)
        curve.append({"epoch": int(file.stem), **found, **made_of})
        write_json(path, {"format": 1, "looks_at": "test labels", "epochs": curve})
    draw(run, network, curve)
    return curve


def _measure(
    run: Run, indicator: Reconstruction, weights: Path, settings: Scoring
) -> dict[str, Any]:
    begin = indicator.load(run, settings, weights)
    architecture = network_provenance(run.folder / indicator.NAME)["architecture"]
    measures = {indicator.NAME: indicator.measure(architecture)}

    def errors(video: VideoInfo) -> np.ndarray:
        (part,) = run_through([begin()], Stored(run.dataset, whole(video)), indicator.READS)
        assert part.values is not None
        return part.values

    tests = [video for video in run.test_videos if video.labelled]
    scores = [VideoScores(v, {indicator.NAME: errors(v)}, measures) for v in tests]
    labels = [read_labels(run.dataset, video) for video in tests]
    scored = [
        part[PROTOCOL.scored(video.frames)]
        for part, video in zip(labels, tests, strict=True)
        if part is not None
    ]
    held = [errors(video) for video in run.heldout_videos]
    auc = None
    if tests:
        values = np.concatenate([one[indicator.NAME] for one in omegas(scores, PROTOCOL)])
        with contextlib.suppress(UndefinedMeasure):  # frames of one class alone
            auc = micro_auc(np.concatenate(scored), values)
    return {
        "micro_auc_on_test": auc,
        "heldout_error": float(np.concatenate(held).mean()) if held else None,
    }


def draw(run: Run, network: str, curve: list[dict[str, Any]]) -> None:
    """Write the figure ``epochs-NETWORK``, its axis saying what it looks at."""
    from evaluation.report import figures

    figure, axes = figures.new_figure(1, 2, 7.2, 2.8)
    epochs = [one["epoch"] for one in curve]
    for axis, key, label, factor in (
        (axes[0, 0], "micro_auc_on_test", "micro AUC in %, by the test labels", 100),
        (axes[0, 1], "heldout_error", "error of held-out normal videos", 1),
    ):
        values = [np.nan if one[key] is None else factor * one[key] for one in curve]
        axis.plot(epochs, values, marker=".")
        axis.set(xlabel="epoch", ylabel=label)
    figures.save(figure, run.out, f"epochs-{network}")
