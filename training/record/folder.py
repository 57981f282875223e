"""The folder of a training: checkpoints to go on from, and the final weights.

::

    checkpoint.pt         everything that the next step depends on; gone when finished
    metrics.jsonl         one line every few steps, one an epoch
    weights.safetensors   the network, when finished
    recipe.json           how it was made, and the digest of the weights; written last
    epochs/00005.safetensors   the weights of single epochs, if asked for
    earlier/KEY/          the same of trainings on other videos, see training.record.reuse

Files appear whole or not at all. A folder belongs to one recipe: what is in it is used only
by a command that asks for the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.base.errors import ConfigurationError, DataError, machine_error
from pipeline.base.files import TEMPORARY, read_json, replacing, sha256_of_file, write_json
from training.networks.autoencoder import AutoencoderSettings, load_weights
from training.networks.build import build_autoencoder
from training.networks.discriminator import DiscriminatorSettings, build_discriminator
from training.networks.memory import MemorySettings
from training.record.recipe import differences, same

FORMAT = 1


class RunFolder:
    """Every path of a training's folder, and what it takes to use them.

    Parameters
    ----------
    path
        The folder; made when something is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint.pt"
        self.weights = self.path / "weights.safetensors"
        self.recipe = self.path / "recipe.json"
        self.metrics = self.path / "metrics.jsonl"
        self.snapshots = self.path / "epochs"
        self.tensorboard = self.path / "tensorboard"
        self.earlier = self.path / "earlier"

    @property
    def contents(self) -> tuple[Path, ...]:
        """All that a training leaves, recipe.json first: without it the rest is of no account."""
        files = (self.recipe, self.weights, self.checkpoint, self.metrics)
        return (*files, self.snapshots, self.tensorboard)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the folder against a second run; the claim ends with the process, however it ends.

        Raises
        ------
        ConfigurationError
            If another process trains here.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("a")
        except OSError as error:
            raise machine_error(error, f"{self.path}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    f"{self.path}: another process is training into this folder; wait for it, "
                    "or choose another --out"
                ) from None
            except OSError:
                pass  # a file system without locks: nothing to hold, nothing lost
            self._sweep()
            yield

    def clear(self) -> None:
        """Remove what an earlier training left."""
        for path in self.contents:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def finished(self, recipe: dict[str, Any]) -> bool:
        """Whether this very recipe was trained to its end here.

        Raises
        ------
        ConfigurationError
            If another recipe was.
        DataError
            If the weights are not those that recipe.json speaks of.
        """
        if not self.recipe.exists():
            return False
        found = read_recipe(self.path)
        self.compare(recipe, found, self.recipe)
        check_weights(self.path, found)
        return True

    def compare(self, ours: dict[str, Any], theirs: dict[str, Any], source: Path) -> None:
        """Raise ConfigurationError, listing what differs, unless two recipes are the same."""
        if not same(ours, theirs):
            raise ConfigurationError(
                f"{source}: was made with other settings:\n  "
                + "\n  ".join(differences(ours, theirs) or ["the format of recipes"])
                + "\nchoose another --out (with make: another RUNS, VARIANT, SEED or METHOD), or "
                "--overwrite to begin again (TRAINING_OPTIONS=--overwrite)"
            )

    def check_snapshots(self, every: int) -> None:
        """Raise ConfigurationError unless the weights of every so many epochs were kept."""
        last = read_recipe(self.path).get("result", {}).get("epoch", -1)
        wanted = range(every, last + 2, every)
        if not all((self.snapshots / f"{epoch:05d}.safetensors").exists() for epoch in wanted):
            raise ConfigurationError(
                f"{self.path}: was trained without the weights of single epochs that "
                f"snapshots: {every} asks for; --overwrite trains again and keeps them (with "
                f"make: TRAINING_OPTIONS='--snapshots {every} --overwrite'), or choose another "
                "--out (with make: another RUNS)"
            )

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint over the last one."""
        with replacing(self.checkpoint) as temporary:
            torch.save({"format": FORMAT} | state, temporary)

    def load(self, recipe: dict[str, Any]) -> dict[str, Any] | None:
        """Read the checkpoint of this recipe; None if there is none.

        Raises
        ------
        ConfigurationError
            If it belongs to another recipe.
        DataError
            If it cannot be read.
        """
        if not self.checkpoint.exists():
            return None
        state = self.read_checkpoint()
        self.compare(recipe, state["recipe"], self.checkpoint)
        return state

    def read_checkpoint(self) -> dict[str, Any]:
        """Read the checkpoint, of whatever recipe.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        remedy = f"remove {self.checkpoint} or give --overwrite to begin again"
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:
            raise DataError(
                f"{self.checkpoint}: is no checkpoint that can be read safely, it is damaged or of "
                f"another program ({type(error).__name__}); {remedy}"
            ) from error
        wanted = {"recipe", "model", "optimizer", "position", "generator"}
        if not isinstance(state, dict) or state.get("format") != FORMAT or wanted - state.keys():
            raise DataError(f"{self.checkpoint}: is not a checkpoint of this program; {remedy}")
        return state

    def finish(self, model: nn.Module, recipe: dict[str, Any], result: dict[str, Any]) -> None:
        """Commit the final weights, then recipe.json, and drop the checkpoint."""
        save_weights(self.weights, model)
        whole = recipe | {"result": result, "weights_sha256": sha256_of_file(self.weights)}
        write_json(self.recipe, whole)
        self.checkpoint.unlink(missing_ok=True)

    def snapshot(self, model: nn.Module, epoch: int) -> None:
        """Keep the weights after ``epoch`` epochs."""
        save_weights(self.snapshots / f"{epoch:05d}.safetensors", model)

    def keep_metrics(self, step: int) -> None:
        """Drop the lines of metrics.jsonl that lie beyond a step: they will be written again."""
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
        with replacing(self.metrics) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")

    def _sweep(self) -> None:
        """Remove temporary files that an earlier run died over."""
        for stray in self.path.glob(f".*{TEMPORARY}"):
            stray.unlink(missing_ok=True)


def save_weights(path: Path, model: nn.Module) -> None:
    """Write a network's ``state_dict`` as safetensors."""
    from safetensors.torch import save

    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors))


def read_recipe(folder: str | Path) -> dict[str, Any]:
    """Read a finished training's recipe.json.

    Raises
    ------
    ConfigurationError
        If there is none.
    DataError
        If it is none.
    """
    path = Path(folder) / "recipe.json"
    hint = ": nothing was trained to its end there; `make DATASET.train` does"
    recipe = read_json(path, hint, "train again with --overwrite")
    needed = ("format", "kind", "key", "settings", "architecture", "data", "weights_sha256")
    missing = [name for name in needed if name not in recipe]
    if missing:
        raise DataError(
            f"{path}: is no recipe of a finished training, {missing[0]} is missing; train again "
            "with --overwrite"
        )
    return recipe


def check_weights(folder: str | Path, recipe: dict[str, Any]) -> Path:
    """Return the path of the weights that a recipe speaks of.

    Raises
    ------
    DataError
        If they are missing or others.
    """
    path = Path(folder) / "weights.safetensors"
    found = sha256_of_file(path) if path.exists() else None
    if found != recipe["weights_sha256"]:
        what = "is missing" if found is None else "is not the file that recipe.json was written for"
        raise DataError(f"{path}: {what}; train again with --overwrite")
    return path


def load_trained(folder: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network of a finished training and fill it with its weights.

    Returns
    -------
    network : nn.Module
        In evaluation mode, on the CPU: an autoencoder or a discriminator, as ``kind`` says.
    recipe : dict
        Its recipe.json.

    Raises
    ------
    ConfigurationError, DataError
        If the folder holds no finished training, or its files do not belong together.
    """
    recipe = read_recipe(folder)
    path = check_weights(folder, recipe)
    fields = dict(recipe["architecture"])
    model: nn.Module
    try:
        if recipe["kind"] == "discriminator":
            model = build_discriminator(DiscriminatorSettings(**fields))
        else:
            fields["memory"] = MemorySettings(**fields["memory"])
            model = build_autoencoder(AutoencoderSettings(**fields))
    except (TypeError, KeyError) as error:
        raise DataError(
            f"{Path(folder) / 'recipe.json'}: architecture: {error}; it was written by another "
            "version of this program: train again with --overwrite"
        ) from error
    load_weights(model, read_tensors(path), str(path))
    return model.eval(), recipe


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises
    ------
    DataError
        If it is missing, truncated or of another kind.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(os.fspath(path))
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: is no readable safetensors file ({error})") from error
