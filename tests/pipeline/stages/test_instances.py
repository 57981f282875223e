"""The stage's label maps do not depend on how a video is cut into shards, nor its key on paths."""

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError
from pipeline.models import source
from pipeline.stages.base import Array, Job
from pipeline.stages.instances import Instances
from tests.pipeline.models.masks import segmenters
from tests.pipeline.models.masks.test_background import scene


def job(images, frames):
    return Job(video="train/01", frames=frames, inputs={"frames": {"image": images}}, key="k")


def test_arrays():
    stage = Instances()
    arrays = stage.arrays({"frames": {"image": Array("uint8", (64, 64, 3))}})
    assert arrays == {"instances": Array("uint8", (64, 64)), "count": Array("uint16", ())}
    assert stage.inputs() == ("frames",)


@pytest.mark.parametrize("span", [16, 30, 4500])
def test_background_is_a_function_of_video_and_frame(span):
    images, truth = scene(frames=48)
    stage = Instances(span=span, samples=20)
    whole = stage.compute(job(images, range(48)))
    assert whole["instances"].shape == (48, 96, 96)
    assert whole["count"].dtype == np.uint16
    for frames in (range(0, 7), range(7, 40), range(40, 48), range(23, 24)):
        part = stage.compute(job(images, frames))
        for name, array in part.items():
            assert np.array_equal(array, whole[name][frames.start : frames.stop])
    if span == 4500:
        assert np.all(whole["count"] == 2)
        found = whole["instances"] > 0
        assert np.sum(found & (truth > 0)) / np.sum(found | (truth > 0)) > 0.75


def test_shadows_can_be_dropped():
    rng = np.random.default_rng(0)
    ground = np.array([90, 140, 60]) + rng.normal(0, 2, (40, 64, 64, 3))
    for number, image in enumerate(ground):
        image[20:40, number : number + 8] = (200, 40, 40)
        image[40:48, number : number + 12] *= 0.6
    images = np.clip(ground, 0, 255).astype(np.uint8)
    kept = Instances().compute(job(images, range(40)))["instances"] > 0
    dropped = Instances(shadows="drop").compute(job(images, range(40)))["instances"] > 0
    assert kept[:, 44:47].mean() > 0.1
    assert dropped[:, 44:47].mean() < 0.01
    assert dropped[:, 20:40].sum() > 0.9 * kept[:, 20:40].sum()


def test_segmentation(tmp_path):
    folder = segmenters.save("mask2former", tmp_path)
    images = np.random.default_rng(1).integers(0, 256, (6, 64, 64, 3), np.uint8)
    stage = Instances(engine="segmentation", model=str(folder), score=0.05, min_area=0.001)
    torch.manual_seed(0)
    whole = stage.compute(job(images, range(6)))
    assert whole["instances"].shape == (6, 64, 64)
    assert whole["count"].max() > 0
    part = stage.compute(job(images, range(4, 6)))
    assert np.array_equal(part["count"], whole["count"][4:6])


def test_the_key_holds_the_digest_and_what_matters(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
    stages = [Instances(engine="segmentation", model=str(folder)) for folder in (one, two)]
    assert stages[0].settings() == stages[1].settings()
    assert stages[0].identity(source.digest_of) == stages[1].identity(source.digest_of)
    (two / "model.safetensors").write_bytes(b"others")
    assert stages[0].identity(source.digest_of) != stages[1].identity(source.digest_of)
    hub = Instances(engine="segmentation", model="a/b@" + "0" * 40)
    assert hub.identity(source.digest_of) == {"instances.model": "a/b@" + "0" * 40}
    assert "threshold" not in stages[0].settings()
    assert Instances().identity(source.digest_of) == {}
    for change in ({"threshold": 20.0}, {"samples": 50}, {"span": 99}, {"shadows": "drop"}):
        assert dataclasses.replace(Instances(), **change).settings() != Instances().settings()
    unused = dataclasses.replace(Instances(), score=0.9, classes=("car",))
    assert unused.settings() == Instances().settings()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "yolo"}, r"instances\.engine: 'yolo'"),
        ({"engine": "segmentation"}, r"instances\.model: is empty"),
        ({"engine": "segmentation", "model": "a/b@main"}, "40 hexadecimal"),
        ({"model": "a/b"}, "uses no model"),
        ({"min_area": 2.0}, r"instances\.min_area: 2.0"),
        ({"threshold": 0.0}, r"instances\.threshold"),
        ({"score": 1.5}, r"instances\.score"),
        ({"samples": 1}, r"instances\.samples: 1"),
        ({"span": 3}, r"instances\.span: 3"),
        ({"shadows": "maybe"}, r"instances\.shadows"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Instances(**settings)


def test_a_missing_model_is_named():
    stage = Instances(engine="segmentation", model="models/mask2former")
    with pytest.raises(ConfigurationError, match=r"instances\.model: .*models/mask2former is not"):
        stage.identity(source.digest_of)
