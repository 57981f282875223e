import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.models.features import efficientnet
from pipeline.stages.base import Job
from pipeline.stages.flow import Flow
from pipeline.stages.live import Live
from pipeline.stages.patches import Patches
from pipeline.stages.registry import Stages

SMALL = {"size": 64, "cells": 4}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), np.uint8)


def patches(images, frames=None, **settings):
    frames = range(len(images)) if frames is None else frames
    job = Job(video="a", frames=frames, inputs={"frames": {"image": images}})
    return Patches(**{**SMALL, **settings}).compute(job)["patch"]


def test_cells_are_means_of_the_network_s_maps(images):
    found = patches(images[:2], every=1)
    maps = efficientnet.feature_maps(images[:2], (8,), 64)[8]
    assert found.shape == (2, 4, 4, 40)
    assert found.dtype == np.float16
    for y, x in [(0, 0), (1, 3), (3, 2)]:
        block = maps[1, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        np.testing.assert_allclose(found[1, y, x], block.mean((1, 2)), rtol=2e-3, atol=2e-3)


def test_some_frames_take_over_what_the_one_before_showed(images):
    every, third = patches(images, every=1), patches(images, every=3)
    shown = [0, 0, 0, 3, 3, 3, 6]
    np.testing.assert_allclose(third, every[shown], rtol=5e-3, atol=5e-3)
    # A shard that begins between them looks at the frame before its first.
    part = patches(images, range(4, 6), every=3)
    np.testing.assert_allclose(part, third[4:6], rtol=5e-3, atol=5e-3)


def test_a_stream_in_any_pieces_has_the_video_s_patches(images, tmp_path):
    recipe = {"version": 1, "settings": {**SMALL, "every": 2}}
    dataset = SimpleNamespace(
        path=tmp_path,
        name="toy",
        stages={
            "frames": {"recipe": {"version": 1, "settings": {"size": 64}}},
            "flow": {"recipe": {"version": Flow.VERSION, "settings": {}}},
            "patches": {"recipe": recipe},
        },
    )
    live, whole = Live(dataset), patches(images, every=2)
    for sizes in ([1] * 7, [3, 4], [2, 1, 1, 3], [7]):
        ends = np.cumsum([0, *sizes])
        parts = [live.patches(images[a:b], int(a)) for a, b in itertools.pairwise(ends)]
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"engine": "vgg"}, "engine"), ({"stride": 12}, "stride"), ({"size": 100}, "size"),
     ({"cells": 5}, "cells"), ({"every": 0}, "every")],
)  # fmt: skip
def test_wrong_settings_name_themselves(settings, named):
    with pytest.raises(ConfigurationError, match=rf"patches\.{named}"):
        Patches(**settings)


def test_it_is_a_stage_of_every_run_whose_key_tells_the_weights():
    stage = Stages().by_name()["patches"]
    assert stage.inputs() == ("frames",)
    assert stage.arrays({})["patch"].shape == (16, 16, 40)
    assert json.dumps(stage.identity(lambda path: "abc")) == '{"model": "sha256:abc"}'
