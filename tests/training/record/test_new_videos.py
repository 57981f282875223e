"""Normal videos that come, go or change: it trains again, and what was trained before is kept."""

import json

import pytest

from pipeline.base.errors import ConfigurationError
from tests.training.toys import write_dataset
from training.loops.autoencoder import train_autoencoder
from training.record.folder import read_recipe
from training.record.recipe import differences, new_data
from training.settings.base import RunSettings

INLINE = RunSettings(workers=0)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Shards of two training videos, and the shards.json of one more."""
    root = tmp_path_factory.mktemp("place")
    videos = {"train/01": 20, "train/02": 20, "train/03": 20, "train/04": 20}
    more = write_dataset(root, videos, holdout=("train/03",))
    content = json.loads(more.read_text())
    content["videos"] = [one for one in content["videos"] if one["name"] != "train/04"]
    few = more.with_name("few.json")
    few.write_text(json.dumps(content))
    return few, more


def weights(folder):
    return (folder / "weights.safetensors").read_bytes()


def test_a_new_video_trains_again_and_back_takes_back(place, small, tmp_path, capsys):
    few, more = place
    out = train_autoencoder(few, tmp_path, small(epochs=1), INLINE)
    first = weights(out)
    train_autoencoder(more, tmp_path, small(epochs=1), INLINE)
    said = capsys.readouterr().out
    assert "the videos are others than it was trained on: train/04 new" in said
    assert read_recipe(out)["data"]["videos"] == ["train/01", "train/02", "train/04"]
    second = weights(out)
    assert [weights(kept) for kept in (out / "earlier").iterdir()] == [first]
    train_autoencoder(few, tmp_path, small(epochs=1), INLINE)
    said = capsys.readouterr().out
    assert "train/04 gone" in said
    assert "trained already" in said
    assert weights(out) == first
    assert [weights(kept) for kept in (out / "earlier").iterdir()] == [second]


def test_a_video_of_other_content_under_the_same_name_trains_again(place, small, tmp_path, capsys):
    few, _ = place
    out = train_autoencoder(few, tmp_path / "out", small(epochs=1), INLINE)
    content = json.loads(few.read_text())
    for stage in content["stages"].values():
        folder = stage["videos"]["train/01"]
        stage["videos"]["train/01"] = folder | {"folder": "train/02"}  # what 02 shows
    other = few.with_name("other.json")
    other.write_text(json.dumps(content))
    before = weights(out)
    train_autoencoder(other, tmp_path / "out", small(epochs=1), INLINE)
    assert "train/01 of other content" in capsys.readouterr().out
    assert weights(out) != before


def test_a_training_that_was_begun_on_other_videos_is_kept_too(place, small, tmp_path):
    few, more = place
    stopped = RunSettings(workers=0, max_minutes=1e-9)
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(few, tmp_path, small(), stopped)
    out = train_autoencoder(more, tmp_path, small(epochs=3), INLINE)
    (kept,) = (out / "earlier").iterdir()
    assert (kept / "checkpoint.pt").exists()


def test_other_settings_are_an_error_and_everything_stays(place, small, tmp_path):
    few, _ = place
    out = train_autoencoder(few, tmp_path, small(epochs=1), INLINE)
    before = weights(out)
    for shards in place:
        with pytest.raises(ConfigurationError, match=r"settings\.p: 0\.5 there, 0\.25 asked for"):
            train_autoencoder(shards, tmp_path, small(epochs=1, p=0.25), INLINE)
    assert weights(out) == before
    assert not (out / "earlier").exists()


def test_a_recipe_of_before_videos_digests_were_kept_is_the_same(place, small, tmp_path, capsys):
    few, _ = place
    out = train_autoencoder(few, tmp_path, small(epochs=1), INLINE)
    recipe = read_recipe(out)
    path = out / "recipe.json"
    path.write_text(json.dumps({k: v for k, v in recipe.items() if k != "contents"}))
    capsys.readouterr()
    train_autoencoder(few, tmp_path, small(epochs=1), INLINE)
    assert "trained already" in capsys.readouterr().out


def test_another_stage_key_is_no_new_data(place, small, tmp_path):
    few, _ = place
    recipe = read_recipe(train_autoencoder(few, tmp_path, small(epochs=1), INLINE))
    data = recipe["data"] | {"shards": {"frames": "another"}, "videos": ["train/01"]}
    other = recipe | {"key": "x", "data": data}
    assert new_data(other, recipe) == []
    assert any(line.startswith("data.shards.frames") for line in differences(other, recipe))


def test_snapshots_of_a_finished_training_are_an_error_that_says_how(place, small, tmp_path):
    few, _ = place
    out = train_autoencoder(few, tmp_path, small(epochs=2), INLINE)
    wanted = RunSettings(workers=0, snapshots=1)
    with pytest.raises(ConfigurationError, match="TRAINING_OPTIONS='--snapshots 1 --overwrite'"):
        train_autoencoder(few, tmp_path, small(epochs=2), wanted)
    train_autoencoder(few, tmp_path, small(epochs=2), wanted, overwrite=True)
    assert sorted(p.name for p in (out / "epochs").iterdir()) == [
        "00001.safetensors", "00002.safetensors",
    ]  # fmt: skip
    assert train_autoencoder(few, tmp_path, small(epochs=2), wanted) == out


def test_what_an_old_recipe_does_not_say_is_no_difference():
    ours = {"a": 1, "contents": {"train/01": "x"}}
    assert differences(ours, {"a": 2, "weights_sha256": "y"}) == ["a: 2 there, 1 asked for"]
    assert len(differences(ours, {"a": 1, "contents": {"train/01": "z"}})) == 1
