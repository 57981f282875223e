"""Where results go: a folder of its own for every input, and a report for every set of them.

A folder belongs to the input that its ``source.json`` names. What another input left in OUT is
never written over; a camera's folder never, not even by the same camera.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evaluation.detector.addresses import Address
from pipeline.base.files import write_json

OWNER = "source.json"


def claim_folders(out: Path, addresses: Sequence[Address], facts: dict[str, Any]) -> list[Path]:
    """Make a folder for each input; one that the same input has already is taken again.

    Parameters
    ----------
    out
        Folder of the folders.
    facts
        What each ``source.json`` says beside its input.
    """
    out.mkdir(parents=True, exist_ok=True)
    folders: list[Path] = []
    for address in addresses:
        folder = next(
            folder for folder in _numbered(out / address.folder_name)
            if folder not in folders and _claim(folder, address)
        )  # fmt: skip
        folders.append(folder)
    report = _report(out, folders)
    for address, folder in zip(addresses, folders, strict=True):
        named = {"source": address.name, "address": address.shown, "identity": address.identity}
        write_json(folder / OWNER, named | facts | {"report": report.name})
    return folders


def report_path(folder: Path) -> Path:
    """Return the report that a folder's results are to be in."""
    return folder.parent / str(_owner(folder)["report"])


def _claim(folder: Path, address: Address) -> bool:
    """Make a folder, or take one that the same input made before."""
    try:
        folder.mkdir()
    except FileExistsError:
        same = _owner(folder).get("identity")
        return same is not None and same == address.identity
    return True


def _owner(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / OWNER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _report(out: Path, folders: Sequence[Path]) -> Path:
    """Return the first report that is not there, or is of these inputs alone."""
    owners: dict[str, set[Path]] = {}
    for path in out.glob(f"*/{OWNER}"):
        owners.setdefault(str(_owner(path.parent).get("report")), set()).add(path.parent)

    def free(report: Path) -> bool:
        of = owners.get(report.name, set())
        return of <= set(folders) and (bool(of) or not report.exists())

    return next(filter(free, _numbered(out / "report.html")))


def _numbered(path: Path) -> Iterator[Path]:
    """Yield ``gate``, ``gate-2``, ``gate-3`` ..."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
