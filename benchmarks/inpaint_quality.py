"""How well holes are filled: ``python -m benchmarks.inpaint_quality --help``.

PSNR inside holes whose content is known: silhouettes moved to ground that nobody covers.
Frames are of plazas that the embedded model never saw, or of a data set's shards.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.data.plaza.demo import render_scene
from pipeline.models.inpainting.holes import WINDOWS, Windowing
from pipeline.models.inpainting.inpainters import EMBEDDED, Inpainter, OpenCVInpainter, load_latent
from pipeline.shards.reader import open_dataset

Labelled = Iterator[tuple[np.ndarray, np.ndarray]]
"""Frames (S, S, 3) uint8 with the label maps (S, S) of their objects."""


def plaza_frames(places: int, frames: int, size: int) -> Labelled:
    """Yield frames of the demo's kind, resized as the stage ``frames`` does it."""
    for place in range(places):
        video = list(render_scene(1000 + place, frames=60, place=place))
        for rendered in video[:: 60 // frames][:frames]:
            yield (
                cv2.resize(rendered.frame, (size, size), interpolation=cv2.INTER_LINEAR),
                cv2.resize(rendered.instances, (size, size), interpolation=cv2.INTER_NEAREST),
            )


def known_holes(frames: Labelled, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images and holes: one walker's silhouette a frame, moved to where there is none."""
    rng = np.random.default_rng(seed)
    images, masks = [], []
    for frame, labels in frames:
        hole = moved_silhouette(rng, labels)
        if hole is not None:
            images.append(frame)
            masks.append(hole)
    return np.stack(images), np.stack(masks)


def moved_silhouette(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray | None:
    """Return a silhouette at a random place that no object covers; None if there is none."""
    sizes = np.bincount(labels.ravel(), minlength=2)
    usable = [n for n in range(1, len(sizes)) if sizes[n] >= 0.0005 * labels.size]
    if not usable:
        return None
    rows, columns = np.nonzero(labels == rng.choice(usable))
    rows, columns = rows - rows.min(), columns - columns.min()
    for _ in range(200):
        top = int(rng.integers(labels.shape[0] - rows.max()))
        left = int(rng.integers(labels.shape[1] - columns.max()))
        if not labels[rows + top, columns + left].any():
            hole = np.zeros(labels.shape, np.uint8)
            hole[rows + top, columns + left] = 1
            return hole
    return None


def shard_frames(shards: Path, every: int) -> Labelled:
    """Yield training frames of a data set with their label maps, from its shards."""
    dataset = open_dataset(shards)
    for video in dataset.select(split="train"):
        images = dataset.arrays("frames", video.name)["image"]
        labels = dataset.arrays("instances", video.name)["instances"]
        for frame in range(0, len(images), every):
            yield images[frame], labels[frame]


def hole_psnr(images: np.ndarray, filled: np.ndarray, masks: np.ndarray) -> float:
    """Return the PSNR in dB over all pixels inside holes."""
    error = (images.astype(float) - filled)[masks > 0]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def bias(images: np.ndarray, filled: np.ndarray, masks: np.ndarray) -> float:
    """Return how much too bright holes are on average, in levels of 255."""
    return float((filled.astype(float) - images)[masks > 0].mean())


def detail(images: np.ndarray, masks: np.ndarray) -> float:
    """Return the mean size of the Laplacian inside holes: how much texture there is."""
    sizes = [
        np.abs(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), -1))[
            mask > 0
        ]
        for image, mask in zip(images, masks, strict=True)
    ]
    return float(np.concatenate(sizes).mean())


def sheet(images: np.ndarray, masks: np.ndarray, results: Sequence[np.ndarray]) -> np.ndarray:
    """Return rows of frame, mask and results, the 64 px around each hole, three times as large."""
    columns = []
    for number, mask in enumerate(masks):
        window = Windowing(margin=16).place(mask)
        shown = [images[number], np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)]
        shown += [result[number] for result in results]
        cuts = [
            cv2.resize(window.cut(image), (192, 192), interpolation=cv2.INTER_NEAREST)
            for image in shown
        ]
        columns.append(np.vstack([np.pad(cut, ((2, 2), (2, 2), (0, 0))) for cut in cuts]))
    return np.hstack(columns)


def compare(
    images: np.ndarray, masks: np.ndarray, engines: dict[str, Inpainter], grow: int = 0
) -> list[np.ndarray]:
    """Print a line an engine; return what each made of the images.

    Holes are shown to the engines ``grow`` pixels larger on each side than they are judged.
    """
    print(f"{len(images)} holes, {masks.mean() * 100:.2f} % of a frame on average")
    print(f"{'engine':28} {'hole PSNR, dB':>14} {'detail':>8} {'too bright':>11}")
    print(f"{'(the frame itself)':28} {'':>14} {detail(images, masks):8.2f}")
    square = np.ones((2 * grow + 1, 2 * grow + 1), np.uint8)
    larger = np.stack([cv2.dilate(mask, square) for mask in masks])
    results = []
    for name, engine in engines.items():
        filled = engine(images, larger, range(len(images)))
        results.append(filled)
        print(
            f"{name:28} {hole_psnr(images, filled, masks):14.2f} {detail(filled, masks):8.2f} "
            f"{bias(images, filled, masks):11.1f}"
        )
    return results


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument("--steps", type=int, nargs="+", default=[20])
    parser.add_argument("--size", type=int, default=256, help="side of plaza frames")
    parser.add_argument("--window", choices=WINDOWS, default="hole")
    parser.add_argument("--resolution", type=int, default=0)
    parser.add_argument("--shards", type=Path, help="shards.json of a data set, to measure it")
    parser.add_argument("--every", type=int, default=10, help="take every so many frames of it")
    parser.add_argument("--grow", type=int, default=0, help="pixels that holes are made larger")
    parser.add_argument("--sheet", type=Path, help="write a picture of plaza frames (PNG)")
    given = parser.parse_args()
    engines: dict[str, Inpainter] = {
        name: OpenCVInpainter(engine=name, radius=3) for name in ("telea", "navier_stokes")
    }
    for steps in given.steps:
        windowing = Windowing(window=given.window, resolution=given.resolution)
        engines[f"latent, {steps} steps"] = load_latent(
            given.model, windowing=windowing, steps=steps
        )
    frames = (
        shard_frames(given.shards, given.every) if given.shards else plaza_frames(20, 6, given.size)
    )
    images, masks = known_holes(frames)
    results = compare(images, masks, engines, given.grow)
    if given.sheet:
        if given.shards:
            parser.error("--sheet is for plaza frames alone")
        chosen = np.linspace(0, len(images) - 1, 8).astype(int)
        shown = [results[0][chosen], results[2][chosen]]
        picture = sheet(images[chosen], masks[chosen], shown)
        cv2.imwrite(str(given.sheet), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
