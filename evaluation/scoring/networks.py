"""What the networks say of every frame: errors of A^s and A^t, probabilities of D.

For frame t the autoencoders see the window t-8 ... t+7 and are judged on t, its 9th frame
(docs/method.md, 8).
At a video's ends the window repeats the first or the last frame, so every frame has a value;
the protocol ``lntra`` leaves those frames out.

Held-out normal training videos are scored with their pseudo-anomalies beside them, which is
what label-free choices are made on (:mod:`evaluation.measures.fusion`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evaluation.protocols.local.scores import add_local
from evaluation.scoring.normal_clips import score_clips
from evaluation.scoring.run import Run, network_provenance, versions
from evaluation.scoring.scores import is_saved, save_index, save_video
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import Dataset, VideoInfo

if TYPE_CHECKING:
    from torch import nn

STAGES = {
    "spatial": ("frames", "inpaint"),
    "temporal": ("flow", "mixed_flow"),
    "discriminator": ("features", "pa_features"),
}
"""For each indicator the stages of the video itself and of its pseudo-anomalies."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How frames are scored; part of the provenance of every result."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """fp32, or bf16 for processors that have it: faster, AUC equal to 1e-3."""

    batch: int = 8
    """Windows that a network sees at once."""

    stride: int = 1
    """Frames from one window to the next: 1 judges each frame as the 9th of its own window,
    16 is the cheapest look, in which all frames of disjoint windows are judged."""

    maps: int = 64
    """Side in cells of the error maps that are saved; 0 saves none."""

    movers: bool = True
    """Also score held-out normal videos with movers in them (:mod:`evaluation.scoring.movers`), on
    which η is chosen."""

    features_model: str = ""
    """For movers and D on ViFi-CLIP or CLIP features: where that model lies."""

    device: str = "auto"
    """auto (a GPU if there is one), cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise ConfigurationError(
                f"scoring.precision: {self.precision!r} is neither fp32 nor bf16"
            )
        if self.batch < 1:
            raise ConfigurationError(f"scoring.batch: {self.batch} is below 1")
        if not 1 <= self.stride <= 16:
            raise ConfigurationError(f"scoring.stride: {self.stride} is not in 1 ... 16")
        if self.maps < 0:
            raise ConfigurationError(f"scoring.maps: {self.maps} is below 0")


@dataclass(frozen=True)
class Trained:
    """A network that is ready to score, and what it is to be shown."""

    network: nn.Module
    settings: dict[str, Any]
    flow_scale: float | None
    measure: Literal["frame", "clip"] = "frame"


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
    fingerprint = json.dumps(
        {key: provenance[key] for key in ("scoring", "keys", "fingerprints")} | {"format": 2},
        sort_keys=True,
    )
    folder = run.out / "scores"
    videos = [(video, False) for video in run.test_videos]
    videos += [(video, True) for video in run.heldout_videos]
    if not run.test_videos:
        raise ConfigurationError(
            f"{run.dataset.path}: has no videos of the split {run.dataset.evaluate!r} to evaluate"
        )
    missing = [item for item in videos if not is_saved(folder, item[0].name, fingerprint)]
    if not missing:
        progress(f"scores: nothing to do, all {len(videos)} videos are scored in {folder}")
    networks = load_networks(run, settings) if missing else {}
    for number, (video, heldout) in enumerate(missing, 1):
        progress(f"scores: {number}/{len(missing)} {video.name}, {video.frames} frames")
        values = score_video(run.dataset, video, networks, settings)
        if heldout:
            values |= score_video(run.dataset, video, networks, settings, pseudo=True)
            if settings.movers:
                values |= score_movers(run.dataset, video, networks, settings)
        save_video(folder, video.name, values, fingerprint)
    clips = score_clips(run, settings, fingerprint, networks, progress)
    save_index(folder, provenance, [video for video, _ in videos], [one.info for one in clips])
    add_local(run, progress)
    return folder


def make_provenance(run: Run, settings: Scoring) -> dict[str, Any]:
    """Return what scores are made from: settings, shard keys, networks, versions."""
    networks = {name: network_provenance(run.folder / name) for name in run.networks}
    first = next(iter(networks.values()))
    return {
        "dataset": run.dataset.name,
        "run": run.name,
        "method": first["method"],
        "seed": first["seed"],
        "scoring": asdict(settings),
        "dataset_settings": run.dataset.settings,
        "keys": run.dataset.keys,
        "measures": {name: measure_of(entry["architecture"]) for name, entry in networks.items()},
        "fingerprints": {name: entry["weights_sha256"] for name, entry in networks.items()},
        "networks": networks,
        "versions": versions(),
    }


def load_networks(
    run: Run, settings: Scoring, wanted: tuple[str, ...] = tuple(STAGES)
) -> dict[str, Trained]:
    """Load the run's networks, those that are wanted, onto the device."""
    networks: dict[str, Trained] = {}
    names = [name for name in run.networks if name in wanted]
    if not names:
        return networks
    from training.record.folder import load_trained

    device = choose_device(settings.device)
    for name in names:
        network, recipe = load_trained(run.folder / name)
        if recipe["kind"] != name:
            raise DataError(
                f"{run.folder / name}: holds a network of kind {recipe['kind']}, not {name}; "
                "train it into a folder of its own kind"
            )
        scale = run.dataset.settings.get("flow_scale") if name == "temporal" else None
        if name == "temporal":
            scale = recipe["data"].get("flow_scale", scale)
        networks[name] = Trained(
            network.to(device).eval(), recipe["settings"], scale, measure_of(recipe["architecture"])
        )
    return networks


def measure_of(architecture: dict[str, Any]) -> Literal["frame", "clip"]:
    """Return how a network judges a frame: one with a memory as MemAE does, by its clip."""
    return "clip" if architecture.get("memory", {}).get("slots") else "frame"


def choose_device(name: str) -> Any:
    """Return the torch device that a setting names."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError(f"scoring.device: {name!r}: {error}") from None


def score_video(
    dataset: Dataset,
    video: VideoInfo,
    networks: dict[str, Trained],
    settings: Scoring,
    pseudo: bool = False,
) -> dict[str, np.ndarray]:
    """Return a video's raw scores, or those of its pseudo-anomalies.

    Returns
    -------
    dict
        Arrays as in :mod:`evaluation.scoring.scores`, their names with ``_pa`` for
        pseudo-anomalies.
    """
    suffix = "_pa" if pseudo else ""
    values = {}
    for name, trained in networks.items():
        stage = STAGES[name][pseudo]
        if name == "discriminator":
            values[name + suffix] = probabilities(
                dataset.arrays(stage, video.name)["feature"], trained.network
            )
            continue
        read = reader(dataset, video, stage, trained)
        errors, maps = reconstruction_errors(read, video.frames, trained, settings)
        values[name + suffix] = errors
        if maps is not None:
            values[f"{name}{suffix}_map"] = maps
    return values


def score_movers(
    dataset: Dataset, video: VideoInfo, networks: dict[str, Trained], settings: Scoring
) -> dict[str, np.ndarray]:
    """Return the raw scores of a held-out video with movers in it, names with ``_mover``."""
    from evaluation.scoring.movers import Movers
    from pipeline.stages.live import Live
    from training.feed.reading import area_resize

    movers = Movers(dataset, video, Live(dataset, settings.features_model))
    values = {}
    for name, trained in networks.items():
        if name == "discriminator":
            chunks = range(0, video.frames, 64)
            features = [movers.features(t, min(t + 64, video.frames)) for t in chunks]
            values["discriminator_mover"] = probabilities(np.concatenate(features), trained.network)
            continue
        stored = movers.frames if name == "spatial" else movers.flow
        size = trained.settings["size"]

        def read(start: int, stop: int, stored=stored, size=size) -> np.ndarray:  # type: ignore[no-untyped-def]
            return area_resize(stored(start, stop), size)

        errors, maps = reconstruction_errors(read, video.frames, trained, settings)
        values[f"{name}_mover"] = errors
        if maps is not None:
            values[f"{name}_mover_map"] = maps
    values["flow_mover_map"] = movers.velocity().astype(np.float16)
    return values


def reader(
    dataset: Dataset, video: VideoInfo, stage: str, trained: Trained
) -> Callable[[int, int], np.ndarray]:
    """Return a function from (first, last + 1) to what a network's clips are made of."""
    from training.feed.reading import read_flow, read_frames

    read = read_flow if stage in ("flow", "mixed_flow") else read_frames
    size = trained.settings["size"]
    return lambda start, stop: read(dataset, video.name, start, stop, size=size, stage=stage)


def reconstruction_errors(
    read: Callable[[int, int], np.ndarray], frames: int, trained: Trained, settings: Scoring
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return each frame's error (N,) float64 and its map (N, h, h) float16."""
    from evaluation.scoring import sliding

    return sliding.score_video(
        trained.network,
        read,
        frames,
        flow_scale=trained.flow_scale,
        display=trained.settings["display"],
        stride=settings.stride,
        measure=trained.measure,
        batch=settings.batch,
        precision=settings.precision,
        maps=settings.maps,
    )


def probabilities(features: Any, network: nn.Module, chunk: int = 4096) -> np.ndarray:
    """Return D's probability of a pseudo-anomaly for features (N, D), as (N,) float64."""
    import torch

    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(features), chunk):
            part = torch.from_numpy(np.asarray(features[start : start + chunk], np.float32))
            parts.append(torch.sigmoid(network(part.to(device))).double().cpu().numpy())
    return np.concatenate(parts)
