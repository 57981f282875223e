"""Anomalies that are not fast: someone dances, lies down, leaves a bag, climbs a lamp post.

Someone walks along a stream as all do, and stops. From then on the anomaly is labelled: the
person in his posture, or the bag alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.data.plaza import postures, sprites, things
from pipeline.data.plaza.scene import Actor, Pose, Scene

ODD = ("dancer", "lying", "bag", "climber")
FALL, BAR, CLIMB, TOP = 0.8, 1.3, 0.7, 2.2
"""Seconds of a fall and of a bar of the dance, m/s up the post, and the highest place there."""

Path = Callable[[float], Pose | None]


def odd_actors(
    rng: np.random.Generator, scene: Scene, kind: str, start: float, depths: tuple[float, float]
) -> list[Actor]:
    """Return who plays an anomaly of :data:`ODD` from second ``start``.

    Parameters
    ----------
    depths
        Least and largest distance from the camera in metres.
    """
    facing, who = int(rng.choice([-1, 1])), sprites.look(rng)
    walker = sprites.person(rng, scene.resolution, facing, who=who)
    x, z, speed = rng.uniform(-2.5, 2.5), rng.uniform(*depths), facing * rng.uniform(0.9, 1.4)
    if kind == "climber":
        post = scene.posts[int(rng.integers(2))].pose(0.0)
        assert post is not None, "a post stands at all times"
        x, z = post.x, post.z - 0.05
    stay = {"dancer": rng.uniform(2.5, 3.5), "bag": 0.6}.get(kind, np.inf)
    walking = Actor(walker, _walk(scene, walker, x, z, speed, start, start + stay))
    if kind == "bag":
        # Whoever puts it down stands there as he came; what is labelled is the bag.
        still = Actor(walker, _between(start, start + stay, lambda _: Pose(x, z, 0.0, 0.0)))
        left = Pose(x - facing * 0.45, z - 0.05, 0.0, 0.0)
        sprite = things.bag(rng, scene.resolution)
        return [walking, still, Actor(sprite, _between(start, np.inf, lambda _: left), True)]
    sprite, pose = _posture(scene, kind, who, facing, x, z)
    return [walking, Actor(sprite, _between(start, start + stay, pose), anomalous=True)]


def _posture(
    scene: Scene, kind: str, who: sprites.Look, facing: int, x: float, z: float
) -> tuple[sprites.Sprite, Callable[[float], Pose]]:
    """Return the pictures, and where they are ``gone`` seconds after the start."""
    if kind == "dancer":
        return postures.dancer(who, scene.resolution), lambda gone: Pose(x, z, 0.0, gone / BAR)
    if kind == "climber":
        sprite = postures.climber(who, scene.resolution)
        return sprite, lambda gone: Pose(x, z, min(CLIMB * gone, TOP), min(gone, TOP / CLIMB))
    last = (sprites.PHASES - 0.5) / sprites.PHASES
    sprite = postures.falling(who, scene.resolution, facing)
    return sprite, lambda gone: Pose(x, z, 0.0, min(gone / FALL, 1.0) * last)


def _between(start: float, stop: float, pose: Callable[[float], Pose]) -> Path:
    return lambda second: pose(second - start) if start <= second < stop else None


def _walk(
    scene: Scene,
    sprite: sprites.Sprite,
    x: float,
    z: float,
    speed: float,
    start: float,
    stop: float,
) -> Path:
    """Walk to ``x`` by second ``start``, and on from there at second ``stop``."""
    edge = scene.width / 2 * z / scene.focal - sprite.left

    def pose(second: float) -> Pose | None:
        if start <= second < stop:
            return None
        place = x + speed * (second - (start if second < start else stop))
        return Pose(place, z, 0.0, abs(place - x) / sprite.stride) if abs(place) < edge else None

    return pose
