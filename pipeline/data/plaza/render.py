"""From the scene and where everyone is to frames, anomaly masks and instance maps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from pipeline.data.plaza.scene import CAMERA_HEIGHT, HORIZON_ROW, NOISE_MARGIN, Actor, Pose, Scene
from pipeline.data.plaza.sprites import PHASES, Sprite


class Rendered(NamedTuple):
    """One frame of the plaza and its truth.

    Attributes
    ----------
    frame : ndarray, (H, W, 3) uint8
        RGB.
    anomaly : ndarray, (H, W) uint8
        1 where an anomalous actor is visible, else 0.
    instances : ndarray, (H, W) uint8
        0 is background; every visible actor has its own number.
    """

    frame: np.ndarray
    anomaly: np.ndarray
    instances: np.ndarray


def _placed(picture: np.ndarray, matrix: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Warp ``picture`` by the 2x3 ``matrix`` and cut (left, top, right, bottom) of the image."""
    left, top, right, bottom = box
    moved = matrix - np.array([[0, 0, left], [0, 0, top]])
    return cv2.warpAffine(picture, moved, (right - left, bottom - top), flags=cv2.INTER_LINEAR)


def _box(scene: Scene, matrix: np.ndarray, picture: np.ndarray) -> tuple[int, int, int, int] | None:
    """The part of the image that the warped picture covers, None if it is outside."""
    height, width = picture.shape[:2]
    (grow_x, shear, x), (_, grow_y, y) = matrix.tolist()
    columns = (x, x + grow_x * width, x + shear * height, x + grow_x * width + shear * height)
    rows = (y, y + grow_y * height)
    left, top = max(math.floor(min(columns)), 0), max(math.floor(min(rows)), 0)
    right = min(math.ceil(max(columns)) + 1, scene.width)
    bottom = min(math.ceil(max(rows)) + 1, scene.height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def render(
    scene: Scene, actors: Sequence[Actor], rng: np.random.Generator, frames: int, fps: float
) -> Iterator[Rendered]:
    """Yield ``frames`` frames: ground, shadows, actors from far to near, light, noise."""
    drift, colour = rng.uniform(0, 2 * math.pi, 2), rng.uniform(0.97, 1.03, 3)
    period = rng.uniform(14, 40, 2)
    for number in range(frames):
        second = number / fps
        posed = [(actor, pose) for actor in (*actors, *scene.posts) if (pose := actor.pose(second))]
        posed.sort(key=lambda item: -item[1].z)
        anomaly = np.zeros((scene.height, scene.width), np.uint8)
        instances = anomaly.copy()
        image = _shaded_ground(scene, posed)
        for label, (actor, pose) in enumerate(posed, start=1):
            _draw(scene, image, anomaly, instances, actor, pose, label)
        light = 1 + 0.05 * np.sin(2 * math.pi * second / period + drift).sum() * colour
        yield Rendered(_expose(scene, image, light, rng), anomaly, instances)


def _shaded_ground(scene: Scene, posed: Sequence[tuple[Actor, Pose]]) -> np.ndarray:
    """The empty plaza with everyone's shadow on it; where two shadows meet, the darker counts."""
    shade = np.zeros((scene.height, scene.width), np.float32)
    for actor, pose in posed:
        _cast_shadow(scene, shade, actor.sprite, pose)
    shade = 1 - 0.45 * shade
    return cv2.multiply(scene.ground, cv2.merge([shade, shade, shade]))


def _expose(
    scene: Scene, image: np.ndarray, light: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Light and sensor noise; the noise is a random cut of the scene's fields."""
    which, top, left = rng.integers([len(scene.noise), NOISE_MARGIN, NOISE_MARGIN])
    noise = scene.noise[which, top : top + scene.height, left : left + scene.width]
    factors: Any = (*light.tolist(), 1.0)  # OpenCV's stubs know no factor a channel
    lit = cv2.multiply(image, factors)
    return cv2.addWeighted(lit, 1.0, noise, 2.2, 0.0, dtype=cv2.CV_8U)


def _level(
    scene: Scene, sprite: Sprite, pose: Pose, finest: int
) -> tuple[np.ndarray, float, float]:
    """The picture to draw from, its pixels in image pixels (x, y)."""
    scale = scene.focal / pose.z
    levels = sprite.phases[int(pose.cycle * PHASES) % PHASES]
    level = min(max(finest, int(math.log2(max(1.0, sprite.resolution / scale)))), len(levels) - 1)
    full, picture = levels[0], levels[level]
    grow = scale / sprite.resolution
    return picture, grow * full.shape[1] / picture.shape[1], grow * full.shape[0] / picture.shape[0]


def _foot(scene: Scene, pose: Pose) -> tuple[float, float, float]:
    """Column and row of the ground point, and pixels per metre there."""
    scale = scene.focal / pose.z
    return (
        scene.width / 2 + scale * pose.x,
        HORIZON_ROW * scene.height + scale * CAMERA_HEIGHT,
        scale,
    )


def _cast_shadow(scene: Scene, shade: np.ndarray, sprite: Sprite, pose: Pose) -> None:
    picture, grow_x, grow_y = _level(scene, sprite, pose, finest=1)
    column, row, scale = _foot(scene, pose)
    along, up = scene.shadow
    # A point at height h casts its shadow h * along to the side and h * up down the image.
    top = sprite.top + pose.up
    matrix = np.array(
        [
            [grow_x, -along * grow_y, column + scale * (sprite.left + along * top)],
            [0.0, -up * grow_y, row + scale * up * top],
        ]
    )
    box = _box(scene, matrix, picture)
    if box is None:
        return
    left, top_row, right, bottom = box
    part = shade[top_row:bottom, left:right]
    np.maximum(part, _placed(np.ascontiguousarray(picture[..., 3]), matrix, box), out=part)


def _draw(
    scene: Scene,
    image: np.ndarray,
    anomaly: np.ndarray,
    instances: np.ndarray,
    actor: Actor,
    pose: Pose,
    label: int,
) -> None:
    picture, grow_x, grow_y = _level(scene, actor.sprite, pose, finest=0)
    column, row, scale = _foot(scene, pose)
    matrix = np.array(
        [
            [grow_x, 0.0, column + scale * actor.sprite.left],
            [0.0, grow_y, row - scale * (actor.sprite.top + pose.up)],
        ]
    )
    box = _box(scene, matrix, picture)
    if box is None:
        return
    left, top, right, bottom = box
    placed = _placed(picture, matrix, box)
    red, green, blue, alpha = cv2.split(placed)
    keep = 1 - alpha
    part = image[top:bottom, left:right]
    under = cv2.multiply(part, cv2.merge([keep, keep, keep]))
    cv2.add(under, cv2.merge([red, green, blue]), dst=part)
    inside = alpha > 0.5
    instances[top:bottom, left:right][inside] = label if actor.solid else 0
    anomaly[top:bottom, left:right][inside] = actor.anomalous
