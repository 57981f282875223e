"""How places look: how far each is from the nearest that normal videos show, wherever it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evaluation.indicators.base import Indicator, Part, Stream
from evaluation.indicators.settings import Scoring
from evaluation.record.run import Run
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import sha256_of_file


class Appearance(Indicator):
    """Distances of the stage ``patches`` to the exemplars of ``python -m training bank``."""

    NAME = "appearance"
    SYMBOL = "looks"
    COLOR = "#b07a10"
    READS = ("patches",)
    VALUE = False
    MAP = 1
    PLACE = False

    def ready(self, run: Run) -> bool:
        """Whether there are exemplars, and shards to hold against them."""
        there = (run.folder / self.NAME / "recipe.json").exists()
        return there and "patches" in run.dataset.stages

    def fingerprint(self, run: Run) -> str:
        """Return the exemplars' key."""
        from training.loops.bank import read_recipe

        return str(read_recipe(run.folder / self.NAME)["sha256"])

    def load(self, run: Run, settings: Scoring) -> Callable[[], Stream]:
        """Read the exemplars.

        Raises
        ------
        ConfigurationError
            If they are of other descriptors than the shards hold.
        DataError
            If they are damaged.
        """
        from training.loops.bank import read_recipe
        from training.networks.exemplars import load_exemplars

        folder = run.folder / self.NAME
        made, path = read_recipe(folder), folder / "exemplars.npz"
        exemplars = load_exemplars(path)
        if sha256_of_file(path) != made["sha256"]:
            raise DataError(
                f"{path}: is not the file that its recipe names; run `python -m training bank "
                "--overwrite` again"
            )
        if described(made["descriptor"]) != described(run.dataset.stages["patches"]["recipe"]):
            raise ConfigurationError(
                f"{folder}: its exemplars are of other descriptors than those of "
                f"{run.dataset.path}; make both with the same settings of patches and frames"
            )
        return lambda: Distances(exemplars)


class Distances(Stream):
    """Maps of distances, frame by frame."""

    chunk = 64

    def __init__(self, exemplars) -> None:  # type: ignore[no-untyped-def]
        self._exemplars = exemplars

    def leave_out(self, video: str) -> None:
        """Judge without the exemplars of a video."""
        self._exemplars = self._exemplars.without(video)

    def push(self, *stored: np.ndarray) -> Part:
        """Return the distances of descriptors (n, h, w, C), maps (n, h, w) float32."""
        return Part(maps=self._exemplars.distances(stored[0]))

    def finish(self) -> Part:
        """Nothing is left."""
        return Part()


def described(recipe: dict) -> tuple:  # type: ignore[type-arg]
    """Return what two descriptors must share to be compared."""
    return recipe["settings"], recipe.get("version"), recipe.get("identity")
