"""The stage inpaint: settings, key material, shards."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.inpainting.inpainters import EMBEDDED
from pipeline.models.source import digest_of
from pipeline.stages.base import Array, Job
from pipeline.stages.inpaint import Inpaint, load_inpainter
from tests.pipeline.models.inpainting.small_ldm import small_pipeline

SIZE = 32
PINNED = "some/inpainter@" + "a" * 40


@pytest.fixture(autouse=True)
def forget():
    yield
    load_inpainter.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ldm") / "model"
    small_pipeline().save_pretrained(folder)
    return folder


def job(frames, masks=None, key="k", video="train/01"):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, SIZE, SIZE, 3), np.uint8)
    if masks is None:
        masks = np.zeros((8, SIZE, SIZE), np.uint8)
        for number, mask in enumerate(masks):
            mask[number : number + 6, 3:9] = 1
    inputs = {"frames": {"image": images}, "masks": {"mask": masks}}
    return Job(video=video, frames=frames, inputs=inputs, key=key), images, masks


def test_arrays_are_those_of_the_frames():
    image = Array("uint8", (SIZE, SIZE, 3))
    stage = Inpaint(engine="telea")
    assert stage.inputs() == ("frames", "masks")
    assert stage.arrays({"frames": {"image": image}, "masks": {}}) == {"image": image}
    assert stage.length(17) == 17
    assert stage.SPLITS == "train"


def test_telea_is_opencvs():
    given, images, masks = job(range(2, 5))
    found = Inpaint(engine="telea", radius=5).compute(given)["image"]
    wanted = [cv2.inpaint(images[i], masks[i], 5, cv2.INPAINT_TELEA) for i in range(2, 5)]
    assert np.array_equal(found, wanted)


def test_a_shard_is_the_same_every_time_and_depends_on_the_key(folder):
    stage = Inpaint(model=str(folder), steps=2, margin=4)
    given, images, masks = job(range(1, 7))
    first = stage.compute(given)["image"]
    load_inpainter.cache_clear()
    assert np.array_equal(stage.compute(given)["image"], first)
    assert first.shape == (6, SIZE, SIZE, 3)
    assert np.array_equal(first[masks[1:7] == 0], images[1:7][masks[1:7] == 0])
    other = stage.compute(job(range(1, 7), key="other")[0])["image"]
    assert not np.array_equal(other, first)


def test_a_frame_does_not_depend_on_its_shard(folder):
    stage = Inpaint(model=str(folder), steps=2, margin=4)
    whole = stage.compute(job(range(8))[0])["image"]
    part = stage.compute(job(range(3, 5))[0])["image"]
    assert np.abs(whole[3:5].astype(int) - part).max() <= 1


def test_an_empty_mask_is_named():
    masks = np.ones((8, SIZE, SIZE), np.uint8)
    masks[5] = 0
    with pytest.raises(DataError, match=r"train/01 frame 5: its mask is all 0"):
        Inpaint(engine="telea").compute(job(range(3, 8), masks)[0])


def test_the_key_holds_what_matters(folder, tmp_path):
    """The model's digest, never its path; of the settings those that the engine uses."""
    moved = tmp_path / "moved"
    moved.symlink_to(folder)
    one, other = (Inpaint(model=str(path)) for path in (folder, moved))
    assert one.settings() == other.settings()
    assert one.identity(digest_of) == other.identity(digest_of)
    assert one.identity(digest_of) == {"inpaint.model": f"sha256:{digest_of(folder)}"}
    assert Inpaint(engine="diffusers", model=PINNED).identity(digest_of) == {
        "inpaint.model": PINNED
    }
    assert Inpaint(engine="telea").identity(digest_of) == {}
    telea = Inpaint(engine="telea")
    assert dataclasses.replace(telea, steps=10).settings() == telea.settings()
    assert dataclasses.replace(telea, radius=9).settings() != telea.settings()
    for change in ({"steps": 10}, {"window": "full"}, {"margin": 9}, {"precision": "bf16"}):
        assert dataclasses.replace(one, **change).settings() != one.settings()


def test_the_embedded_model_is_the_default():
    (use,) = Inpaint().models()
    assert use.name == str(EMBEDDED)
    assert Inpaint(engine="telea").models() == ()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"engine": "magic"}, "inpaint.engine: 'magic'"),
        ({"engine": "telea", "model": "x"}, "inpaint.model: is set, but engine telea"),
        ({"engine": "diffusers"}, "inpaint.model: is empty"),
        ({"engine": "diffusers", "model": "some/model@main"}, "40 hexadecimal digits"),
        ({"steps": 0}, "inpaint.steps"),
        ({"window": "both"}, "inpaint.window"),
        ({"margin": -1}, "inpaint.margin"),
        ({"resolution": -1}, "inpaint.resolution"),
        ({"batch": 0}, "inpaint.batch"),
        ({"precision": "int8"}, "inpaint.precision"),
        ({"strength": 0.0}, "inpaint.strength"),
        ({"strength": 1.5}, "inpaint.strength"),
        ({"radius": 0.0}, "inpaint.radius"),
        ({"guidance": -1.0}, "inpaint.guidance"),
    ],
)
def test_wrong_settings_are_named(kwargs, message):
    with pytest.raises(ConfigurationError, match=message):
        Inpaint(**kwargs)


def test_a_missing_model_is_named(tmp_path):
    missing = tmp_path / "nowhere"
    stage = Inpaint(model=str(missing))
    for call in (lambda: stage.identity(digest_of), lambda: stage.compute(job(range(2))[0])):
        with pytest.raises(ConfigurationError, match=f"inpaint.model: {missing} is not there"):
            call()


def test_a_missing_repository_is_named_offline(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.models.source._hub_cache", lambda: str(tmp_path))
    monkeypatch.setattr("pipeline.models.source._download", _no_network)
    with pytest.raises(ConfigurationError) as caught:
        Inpaint(engine="diffusers", model=PINNED).compute(job(range(2))[0])
    for part in ("inpaint.model", PINNED, "model_index.json", str(tmp_path)):
        assert part in str(caught.value)


def _no_network(name):
    raise OSError("no network")


def test_a_size_off_the_models_grid_is_named(folder):
    given, _, _ = job(range(2))
    with pytest.raises(ConfigurationError, match=r"resolution: 40 px .* grid of 16 px"):
        Inpaint(model=str(folder), resolution=40).compute(given)


def test_planning_imports_no_torch():
    code = (
        "import sys, pipeline.stages.inpaint as i;"
        "from pipeline.models.source import digest_of;"
        "i.Inpaint().settings(); i.Inpaint().identity(digest_of);"
        "print([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.strip() == "[]"
