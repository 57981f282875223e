"""The trained networks of a run, for the indicators that need one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.indicators.settings import Scoring, choose_device
from evaluation.record.run import Run, network_provenance
from pipeline.base.errors import DataError

if TYPE_CHECKING:
    from torch import nn


def load_network(run: Run, name: str, settings: Scoring) -> tuple[nn.Module, dict[str, Any]]:
    """Load a run's network onto the device, in evaluation mode; return it and its recipe.

    Raises
    ------
    DataError
        If its folder holds a network of another kind.
    """
    from training.record.folder import load_trained

    network, recipe = load_trained(run.folder / name)
    if recipe["kind"] != name:
        raise DataError(
            f"{run.folder / name}: holds a network of kind {recipe['kind']}, not {name}; "
            "train it into a folder of its own kind"
        )
    return network.to(choose_device(settings.device)).eval(), recipe


def weights_of(run: Run, name: str) -> str:
    """Return the digest of a network's weights."""
    return str(network_provenance(run.folder / name)["weights_sha256"])
