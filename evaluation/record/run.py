"""A trained run as evaluation sees it: its shards, its networks, and where results go.

::

    RUNS/ped2/quick/shards.json                 what the pipeline wrote
    RUNS/ped2/quick/unified-seed0/spatial/      A^s      (each with weights and recipe)
                                 /temporal/     A^t
                                 /discriminator/  D
                                 /scores/       raw scores of every frame
                                 /metrics.json, report.html
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base import environment
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import read_json
from pipeline.shards.reader import Dataset, VideoInfo, open_dataset

PACKAGES = ("numpy", "torch", "opencv-contrib-python", "scikit-learn", "plotly")


@dataclass(frozen=True)
class Run:
    """A method's folder.

    Attributes
    ----------
    folder
        ``RUNS/<dataset>/<preset>/<method>-seed<k>``.
    dataset
        The shards that it is scored on.
    out
        Where scores, metrics and reports go: the folder, or for transfer
        ``folder/transfer/<dataset>``.
    """

    folder: Path
    dataset: Dataset
    out: Path

    @property
    def name(self) -> str:
        """For people: data set, preset, method and seed, and what it is transferred to."""
        name = "/".join(self.folder.absolute().parts[-3:])
        return name if self.out == self.folder else f"{name} on {self.dataset.name}"

    @property
    def test_videos(self) -> list[VideoInfo]:
        """The videos that the data set is evaluated on."""
        return self.dataset.select(split=self.dataset.evaluate)

    @property
    def heldout_videos(self) -> list[VideoInfo]:
        """Normal training videos kept out of training."""
        return self.dataset.select(split="train", holdout=True)


def open_run(folder: str | Path, shards: str | Path | None = None) -> Run:
    """Open a run.

    Parameters
    ----------
    folder
        The method's folder.
    shards
        Another data set's ``shards.json``, for transfer, or one beside the run that holds some
        of the stages; default: ``shards.json`` beside the run.

    Raises
    ------
    ConfigurationError
        If there is no such folder, or no shards.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigurationError(
            f"run: {folder} is no folder; name the one that holds a method's networks, such as "
            "runs/ped2/quick/unified-seed0, or make an empty one beside shards.json for what needs "
            "no network"
        )
    dataset = open_dataset(shards or folder.parent / "shards.json")
    own = shards is None or Path(shards).absolute().parent == folder.absolute().parent
    out = folder if own else folder / "transfer" / dataset.name
    return Run(folder, dataset, out)


def network_provenance(folder: Path) -> dict[str, Any]:
    """Return what a network was made from: digest of its weights, method, seed and recipe."""
    from training.record.folder import read_recipe

    recipe = read_recipe(folder)
    settings = recipe["settings"]
    return {
        "weights_sha256": recipe["weights_sha256"],
        "recipe_key": recipe["key"],
        "method": settings.get("method", ""),
        "seed": settings.get("seed"),
        "settings": settings,
        "architecture": recipe["architecture"],
        "data": recipe["data"],
        "result": recipe.get("result", {}),
        "provenance": recipe.get("provenance", {}),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of what computes here."""
    return {"python": platform.python_version()} | environment.versions(PACKAGES)


def read_metrics(folder: str | Path) -> dict[str, Any]:
    """Read a run's metrics.json.

    Raises
    ------
    ConfigurationError
        If there is none.
    DataError
        If it is none.
    """
    path = Path(folder) / "metrics.json"
    hint = f"; `python -m evaluation score --run {folder}` writes it"
    content = read_json(path, hint, "score the run again")
    if content.get("format") != 1 or "results" not in content:
        raise DataError(f"{path}: is not of format 1; score the run again")
    return content
