"""The place: camera, ground, building and what stands there in every video.

World: metres, x to the right, z away from the camera, a flat ground. Camera: a pinhole
whose image plane stays upright, so that with camera height C and focal length f a ground
point lies in row ``horizon + f C / z`` and column ``centre + f x / z``, and everything
that stands there is drawn at ``f / z`` pixels per metre.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.base.errors import ConfigurationError
from pipeline.data.plaza import things
from pipeline.data.plaza.sprites import Sprite

CAMERA_HEIGHT = 9.0
FAR_ROW = 0.2
"""Where the plaza ends and the building behind it begins, in parts of the height."""
HORIZON_ROW = -0.35
NOISE_MARGIN = 48
"""Noise fields are larger than the image by this much, so that random cuts differ."""


class Pose(NamedTuple):
    """Where an actor is: ground point and height above it (m), cycle in turns."""

    x: float
    z: float
    up: float
    cycle: float


@dataclass(frozen=True)
class Actor:
    """Something that moves over the plaza; ``pose`` maps seconds to where it is."""

    sprite: Sprite
    pose: Callable[[float], Pose | None]
    anomalous: bool = False
    solid: bool = True


@dataclass(frozen=True)
class Scene:
    """What stays the same in all videos of one camera."""

    height: int
    width: int
    ground: np.ndarray
    noise: np.ndarray
    shadow: tuple[float, float]
    posts: tuple[Actor, ...]

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return float(self.height)

    @property
    def resolution(self) -> float:
        """Pixels per metre at the bottom row, the largest of the image."""
        return (1 - HORIZON_ROW) * self.height / CAMERA_HEIGHT


@lru_cache(maxsize=2)
def make_scene(seed: int, height: int = 240, width: int = 320) -> Scene:
    """Draw the plaza that belongs to ``seed``.

    Parameters
    ----------
    seed : int
        Paving, colours, facade, direction of the sun.
    height, width : int
        Pixels, at least 32 each.
    """
    if height < 32 or width < 32:
        raise ConfigurationError(f"a plaza needs at least 32 x 32 pixels, not {height} x {width}")
    rng = np.random.default_rng([seed, 1])
    # Kept for the next video of this place, so nobody may write into the arrays.
    noise = rng.standard_normal((2, height + NOISE_MARGIN, width + NOISE_MARGIN, 3), np.float32)
    noise.flags.writeable = False
    sun = (float(rng.choice([-1, 1])) * rng.uniform(0.35, 0.8), rng.uniform(-0.4, -0.2))
    scene = Scene(height, width, _ground(rng, height, width), noise, sun, ())
    posts = []
    for side in (-1, 1):
        pose = Pose(side * rng.uniform(3.0, 5.0), rng.uniform(10.9, 11.5), 0.0, 0.0)
        sprite = things.lamp_post(scene.resolution)
        posts.append(Actor(sprite, lambda _, pose=pose: pose, solid=False))  # type: ignore[misc]
    return Scene(height, width, scene.ground, noise, sun, tuple(posts))


def _ground(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """The empty plaza, (H, W, 3) float32 in 0-255: paving, stains, a facade behind."""
    over = 2
    rows, columns = np.mgrid[0 : height * over, 0 : width * over].astype(np.float32) / over
    depth = height * CAMERA_HEIGHT / (rows - HORIZON_ROW * height)
    across = (columns - width / 2) * depth / height
    angle, tile = rng.uniform(0, math.pi / 2), rng.uniform(0.6, 1.1)
    u = (across * math.cos(angle) - depth * math.sin(angle)) / tile
    v = (across * math.sin(angle) + depth * math.cos(angle)) / tile
    shades = rng.uniform(-14, 14, (64, 64)).astype(np.float32)
    image = shades[np.floor(u).astype(int) % 64, np.floor(v).astype(int) % 64]
    joint = np.minimum(np.abs(u - np.round(u)), np.abs(v - np.round(v))) * tile
    image -= 30 * (joint < 0.025)
    image -= 22 * (np.abs(depth - 11.2) < 0.12)  # the drain between the two streams
    for cells, strength in ((6, 10.0), (24, 6.0), (96, 5.0)):
        small = rng.normal(0, strength, (cells, cells)).astype(np.float32)
        image += cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_CUBIC)
    image += rng.normal(0, 6, image.shape).astype(np.float32)
    tint = np.array([1.0, rng.uniform(0.94, 1.0), rng.uniform(0.82, 1.0)], np.float32)
    colour = (image + rng.uniform(125, 170))[..., None] * tint
    _facade(rng, colour, round(FAR_ROW * height * over))
    small = cv2.resize(colour, (width, height), interpolation=cv2.INTER_AREA)
    ground = np.clip(small, 0, 255)
    ground.flags.writeable = False
    return ground


def _facade(rng: np.random.Generator, image: np.ndarray, bottom: int) -> None:
    """Draw a wall with windows above a hedge into the rows before ``bottom``."""
    wall = rng.uniform(90, 190, 3)
    image[:bottom] = wall + rng.normal(0, 4, (bottom, image.shape[1], 1))
    window, gap = max(4, bottom // 2), max(3, bottom // 3)
    for left in range(int(rng.integers(gap)), image.shape[1], window + gap):
        image[: bottom // 2, left : left + window] = wall * rng.uniform(0.3, 0.55)
    hedge = rng.normal(0, 22, (bottom // 4 + 1, image.shape[1], 1)) + np.array([58, 88, 48])
    image[bottom - len(hedge) : bottom] = hedge
    image[bottom : bottom + max(1, bottom // 20)] = 175.0
