"""Features of frames and of inpainted frames, by any engine, whatever the shards."""

import json

import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models import source
from pipeline.models.features import efficientnet
from pipeline.stages.base import Array, Job
from pipeline.stages.features import Features, PaFeatures
from pipeline.stages.registry import Stages
from tests.pipeline.models.features import clip_reference as reference


def frames(count=5, size=40):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def job(images, wanted, stage="frames"):
    return Job(video="train/01", frames=wanted, inputs={stage: {"image": images}}, key="k")


@pytest.fixture
def vifi(tmp_path):
    path = tmp_path / "k400.pth"
    torch.save(reference.checkpoint(reference.random_tensors()), path)
    return path


def test_the_embedded_engine():
    stage = Features()
    images = frames(20, 64)
    whole = stage.compute(job(images, range(20)))["feature"]
    spec = stage.arrays({})["feature"]
    assert spec == Array("float32", (efficientnet.DIMENSION,))
    assert whole.shape == (20, *spec.shape)
    assert whole.dtype == spec.dtype
    part = stage.compute(job(images, range(15, 18)))["feature"]
    np.testing.assert_allclose(part, whole[15:18], atol=1e-5)
    pa = PaFeatures().compute(job(images, range(20), "inpaint"))["feature"]
    np.testing.assert_allclose(pa, whole, atol=1e-5)


def test_vifi_clip(vifi):
    stage = Features(engine="vifi-clip", model=str(vifi))
    out = stage.compute(job(frames(), range(1, 4)))["feature"]
    assert out.shape == (3, *stage.arrays({})["feature"].shape)
    encode = stage._encoder()
    expected = reference.embed(reference.random_tensors(), encode.preprocessing(frames()[1:4]))
    np.testing.assert_allclose(out, expected.numpy(), atol=1e-4)


def test_a_checkpoint_of_another_width(tmp_path):
    path = tmp_path / "large.pth"
    torch.save(reference.checkpoint(reference.random_tensors(projection=768)), path)
    with pytest.raises(DataError, match=r"large\.pth.*768 channels"):
        Features(engine="vifi-clip", model=str(path)).compute(job(frames(), range(2)))


def test_clip_needs_only_its_configuration_to_plan(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "clip", "vision_config": {"projection_dim": 24}})
    )
    stage = Features(engine="clip", model=str(tmp_path))
    assert stage.arrays({})["feature"].shape == (24,)


def test_the_key(tmp_path, vifi):
    moved = tmp_path / "elsewhere.pth"
    moved.write_bytes(vifi.read_bytes())
    one, two = (Features(engine="vifi-clip", model=str(p)) for p in (vifi, moved))
    assert one.settings() == two.settings()
    assert one.identity(source.digest_of) == two.identity(source.digest_of)
    assert one.settings() != Features().settings()
    embedded = Features().identity(source.digest_of)["model"]
    assert embedded == "sha256:" + source.digest_of(efficientnet.weights_path())


def test_inputs_and_splits():
    assert (Features().inputs(), Features.SPLITS) == (("frames",), "all")
    assert (PaFeatures().inputs(), PaFeatures.SPLITS) == (("inpaint",), "train")
    assert [use.setting for use in PaFeatures().models()] == ["pa_features.engine"]


@pytest.mark.parametrize("stage", [Features, PaFeatures])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "resnet"}, r"features\.engine: 'resnet'"),
        ({"engine": "clip"}, r"features\.model: is empty"),
        ({"engine": "clip", "model": "openai/clip@main"}, "40 hexadecimal"),
        ({"engine": "vifi-clip", "model": "a/b@" + "0" * 40}, r"give the path of the \.pth"),
        ({"model": "x.pth"}, "brings its own"),
    ],
)
def test_wrong_settings(stage, settings, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        stage(**settings)
    assert stage.NAME in str(caught.value)


def test_a_missing_checkpoint_is_named():
    stage = Features(engine="vifi-clip", model="models/vifi.pth")
    with pytest.raises(ConfigurationError, match=r"features\.model: .*vifi\.pth is not there"):
        stage.identity(source.digest_of)
    with pytest.raises(ConfigurationError, match=r"features\.model"):
        stage.compute(job(frames(), range(2)))


def test_one_setting_serves_both():
    clip = {"engine": "clip", "model": "/a/folder"}
    stages = Stages(features=Features(**clip))
    assert (stages.pa_features.engine, stages.pa_features.model) == ("clip", "/a/folder")
    assert Stages(features=Features(**clip), pa_features=PaFeatures(**clip)) == stages
    with pytest.raises(ConfigurationError, match=r"pa_features\.engine: 'clip' is not features"):
        Stages(pa_features=PaFeatures(**clip))
