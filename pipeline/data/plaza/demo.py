"""The demo data set: generated videos of a plaza, written as ordinary files.

``python -m pipeline demo OUT`` writes::

    OUT/train/01.mp4            normal videos
    OUT/test/01.mp4             videos with anomalies
    OUT/test_labels/01.npy      (N,) uint8, 1 = anomalous frame
    OUT/test_masks/01/0000.png  0 or 255, 255 = anomalous pixel

which ``data_manifests/demo.yaml`` describes, so that the demo walks the same road as
real data. :func:`render_scene` gives the same frames in memory, with any seed and size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from pipeline.base.errors import ConfigurationError, MachineError
from pipeline.data.plaza.actors import ANOMALIES, FAST, make_actors
from pipeline.data.plaza.odd import ODD
from pipeline.data.plaza.render import Rendered, render
from pipeline.data.plaza.scene import make_scene

__all__ = ["ANOMALIES", "DemoSettings", "Rendered", "render_scene", "write_demo"]


KINDS = {"fast": FAST, "odd": ODD, "all": ANOMALIES}


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """What ``python -m pipeline demo`` writes."""

    seed: int = 0
    """Seed of the place and of everyone in it; at least 0."""
    train_videos: int = 6
    """Normal videos, at least 1."""
    test_videos: int = 5
    """Videos with anomalies: one of each kind in turn, then one with two kinds."""
    frames: int = 160
    """Frames a video, at least 16."""
    height: int = 240
    """Pixels, even, at least 32."""
    width: int = 320
    """Pixels, even, at least 32."""
    fps: float = 25.0
    """Frames a second, above 0."""
    walkers: float = 8.0
    """Normal walkers in view at once, on average; at least 0."""
    anomalies: Literal["fast", "odd", "all"] = "fast"
    """``fast``: cyclist, runner, vehicle, thrown object. ``odd``: someone who dances, lies down,
    leaves a bag, climbs. ``all``: both."""

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("train_videos", 1), ("test_videos", 0), ("frames", 16)):
            if getattr(self, name) < least:
                raise ConfigurationError(
                    f"{name} = {getattr(self, name)}: at least {least} is needed"
                )
        for name in ("height", "width"):
            size = getattr(self, name)
            if size < 32 or size % 2:
                raise ConfigurationError(f"{name} = {size}: an even number from 32 is needed")
        if not self.fps > 0:
            raise ConfigurationError(f"fps = {self.fps}: a number above 0 is needed")
        if self.anomalies not in KINDS:
            raise ConfigurationError(
                f"anomalies = {self.anomalies!r}: is none of {', '.join(KINDS)}"
            )
        if not self.walkers >= 0:
            raise ConfigurationError(f"walkers = {self.walkers}: a number from 0 is needed")

    def test_kinds(self, number: int) -> tuple[str, ...]:
        """Return the anomalies of test video ``number``, from 1."""
        kinds = KINDS[self.anomalies]
        turn = (number - 1) % (len(kinds) + 1)
        return (kinds[turn],) if turn < len(kinds) else (kinds[1], kinds[0])


def render_scene(
    seed: int,
    *,
    frames: int = 160,
    height: int = 240,
    width: int = 320,
    fps: float = 25.0,
    walkers: float = 8.0,
    anomalies: Sequence[str] = (),
    place: int | None = None,
) -> Iterator[Rendered]:
    """Yield the frames of one generated video with its truth.

    Parameters
    ----------
    seed : int
        Who walks where, the light and the noise.
    frames : int
        How many frames.
    height, width : int
        Pixels, at least 32.
    fps : float
        Frames a second: sets how far everyone gets between frames.
    walkers : float
        Normal walkers in view at once, on average.
    anomalies : sequence of str
        Kinds out of :data:`ANOMALIES`, in the order in which they enter.
    place : int, optional
        Seed of the place (ground, building, sun); videos of one camera share it. By
        default ``seed``.

    Yields
    ------
    Rendered
        ``frame`` (H, W, 3) uint8 RGB, ``anomaly`` (H, W) uint8 {0, 1}, ``instances``
        (H, W) uint8 label map of everyone visible, 0 = background.
    """
    scene = make_scene(seed if place is None else place, height, width)
    rng = np.random.default_rng([seed, 2])
    actors = make_actors(rng, scene, frames / fps, walkers, anomalies)
    yield from render(scene, actors, rng, frames, fps)


def write_demo(out: Path, settings: DemoSettings | None = None) -> Path:
    """Write the demo data set below ``out`` and return ``out``.

    Nothing is written if ``out`` already holds the demo of the same settings; a folder
    with anything else in it is refused.

    Raises
    ------
    ConfigurationError
        ``out`` holds something else.
    MachineError
        OpenCV cannot write video here.
    """
    settings = settings or DemoSettings()
    record = out / "demo.json"
    wanted = json.dumps(_recorded(settings), indent=1, sort_keys=True)
    if record.is_file() and record.read_text() == wanted:
        return out
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not _unfinished(out):
        raise ConfigurationError(f"{out} holds something else; name a new folder for the demo")
    out.mkdir(parents=True, exist_ok=True)
    record.write_text("unfinished")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # its threads cost more than they save on parts this small
    try:
        for number in range(1, settings.train_videos + 1):
            _write_video(out, settings, "train", number, ())
        for number in range(1, settings.test_videos + 1):
            _write_video(out, settings, "test", number, settings.test_kinds(number))
    finally:
        cv2.setNumThreads(threads)
    record.write_text(wanted)
    return out


def _unfinished(out: Path) -> bool:
    record = out / "demo.json"
    return record.is_file() and record.read_text() == "unfinished"


def _recorded(settings: DemoSettings) -> dict[str, Any]:
    """Return what demo.json holds: demos made before there was a choice are ``fast``."""
    content = asdict(settings)
    if settings.anomalies == "fast":
        del content["anomalies"]
    return content


def _write_video(
    out: Path, settings: DemoSettings, split: str, number: int, anomalies: tuple[str, ...]
) -> None:
    name = f"{number:02d}"
    path = out / split / f"{name}.mp4"
    path.parent.mkdir(exist_ok=True)
    size = (settings.width, settings.height)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), settings.fps, size)
    if not writer.isOpened():
        raise MachineError(f"{path}: OpenCV cannot write mp4v video here; reinstall opencv")
    seed = settings.seed * 1_000_003 + number + (500_000 if split == "test" else 0)
    masks = []
    for rendered in render_scene(
        seed,
        frames=settings.frames,
        height=settings.height,
        width=settings.width,
        fps=settings.fps,
        walkers=settings.walkers,
        anomalies=anomalies,
        place=settings.seed,
    ):
        writer.write(cv2.cvtColor(rendered.frame, cv2.COLOR_RGB2BGR))
        masks.append(rendered.anomaly)
    writer.release()
    if split == "test":
        _write_truth(out, name, masks)


def _write_truth(out: Path, name: str, masks: list[np.ndarray]) -> None:
    labels = np.array([mask.any() for mask in masks], np.uint8)
    (out / "test_labels").mkdir(exist_ok=True)
    np.save(out / "test_labels" / f"{name}.npy", labels)
    folder = out / "test_masks" / name
    folder.mkdir(parents=True, exist_ok=True)
    for frame, mask in enumerate(masks):
        path = folder / f"{frame:04d}.png"
        if not cv2.imwrite(str(path), mask * np.uint8(255)):
            raise MachineError(f"{path}: could not be written; is the disk full?")
