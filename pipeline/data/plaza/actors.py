"""Who moves over the plaza, and along which path: two streams, a crossing path, anomalies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from pipeline.base.errors import ConfigurationError
from pipeline.data.plaza import sprites, things
from pipeline.data.plaza.odd import ODD, odd_actors
from pipeline.data.plaza.scene import Actor, Pose, Scene
from pipeline.data.plaza.sprites import Sprite

FAST = ("cyclist", "runner", "vehicle", "object")
ANOMALIES = (*FAST, *ODD)
NEAR_LANE, FAR_LANE = (7.4, 10.8), (11.6, 15.4)
"""Depths of the two streams: the near one walks to the right, the far one to the left."""


def _walker(rng: np.random.Generator, scene: Scene, start: float) -> Actor | None:
    """A normal walker who enters at second ``start``, in a stream or on the crossing path.

    None if the walker has left before second 0: drawing the pictures is what takes time.
    """
    speed, wobble, rate = rng.uniform(0.8, 1.6), rng.uniform(0.02, 0.15), rng.uniform(0.2, 0.6)
    longest = max(2 * (scene.width / 2 * FAR_LANE[1] / scene.focal + 1), 11.4)
    if start + longest / speed < 0:
        return None
    if rng.random() < 0.22:
        x, toward = rng.uniform(-2.6, 2.6), rng.random() < 0.5
        sprite = sprites.person(rng, scene.resolution, 0)

        def crossing(second: float) -> Pose | None:
            gone = (second - start) * speed
            z = 16.2 - gone if toward else 4.8 + gone
            if gone < 0 or not 4.8 <= z <= 16.2:
                return None
            return Pose(x + wobble * math.sin(rate * gone), z, 0.0, gone / sprite.stride)

        return Actor(sprite, crossing)
    near = rng.random() < 0.5
    facing = 1 if near else -1
    sprite = sprites.person(rng, scene.resolution, facing)
    return Actor(sprite, _along(rng, scene, sprite, start, facing * speed, near, wobble))


def _along(
    rng: np.random.Generator,
    scene: Scene,
    sprite: Sprite,
    start: float,
    speed: float,
    near: bool,
    wobble: float = 0.03,
) -> Callable[[float], Pose | None]:
    """A path along a stream, from one edge of the image to the other, ``speed`` in m/s."""
    z = rng.uniform(*(NEAR_LANE if near else FAR_LANE))
    edge = scene.width / 2 * z / scene.focal - sprite.left

    def pose(second: float) -> Pose | None:
        gone = (second - start) * abs(speed)
        if not 0 <= gone <= 2 * edge:
            return None
        x = (gone - edge) * math.copysign(1, speed)
        return Pose(x, z + wobble * math.sin(0.5 * gone), 0.0, gone / sprite.stride)

    return pose


def _thrown(rng: np.random.Generator, scene: Scene, sprite: Sprite, start: float) -> Callable:
    """A throw from outside the image: an arc of 1.1 s, a slide of 0.8 s, then it lies there."""
    side, z = float(rng.choice([-1, 1])), rng.uniform(8.5, 13.0)
    edge = scene.width / 2 * z / scene.focal - sprite.left
    landing = edge * rng.uniform(-0.3, 0.3)
    top, flight, slide = rng.uniform(1.5, 2.5), 1.1, 0.8

    def pose(second: float) -> Pose | None:
        part = (second - start) / flight
        if part < 0:
            return None
        speed = (landing + edge) / flight
        if part < 1:
            x = -edge + speed * flight * part
            return Pose(side * x, z, top * 4 * part * (1 - part), part * 2)
        rest = min((second - start - flight) / slide, 1.0)
        x = landing + speed * 0.35 * slide * (rest - rest * rest / 2)
        return Pose(side * x, z, 0.0, 0.0)

    return pose


def _anomaly(rng: np.random.Generator, scene: Scene, kind: str, start: float) -> list[Actor]:
    if kind in ODD:
        return odd_actors(rng, scene, kind, start, (NEAR_LANE[0], 13.0))
    near = rng.random() < 0.5
    stream = 1 if near else -1
    if kind == "cyclist":
        sprite = sprites.cyclist(rng, scene.resolution, stream)
        pose = _along(rng, scene, sprite, start, stream * rng.uniform(4.2, 5.6), near)
    elif kind == "runner":
        sprite = sprites.person(rng, scene.resolution, -stream, running=True)
        pose = _along(rng, scene, sprite, start, -stream * rng.uniform(3.2, 4.2), near)
    elif kind == "vehicle":
        sprite = things.vehicle(rng, scene.resolution, stream)
        pose = _along(rng, scene, sprite, start, stream * rng.uniform(2.6, 3.6), near)
    elif kind == "object":
        sprite = things.large_object(rng, scene.resolution)
        pose = _thrown(rng, scene, sprite, start)
    else:
        raise ConfigurationError(f"anomaly {kind!r} is none of {', '.join(ANOMALIES)}")
    return [Actor(sprite, pose, anomalous=True)]


def make_actors(
    rng: np.random.Generator,
    scene: Scene,
    seconds: float,
    walkers: float,
    anomalies: Sequence[str] = (),
) -> list[Actor]:
    """Walkers for ``seconds`` of video, about ``walkers`` visible at once, and anomalies.

    Walkers enter as a Poisson process that began before the video, so that its first
    frame is as busy as its last. Anomaly k of K enters at (0.25 to 0.4 + k) / K of it.
    """
    lane = scene.width * 11.5 / scene.focal + 1.5
    stay = lane / 1.2
    entries = np.sort(rng.uniform(-2 * stay, seconds, rng.poisson(walkers * (seconds / stay + 2))))
    walking = (_walker(rng, scene, float(start)) for start in entries)
    actors = [actor for actor in walking if actor]
    for place, kind in enumerate(anomalies):
        start = seconds * (place + rng.uniform(0.25, 0.4)) / len(anomalies)
        actors += _anomaly(rng, scene, kind, start)
    return actors
