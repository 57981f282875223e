"""From the stage ``patches`` to exemplars of what is normal (docs/local.md).

::

    OUT/exemplars.npz   the exemplars
    OUT/recipe.json     what they were made from, and their digest; written last

It takes seconds to minutes and never more memory than the candidates, whatever the data set. A
folder whose recipe is the wanted one is left alone; stopped before its end, it begins again.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import canonical, read_json, sha256_of_file, write_json
from pipeline.base.progress import progress_bar
from pipeline.shards.reader import Dataset, VideoInfo, open_dataset
from training.networks.exemplars import Exemplars, farthest, fit_space, save_exemplars
from training.settings.bank import BankTraining

FORMAT, VERSION = 1, 1


def train_bank(shards: Path, out: Path, settings: BankTraining, *, overwrite: bool = False) -> Path:
    """Choose exemplars from the normal training videos, held-out ones too; return ``out``.

    Those count as well, since a video is always judged without its own exemplars.

    Raises
    ------
    ConfigurationError
        If there are no shards of ``patches``, fewer than two normal videos, or another bank in
        ``out``.
    DataError
        If a descriptor is not finite.
    """
    dataset = open_dataset(shards)
    videos = dataset.select(split="train")
    if "patches" not in dataset.stages:
        raise ConfigurationError(
            f"{dataset.path}: stage patches is not in it; run `make {dataset.name}.patches` with "
            "the same PRESET, CACHE and RUNS"
        )
    if len(videos) < 2:
        raise ConfigurationError(
            f"{dataset.path}: has {len(videos)} normal training videos; 2 are needed at least, "
            "since what is normal in one is told by the others"
        )
    made = recipe(dataset, videos, settings)
    if (out / "recipe.json").exists() and not overwrite:
        there = read_recipe(out)
        if there["key"] != made["key"]:
            raise ConfigurationError(
                f"{out}: holds exemplars of another recipe; name another folder, or --overwrite"
            )
        print(f"exemplars: nothing to do, {out} has them")
        return out
    exemplars = choose(dataset, videos, settings)
    (out / "recipe.json").unlink(missing_ok=True)
    save_exemplars(out / "exemplars.npz", exemplars)
    digest = sha256_of_file(out / "exemplars.npz")
    write_json(out / "recipe.json", made | {"sha256": digest, "count": len(exemplars.points)})
    print(f"exemplars: {len(exemplars.points)} of {len(videos)} videos in {out}")
    return out


def recipe(dataset: Dataset, videos: list[VideoInfo], settings: BankTraining) -> dict[str, Any]:
    """Return what exemplars are made from, with the key that this has."""
    made = {
        "format": FORMAT,
        "version": VERSION,
        "kind": "bank",
        "settings": asdict(settings),
        "patches": dataset.keys["patches"],
        "descriptor": dataset.stages["patches"]["recipe"],
        "videos": {video.name: dataset.stages["patches"]["videos"][video.name]["folder"]
                   for video in videos},
    }  # fmt: skip
    return made | {"key": hashlib.sha256(canonical(made).encode()).hexdigest()}


def read_recipe(folder: Path) -> dict[str, Any]:
    """Read the recipe of exemplars.

    Raises
    ------
    ConfigurationError
        If there is none.
    DataError
        If it is another kind of file.
    """
    path = folder / "recipe.json"
    content = read_json(path, "; `python -m training bank` writes it", "make the exemplars again")
    if content.get("kind") != "bank" or content.get("format") != FORMAT:
        raise DataError(f"{path}: is no recipe of exemplars of format {FORMAT}; make them again")
    return content


def choose(dataset: Dataset, videos: list[VideoInfo], settings: BankTraining) -> Exemplars:
    """Take candidates of each video, fit their space, and keep those that cover it."""
    each = max(1, settings.candidates // len(videos))
    parts = []
    with progress_bar(len(videos), "patches") as bar:
        for video in videos:
            parts.append(candidates(dataset, video, each, settings.seed))
            bar.update(1)
    patches = np.concatenate(parts)
    mean, spread, axes = fit_space(patches, settings.dimensions)
    points = ((patches - mean) / spread) @ axes
    kept = farthest(points, settings.exemplars)
    origin = np.repeat(np.arange(len(parts)), [len(part) for part in parts]).astype(np.int32)
    names = tuple(video.name for video in videos)
    return Exemplars(mean, spread, axes, points[kept], origin[kept], names)


def candidates(dataset: Dataset, video: VideoInfo, count: int, seed: int) -> np.ndarray:
    """Return descriptors of a video, (at most ``count``, C) float32.

    Frames are evenly spaced, four times as many as would hold the descriptors, and of each some
    places are drawn by the seed, the video and the frame.
    """
    array = dataset.arrays("patches", video.name)["patch"]
    places = int(np.prod(array.shape[1:3]))
    wanted = min(video.frames, max(1, -(-4 * count // places)))
    frames = np.unique(np.linspace(0, video.frames - 1, wanted).round().astype(int))
    per_frame = min(places, -(-count // len(frames)))
    found = []
    for frame in frames:
        digest = hashlib.sha256(f"{seed}\n{video.name}\n{frame}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        patches = np.asarray(array[int(frame)], np.float32).reshape(places, -1)
        found.append(patches[rng.choice(places, per_frame, replace=False)])
    result = np.concatenate(found)[:count]
    if not np.isfinite(result).all():
        raise DataError(
            f"{video.name}: a descriptor of the stage patches is not finite; remove its shards and "
            "run the pipeline again"
        )
    return result
