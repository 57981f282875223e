"""Taking a finished training from elsewhere: only the very same one, and only if it is whole."""

import pytest

from pipeline.base.errors import DataError
from training.loops.autoencoder import train_autoencoder
from training.loops.discriminator import train_discriminator
from training.record.folder import load_trained
from training.settings.base import DiscriminatorTraining, RunSettings

INLINE = RunSettings(workers=0)


def reusing(folder):
    return RunSettings(workers=0, reuse=str(folder))


@pytest.fixture
def trained(shards, small, tmp_path):
    return train_autoencoder(shards, tmp_path / "preset", small(epochs=1), INLINE)


def weights(folder):
    return (folder / "weights.safetensors").read_bytes()


def test_the_same_training_is_taken_and_loads(shards, small, trained, tmp_path, capsys):
    out = train_autoencoder(shards, tmp_path / "variant", small(epochs=1), reusing(trained))
    assert weights(out) == weights(trained)
    assert load_trained(out)[1]["key"] == load_trained(trained)[1]["key"]
    said = capsys.readouterr().out
    assert "its weights are taken" in said
    assert (out / "metrics.jsonl").read_text() == (trained / "metrics.jsonl").read_text()


def test_another_training_is_done_anew(shards, small, trained, tmp_path):
    other = small(epochs=1, p=0.25)
    out = train_autoencoder(shards, tmp_path / "variant", other, reusing(trained))
    alone = train_autoencoder(shards, tmp_path / "alone", other, INLINE)
    assert weights(out) == weights(alone) != weights(trained)


def test_what_is_missing_is_of_no_account(shards, small, trained, tmp_path):
    out = train_autoencoder(shards, tmp_path / "a", small(epochs=1), reusing(tmp_path / "none"))
    assert weights(out) == weights(trained)  # the same seed, trained again


def test_damaged_weights_are_not_taken(shards, small, trained, tmp_path):
    (trained / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match="is not the file that recipe"):
        train_autoencoder(shards, tmp_path / "variant", small(epochs=1), reusing(trained))
    assert not (tmp_path / "variant/recipe.json").exists()


def test_a_discriminator_is_taken_too(shards, tmp_path, capsys):
    settings = DiscriminatorTraining(epochs=2, hidden=4, batch=8)
    first = train_discriminator(shards, tmp_path / "first", settings)
    second = train_discriminator(shards, tmp_path / "second", settings, reusing(first))
    assert weights(second) == weights(first)
    assert "its weights are taken" in capsys.readouterr().out
