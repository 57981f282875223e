import dataclasses

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from pipeline.base.errors import ConfigurationError
from pipeline.execution.catalogue import held_out
from pipeline.execution.plan import escaped, make_recipe, plan_stages, recipe_key
from pipeline.stages.base import Job, frame_seed
from tests.pipeline.toys import Difference, Noise, make_plan


def key_of(tmp_path, name="difference", shard_frames=16, scale=1, digest="", **settings):
    stages = {"noise": Noise(**settings), "difference": Difference(scale=scale)}
    return plan_stages("toy", tmp_path, stages, (name,), shard_frames, lambda path: digest)[
        name
    ].key


def test_the_key_depends_on_every_setting_and_on_nothing_else(tmp_path):
    keys = {
        key_of(tmp_path),
        key_of(tmp_path, size=5),
        key_of(tmp_path, fail_on="x"),
        key_of(tmp_path, sleep=1.0),
        key_of(tmp_path, scale=2),
        key_of(tmp_path, shard_frames=17),
        key_of(tmp_path, name="noise"),
    }
    assert len(keys) == 7
    assert key_of(tmp_path / "elsewhere") == key_of(tmp_path)


def test_a_raised_version_changes_the_key_and_those_that_read_it(tmp_path, monkeypatch):
    before = key_of(tmp_path, "noise"), key_of(tmp_path)
    monkeypatch.setattr(Noise, "VERSION", 2)
    after = key_of(tmp_path, "noise"), key_of(tmp_path)
    assert not set(before) & set(after)


@given(
    st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans()), min_size=1),
    st.randoms(use_true_random=False),
)
def test_the_order_of_settings_does_not_matter(recipe, random):
    items = list(recipe.items())
    random.shuffle(items)
    assert recipe_key(dict(items)) == recipe_key(recipe)


def test_the_recipe_is_readable():
    recipe = make_recipe(Noise(size=3), {"weights": "abc"}, {}, 512)
    assert recipe["settings"]["size"] == 3
    assert recipe["identity"] == {"weights": "abc"}
    assert recipe["stage"] == "noise"


def test_shards_cover_each_frame_once(tmp_path):
    plan = make_plan(tmp_path, frames=(40, 17, 33))
    for name in plan.stages:
        for video in plan.videos_of(name):
            frames = [frame for shard in plan.shards(name, video) for frame in shard]
            assert frames == list(range(plan.frames(name, video)))
    assert [video.info.name for video in plan.videos_of("difference")] == ["train/00", "train/02"]


def test_an_unknown_stage_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="'optical' is none of"):
        make_plan(tmp_path, wanted=("optical",))


@given(st.text(min_size=1, max_size=300))
def test_no_name_leaves_its_folder(name):
    path = escaped(f"test/{name}") if name not in (".", "..") else None
    if path is not None:
        first, second = path.split("/")
        assert first == "test"
        assert second not in ("", ".", "..")
        assert len(second) <= 180
        assert second.isascii()


def test_frame_seeds_depend_on_key_video_and_frame_alone():
    seeds = {frame_seed(key, video, frame) for key in "ab" for video in "cd" for frame in range(50)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
    job = Job(video="c", frames=range(3, 9), key="a")
    again = dataclasses.replace(job, frames=range(0, 5))
    np.testing.assert_array_equal(job.rng(4).random(8), again.rng(4).random(8))


def test_held_out_videos_are_spread_and_never_all():
    names = [f"train/{i:02d}" for i in range(16)]
    assert len(held_out(names, 0.125)) == 2
    assert held_out(names, 0) == set()
    assert held_out(names[:1], 0.5) == set()
    assert len(held_out(names[:2], 0.99)) == 1
    with pytest.raises(ConfigurationError):
        held_out(names, 1.0)
