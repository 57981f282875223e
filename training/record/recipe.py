"""What a training was made from: enough to repeat it, and to refuse to mix two of them."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.base.errors import ConfigurationError
from pipeline.base.files import canonical
from pipeline.shards.reader import Dataset, VideoInfo
from training.settings.base import AutoencoderTraining, DiscriminatorTraining
from training.settings.inpainter import InpainterTraining

FORMAT = 1
#: Settings that came later, with the value that every training before them had. Recipes leave
#: them out at that value, so that what was trained before is still found.
LATER = {"drop_last": False, "initialisation": "pytorch", "channels_in": 3}


def make_recipe(
    kind: str,
    settings: AutoencoderTraining | DiscriminatorTraining | InpainterTraining,
    architecture: Any,
    dataset: Dataset,
    stages: tuple[str, ...],
    videos: list[VideoInfo],
    holdout: list[VideoInfo],
    **data: Any,
) -> dict[str, Any]:
    """Return the recipe of a training.

    Parameters
    ----------
    kind
        ``spatial``, ``temporal``, ``discriminator`` or ``inpainter``.
    settings, architecture
        Dataclasses: what decides the weights, and the network's own.
    stages
        Whose shards are read.
    data
        Further facts about the data that decide the weights (``flow_scale``, the digest of
        the intruders).

    Returns
    -------
    dict
        ``key`` is a digest of all of it but ``provenance``, which records where and with
        which versions it was made.

    Raises
    ------
    ConfigurationError
        If a stage is missing.
    """
    for stage in stages:
        if stage not in dataset.keys:
            raise ConfigurationError(
                f"{dataset.path}: training {kind} reads stage {stage}, which is not there; run "
                f"`make {dataset.name}.{stage}` with the same PRESET, CACHE and RUNS"
            )
    recipe: dict[str, Any] = {
        "format": FORMAT,
        "kind": kind,
        "settings": _as_before(asdict(settings)),
        "architecture": _as_before(asdict(architecture)),
        "data": {
            "dataset": dataset.name,
            "shards": {stage: dataset.keys[stage] for stage in stages},
            "videos": [video.name for video in videos],
            "holdout": [video.name for video in holdout],
            **data,
        },
    }
    # Through JSON's eyes, so that what is compared on resuming is what was written.
    plain = _plain(recipe)
    return plain | {
        "key": hashlib.sha256(canonical(plain).encode()).hexdigest()[:16],
        "contents": _contents(dataset, stages[0], [*videos, *holdout]),
        "provenance": provenance(),
    }


def _as_before(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out later settings that are as they were before there was a choice."""
    return {
        name: _as_before(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name not in LATER or value != LATER[name]
    }


def _contents(dataset: Dataset, stage: str, videos: list[VideoInfo]) -> dict[str, str]:
    """Return each video's digest, which the folder of its shards ends in."""
    folders = dataset.stages[stage]["videos"]
    return {
        video.name: Path(folders[video.name]["folder"]).name.rpartition("-")[2] for video in videos
    }


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Tell whether two recipes are of one training: settings, shards, and what is in the videos.

    Recipes that were made before they held the videos' digests are taken as they are.
    """
    contents = theirs.get("contents", ours.get("contents"))
    return bool(ours["key"] == theirs.get("key") and contents == ours.get("contents"))


def new_data(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Say in which videos two recipes differ, where they differ in nothing else; else nothing.

    The flow's scale is measured on the videos, so it may follow them.
    """

    def rest(recipe: dict[str, Any]) -> dict[str, Any]:
        skip = ("key", "provenance", "result", "weights_sha256", "contents", "data")
        data = {
            name: value
            for name, value in recipe.get("data", {}).items()
            if name not in ("videos", "holdout", "flow_scale")
        }
        return {name: value for name, value in recipe.items() if name not in skip} | {"data": data}

    if same(ours, theirs) or rest(ours) != rest(theirs):
        return []
    now, then = _videos(ours), _videos(theirs)
    new, gone = sorted(now.keys() - then.keys()), sorted(then.keys() - now.keys())
    other = sorted(
        name
        for name in now.keys() & then.keys()
        if None not in (then[name], now[name]) and now[name] != then[name]
    )
    held = ours["data"].get("holdout") != theirs["data"].get("holdout")
    found = [("new", new), ("gone", gone), ("of other content", other)]
    said = [f"{_listed(names)} {what}" for what, names in found if names]
    return said or (["others are held out"] if held else [])


def _videos(recipe: dict[str, Any]) -> dict[str, str | None]:
    contents = recipe.get("contents", {})
    return {
        name: contents.get(name)
        for part in ("videos", "holdout")
        for name in recipe["data"].get(part, [])
    }


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def provenance() -> dict[str, Any]:
    """Return where, when and with which versions this process runs."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": str(np.__version__),
        },
        "commit": git_commit(),
        "command": sys.argv,
    }


def git_commit() -> str | None:
    """Return the commit that this code is of, with ``+`` if changed since; None outside git."""
    folder = Path(__file__).parents[1]
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Return one line for each setting in which two recipes differ, provenance aside."""
    skip = {"provenance", "key", "result", "weights_sha256"}
    skip |= {"contents"} - (ours.keys() & theirs.keys())
    a, b = (
        _flat({k: v for k, v in ours.items() if k not in skip}),
        _flat({k: v for k, v in theirs.items() if k not in skip}),
    )
    missing = "(none)"
    return [
        f"{name}: {b.get(name, missing)} there, {a.get(name, missing)} asked for"
        for name in sorted(a.keys() | b.keys())
        if a.get(name, missing) != b.get(name, missing)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: leaf
        for key, item in value.items()
        for name, leaf in _flat(item, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
    ).stdout.strip()
