"""Chance begins anew with each test; the tutorial is run once a session, as it stands."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.documents import blocks, checkout, shell


@dataclass(frozen=True)
class Tutorial:
    """The folder in which the tutorial was run, and what each shell block printed."""

    folder: Path
    printed: list[str]

    @property
    def run(self) -> Path:
        return self.folder / "runs/plaza/unified-seed0"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Let no test depend on those before it."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory) -> Tutorial:
    """Run the shell blocks of docs/tutorial.md as they stand, in a folder of their own."""
    folder = checkout(tmp_path_factory.mktemp("tutorial"))
    return Tutorial(folder, [shell(code, folder) for _, code in blocks("tutorial.md", "sh")])
