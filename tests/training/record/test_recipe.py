"""Recipes: the key changes with everything that decides the weights, and with nothing else."""

from dataclasses import replace

import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import open_dataset
from training.networks.autoencoder import AutoencoderSettings
from training.record.recipe import differences, git_commit, make_recipe


def recipe(shards, settings, **data):
    dataset = open_dataset(shards)
    videos = dataset.select("train", False)
    held = dataset.select("train", True)
    return make_recipe(
        settings.network,
        settings,
        settings.architecture,
        dataset,
        settings.stages,
        videos,
        held,
        **data,
    )


CHANGES = {
    "network": "temporal", "method": "mine", "seed": 1, "size": 32, "display": "color",
    "stride": 3, "pseudo_anomaly": "patch", "p": 0.1, "negative": True, "skip": (2, 3),
    "patch_side": 0.3, "patch_move": 3, "intruders": "else", "batch": 5, "epochs": 9,
    "max_clips": 7, "learning_rate": 0.1, "precision": "bf16", "channels_last": True, "block": 7,
    "buffer": 7, "drop_last": True, "initialisation": "normal",
    "architecture": AutoencoderSettings(channels=(2, 2, 2, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_key(shards, small, name):
    base = recipe(shards, small())
    other = recipe(shards, replace(small(), **{name: CHANGES[name]}))
    assert base["key"] != other["key"]
    assert any(name in line for line in differences(base, other))


def test_every_field_is_in_the_list_above(small):
    assert set(CHANGES) >= set(vars(small()))


def test_the_same_settings_give_the_same_key(shards, small):
    one, two = recipe(shards, small()), recipe(shards, small())
    assert one["key"] == two["key"] and differences(one, two) == []


def test_the_data_changes_the_key(shards, small):
    one, two = recipe(shards, small(), flow_scale=1.0), recipe(shards, small(), flow_scale=2.0)
    assert one["key"] != two["key"]
    assert differences(one, two) == ["data.flow_scale: 2.0 there, 1.0 asked for"]


def test_a_missing_stage_names_its_target(shards, small):
    dataset = open_dataset(shards)
    del dataset.keys["inpaint"]
    with pytest.raises(ConfigurationError, match=r"reads stage inpaint.*make toy\.inpaint"):
        make_recipe("spatial", small(), small().architecture, dataset, small().stages, [], [])


def test_differences_name_what_only_one_has():
    assert differences({"a": {"b": 1}}, {"a": {"c": 2}}) == [
        "a.b: (none) there, 1 asked for",
        "a.c: 2 there, (none) asked for",
    ]


def test_the_commit_is_known_here_or_said_not_to_be():
    commit = git_commit()
    assert commit is None or len(commit.rstrip("+")) == 40
