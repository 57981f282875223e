"""Things that move, lie or stand on the plaza."""

from __future__ import annotations

import math

import numpy as np

from pipeline.data.plaza.sprites import PHASES, Pen, Point, Sprite, cloth, darker, polar


def vehicle(rng: np.random.Generator, resolution: float, facing: int) -> Sprite:
    """A small delivery van, moving to the right (``facing`` 1) or to the left (-1)."""
    paint, stripe = cloth(rng), cloth(rng)
    bright = (min(255, paint[0] + 60), min(255, paint[1] + 60), min(255, paint[2] + 60))
    phases = []
    for phase in range(PHASES):
        pen = Pen(-1.8, 1.8, 2.0, resolution, 0.1)
        body = [(-1.65, 0.3), (-1.65, 1.8), (0.75, 1.8), (1.25, 1.15), (1.65, 1.0), (1.65, 0.3)]
        glass = [(0.35, 1.65), (0.68, 1.65), (1.1, 1.12), (0.35, 1.12)]
        pen.shape([(x * facing, y) for x, y in body], bright)
        pen.shape([(x * facing, y) for x, y in glass], (60, 75, 90))
        pen.line((-1.6 * facing, 0.75), (1.6 * facing, 0.75), 0.14, stripe)
        pen.line((0.2 * facing, 1.7), (0.2 * facing, 0.4), 0.03, darker(bright))
        pen.disc((1.58 * facing, 0.8), 0.09, (250, 245, 200))
        for axle in (-1.0, 1.0):
            pen.disc((axle, 0.33), 0.33, (25, 25, 25))
            pen.disc((axle, 0.33), 0.18, (160, 160, 165))
            tip = polar((axle, 0.33), 2 * math.pi * phase / PHASES * facing, 0.16)
            pen.line((axle, 0.33), tip, 0.05, (60, 60, 60))
        phases.append(pen.levels())
    return Sprite(phases, resolution, -1.8, 2.0, 2.1)


def large_object(rng: np.random.Generator, resolution: float) -> Sprite:
    """A crate as large as a person is wide, one phase a twelfth of a full turn."""
    paint, tape = cloth(rng), cloth(rng)
    half_w, half_h = rng.uniform(0.5, 0.7), rng.uniform(0.35, 0.5)
    phases = []
    for phase in range(PHASES):
        pen = Pen(-1.0, 1.0, 1.5, resolution, 0.5)
        cos, sin = math.cos(2 * math.pi * phase / PHASES), math.sin(2 * math.pi * phase / PHASES)

        def turned(x: float, y: float, cos: float = cos, sin: float = sin) -> Point:
            return (x * cos - y * sin, x * sin + y * cos + half_h)

        box = [(-half_w, -half_h), (half_w, -half_h), (half_w, half_h), (-half_w, half_h)]
        pen.shape([turned(*corner) for corner in box], paint)
        pen.line(turned(-half_w, 0), turned(half_w, 0), 0.14, tape)
        pen.line(turned(0, -half_h), turned(0, half_h), 0.1, darker(paint))
        for start, end in zip(box, box[1:] + box[:1], strict=True):
            pen.line(turned(*start), turned(*end), 0.05, darker(paint, 0.5))
        phases.append(pen.levels())
    return Sprite(phases, resolution, -1.0, 1.5, 1.0)


def lamp_post(resolution: float) -> Sprite:
    """A lamp post, the same in every phase."""
    pen = Pen(-0.4, 0.4, 4.0, resolution, 0.1)
    pen.line((0, 0), (0, 3.6), 0.12, (58, 62, 60))
    pen.line((0, 0), (0, 0.4), 0.26, (48, 52, 50))
    pen.disc((0, 3.7), 0.24, (226, 224, 205))
    return Sprite([pen.levels()] * PHASES, resolution, -0.4, 4.0, 1.0)


def bag(rng: np.random.Generator, resolution: float) -> Sprite:
    """A bag that stands on the ground, the same in every phase."""
    colour, wide, high = cloth(rng), rng.uniform(0.5, 0.65), rng.uniform(0.35, 0.45)
    pen = Pen(-0.5, 0.5, 0.8, resolution, 0.1)
    pen.shape([(-wide / 2, 0), (-wide / 2, high), (wide / 2, high), (wide / 2, 0)], colour)
    pen.line((-wide / 2, high / 2), (wide / 2, high / 2), 0.04, darker(colour, 0.5))
    pen.disc((0.0, high), 0.12, darker(colour, 0.6), ring=0.04)
    return Sprite([pen.levels()] * PHASES, resolution, -0.5, 0.8, 1.0)
