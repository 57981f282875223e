"""A small data set of shards and a run with small random networks, in the real formats."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

SIZE = 32
FEATURES = 6


def make_shards(folder, name="tiny", labelled=True, heldout=True, tests=2, frames=30, fps=10.0):
    """Write shards and shards.json of a square that moves over noise; return its path.

    In test videos the square turns bright and fast for frames 12 ... 20.
    """
    from pipeline.shards.shard import write_shard

    rng = np.random.default_rng(0)
    videos, stages = [], {}
    names = [f"train/0{n}" for n in range(3)] + [f"test/0{n}" for n in range(1, tests + 1)]

    def put(stage, video, arrays):
        entry = stages.setdefault(
            stage,
            {
                "key": f"key-{stage}",
                "recipe": {"stage": stage, "settings": {}},
                "folder": str(folder / "cache" / stage),
                "arrays": {
                    key: {"dtype": str(a.dtype), "shape": list(a.shape[1:])}
                    for key, a in arrays.items()
                },
                "videos": {},
            },
        )
        entry["videos"][video] = {"folder": video, "frames": len(next(iter(arrays.values())))}
        write_shard(folder / "cache" / stage / video / "00000.h5", arrays, {})

    for video in names:
        split = video.split("/")[0]
        label = np.zeros(frames, np.uint8)
        if split == "test":
            label[12:21] = 1
        image = rng.integers(90, 110, (frames, SIZE, SIZE, 3)).astype(np.uint8)
        flow = rng.normal(0, 0.05, (frames - 1, SIZE, SIZE, 2))
        mask = np.zeros((frames, SIZE, SIZE), np.uint8)
        for t in range(frames):
            left = t % (SIZE - 8)
            image[t, 8:16, left : left + 8] = 255 if label[t] else 140
            mask[t, 8:16, left : left + 8] = 1
            if t < frames - 1:
                flow[t, 8:16, left : left + 8, 0] = 4 if label[t] else 1
        feature = rng.normal(label[:, None] * 2.0, 1, (frames, FEATURES)).astype(np.float32)
        videos.append(
            {
                "name": video,
                "split": split,
                "frames": frames,
                "scene": "",
                "labelled": labelled and split == "test",
                "holdout": heldout and video == "train/02",
                "fps": fps,
            }
        )
        put("frames", video, {"image": image})
        put("flow", video, {"flow": flow.astype(np.float16)})
        put("features", video, {"feature": feature})
        if split == "train":
            pseudo = np.where(mask[..., None] > 0, 255, image).astype(np.uint8)
            put("masks", video, {"mask": mask})
            put("inpaint", video, {"image": pseudo})
            put("mixed_flow", video, {"flow": (flow * 4).astype(np.float16)})
            put("pa_features", video, {"feature": feature + 2})
        elif labelled:
            put("labels", video, {"label": label, "pixel_mask": mask * label[:, None, None]})
    path = folder / "preset" / "shards.json"
    path.parent.mkdir(parents=True)
    content = {
        "format": 1,
        "name": name,
        "evaluate": "test",
        "settings": {"flow_scale": 4.0},
        "shard_frames": 512,
        "videos": videos,
        "stages": stages,
    }
    path.write_text(json.dumps(content))
    return path


def make_network(folder, kind, seed=0, **settings):
    """Commit a small network with random weights as training does."""
    import torch

    from training.networks.autoencoder import AutoencoderSettings
    from training.networks.build import build_autoencoder
    from training.networks.discriminator import DiscriminatorSettings, build_discriminator
    from training.record.folder import RunFolder

    torch.manual_seed(seed)
    if kind == "discriminator":
        architecture = DiscriminatorSettings(features=FEATURES, hidden=4)
        network = build_discriminator(architecture)
    else:
        architecture = AutoencoderSettings(channels=(2, 2, 2, 2))
        network = build_autoencoder(architecture)
    recipe = {
        "format": 1,
        "kind": kind,
        "key": f"recipe-{kind}-{seed}",
        "settings": {"method": "unified", "seed": seed, "size": None, "display": "uvm", **settings},
        "architecture": asdict(architecture),
        "data": {"dataset": "tiny", "flow_scale": 4.0},
        "provenance": {"commit": "abc"},
    }
    RunFolder(folder / kind).finish(network, recipe, {"loss": 0.5})
    (folder / kind / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": n, "epoch": 0, "loss": 1 / (n + 1)}) + "\n" for n in range(20))
    )
    return network.eval()


def make_run(folder, kinds=("spatial", "temporal", "discriminator"), **options):
    """Write shards and networks; return the run's folder."""
    shards = make_shards(folder, **options)
    run = shards.parent / "unified-seed0"
    for kind in kinds:
        make_network(run, kind)
    return run


@pytest.fixture(scope="session")
def scored_run(tmp_path_factory):
    """A run that was scored and fused; tests must not change it."""
    from evaluation.indicators.settings import Scoring
    from evaluation.measures.auc_table import evaluate
    from evaluation.measures.results import Fusing
    from evaluation.record.run import open_run
    from evaluation.scoring.score import score_run

    folder = make_run(tmp_path_factory.mktemp("runs"))
    run = open_run(folder)
    score_run(run, Scoring(maps=8, movers=False), lambda text: None)
    evaluate(run, Fusing(pseudo="own", samples=20, steps=4, regions=5))
    return run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run whose flow and features are those that the stages compute; it can detect."""
    from evaluation.indicators.settings import Scoring
    from evaluation.measures.auc_table import evaluate
    from evaluation.measures.results import Fusing
    from evaluation.record.run import open_run
    from evaluation.scoring.score import score_run
    from pipeline.shards.reader import open_dataset
    from pipeline.shards.shard import write_shard
    from pipeline.stages.live import Live
    from pipeline.stages.registry import Stages
    from training.networks.discriminator import DiscriminatorSettings, build_discriminator
    from training.record.folder import RunFolder

    shards = make_shards(tmp_path_factory.mktemp("live"), frames=24)
    content = json.loads(shards.read_text())
    recipes = {
        "frames": {"size": SIZE, "interpolation": "linear"},
        "flow": {"engine": "tvl1"},
        "features": {"engine": "efficientnet-lite0"},
    }
    stages = Stages().by_name()
    for stage, settings in recipes.items():
        version = stages[stage].VERSION
        content["stages"][stage]["recipe"] = {"version": version, "settings": settings}
    content["stages"]["features"]["arrays"]["feature"]["shape"] = [1280]
    content["stages"]["pa_features"]["arrays"]["feature"]["shape"] = [1280]
    shards.write_text(json.dumps(content))
    dataset = open_dataset(shards)
    live = Live(dataset)
    for video in dataset.videos:
        images = dataset.arrays("frames", video.name)["image"][0:24]
        again = {
            "flow": {"flow": live.flow(images)},
            "features": {"feature": live.features(images)},
        }
        if video.split == "train":
            again["pa_features"] = again["features"]
        for stage, arrays in again.items():
            path = shards.parent.parent / "cache" / stage / video.name / "00000.h5"
            path.unlink()
            path.with_suffix(".json").unlink()
            write_shard(path, arrays, {})
    folder = shards.parent / "unified-seed0"
    for kind in ("spatial", "temporal", "discriminator"):
        make_network(folder, kind)
    architecture = DiscriminatorSettings(features=1280, hidden=4)
    recipe = json.loads((folder / "discriminator" / "recipe.json").read_text())
    recipe["architecture"] = asdict(architecture)
    RunFolder(folder / "discriminator").finish(build_discriminator(architecture), recipe, {})
    opened = open_run(folder)
    score_run(opened, Scoring(maps=8), lambda text: None)
    evaluate(opened, Fusing(samples=0, steps=4))
    return opened


@pytest.fixture(scope="session")
def images(run):
    """The frames (24, S, S, 3) uint8 of a test video of that run."""
    return run.dataset.arrays("frames", "test/01")["image"][0:24]


@pytest.fixture(scope="session")
def video(tmp_path_factory, images):
    """A video file of the run's test frames, under an odd name."""
    import cv2

    path = tmp_path_factory.mktemp("videos") / "gate <1>.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for image in images:
        writer.write(cv2.resize(image, (64, 48)))
    writer.release()
    return path
