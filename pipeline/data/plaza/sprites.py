"""Drawn figures of the generated plaza: walkers, runners, cyclists, vehicles, large objects.

A figure is drawn in metres, feet at the origin, y up, by a few thick lines and polygons
at three times the needed resolution, and averaged down. What comes out is premultiplied
(undrawn pixels are transparent black), so that averaging and warping need no care.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

Colour = tuple[int, int, int]
Point = tuple[float, float]

SUPERSAMPLE = 3
PHASES = 12
"""Pictures of one full cycle of a figure's motion."""

SKIN: tuple[Colour, ...] = ((241, 204, 177), (198, 146, 109), (141, 92, 62), (92, 58, 40))
HAIR: tuple[Colour, ...] = ((35, 28, 24), (88, 58, 36), (170, 132, 78), (150, 150, 150))


@dataclass(frozen=True)
class Sprite:
    """The pictures of one figure.

    Attributes
    ----------
    phases : list of list of ndarray, (h, w, 4) float32
        ``phases[p][level]``: premultiplied RGB in 0-255 and alpha in 0-1; each level has
        half the resolution of the one before.
    resolution : float
        Pixels per metre of level 0.
    left, top : float
        Metres from the feet to the picture's left edge (negative) and up to its top edge.
    stride : float
        Metres walked in one full cycle.
    """

    phases: list[list[np.ndarray]]
    resolution: float
    left: float
    top: float
    stride: float


class Pen:
    """Draws filled shapes in metres on a transparent canvas."""

    def __init__(self, left: float, right: float, top: float, resolution: float, below: float):
        self.scale = resolution * SUPERSAMPLE
        self.left, self.top = left, top
        self.size = (
            max(2, math.ceil((right - left) * resolution)),
            max(2, math.ceil((top + below) * resolution)),
        )
        shape = (self.size[1] * SUPERSAMPLE, self.size[0] * SUPERSAMPLE, 4)
        self.canvas = np.zeros(shape, np.uint8)

    def _at(self, point: Point) -> tuple[int, int]:
        return (
            round((point[0] - self.left) * self.scale),
            round((self.top - point[1]) * self.scale),
        )

    def line(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        """A line with round ends, ``width`` metres thick."""
        thick = max(1, round(width * self.scale))
        cv2.line(self.canvas, self._at(start), self._at(end), (*colour, 255), thick)

    def disc(self, centre: Point, radius: float, colour: Colour, ring: float = 0.0) -> None:
        """A filled disc, or a ring ``ring`` metres thick."""
        thick = max(1, round(ring * self.scale)) if ring else -1
        size = max(1, round(radius * self.scale))
        cv2.circle(self.canvas, self._at(centre), size, (*colour, 255), thick)

    def shape(self, points: list[Point], colour: Colour) -> None:
        """A filled polygon."""
        corners = np.array([self._at(p) for p in points], np.int32)
        cv2.fillPoly(self.canvas, [corners], (*colour, 255))

    def levels(self) -> list[np.ndarray]:
        """The canvas at full, half and a quarter of the resolution, premultiplied."""
        image = cv2.resize(self.canvas, self.size, interpolation=cv2.INTER_AREA)
        unit: Any = (1.0, 1.0, 1.0, 1 / 255.0)  # OpenCV's stubs know no factor a channel
        image = cv2.multiply(image, unit, dtype=cv2.CV_32F)
        images = [image]
        for _ in range(2):
            width, height = max(2, image.shape[1] // 2), max(2, image.shape[0] // 2)
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            images.append(image)
        return images


def polar(origin: Point, angle: float, length: float) -> Point:
    """The point ``length`` metres from ``origin``; angle 0 points down, positive forward."""
    return (origin[0] + length * math.sin(angle), origin[1] - length * math.cos(angle))


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(len(colours)))]


def cloth(rng: np.random.Generator) -> Colour:
    """A random colour of clothes, mostly muted."""
    hue, saturation, value = rng.uniform(0, 180), rng.uniform(20, 190), rng.uniform(40, 235)
    pixel = np.array([[[hue, saturation, value]]], np.uint8)
    red, green, blue = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]
    return int(red), int(green), int(blue)


def darker(colour: Colour, factor: float = 0.75) -> Colour:
    """The colour in shade."""
    return (int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor))


@dataclass(frozen=True)
class Look:
    """What tells one person from another: metres, colours, and whether bag, skirt, sleeves."""

    tall: float
    build: float
    shirt: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    bag: Colour
    extra: np.ndarray


def look(rng: np.random.Generator) -> Look:
    """Draw someone."""
    tall, build = rng.uniform(1.5, 1.92), rng.uniform(0.85, 1.25)
    shirt, trousers, skin, hair = cloth(rng), cloth(rng), _pick(rng, SKIN), _pick(rng, HAIR)
    shoes, bag, extra = darker(cloth(rng), 0.5), cloth(rng), rng.random(3)
    return Look(tall, build, shirt, trousers, skin, hair, shoes, bag, extra)


def person(
    rng: np.random.Generator,
    resolution: float,
    facing: int,
    running: bool = False,
    who: Look | None = None,
) -> Sprite:
    """A walker or runner.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the length of the stride, and without ``who`` the look.
    resolution : float
        Pixels per metre.
    facing : {-1, 0, 1}
        Walks to the left, along the line of sight, or to the right.
    running : bool
        A longer stride, bent arms, leaning forward.
    who : Look, optional
        Someone; by default anyone.
    """
    who = who or look(rng)
    tall, build, extra = who.tall, who.build, who.extra
    shirt, trousers, skin, hair, shoes = who.shirt, who.trousers, who.skin, who.hair, who.shoes
    swing, lean = (0.85, 0.28) if running else (rng.uniform(0.35, 0.5), 0.04)
    direction = facing or 1
    side = 1.0 if facing else 0.35
    phases = []
    for phase in range(PHASES):
        pen = Pen(-0.75, 0.75, 2.1, resolution, 0.1)
        step = math.sin(2 * math.pi * phase / PHASES)
        lift = abs(math.cos(2 * math.pi * phase / PHASES)) * (0.06 if running else 0.02)
        hip = (0.0, 0.48 * tall + lift)
        neck = (direction * side * lean, 0.84 * tall + lift)
        apart = 0.0 if facing else 0.08 * build
        for leg in (-1, 1):
            angle = leg * step * swing * side
            knee = polar((hip[0] + leg * apart, hip[1]), angle * direction, 0.25 * tall)
            bend = angle - (0.9 if running else 0.35) * max(0.0, -leg * step) * side
            foot = polar(knee, bend * direction, 0.23 * tall)
            colour = trousers if leg > 0 else darker(trousers)
            pen.line((hip[0] + leg * apart, hip[1]), knee, 0.15 * build, colour)
            pen.line(knee, foot, 0.12 * build, colour)
            pen.line(foot, (foot[0] + direction * side * 0.13, foot[1]), 0.09, shoes)
        wide = (0.13 if facing else 0.2) * build
        if extra[0] < 0.25 and facing:  # backpack
            back = neck[0] - direction * 0.2
            pen.line(
                (back, neck[1] - 0.12), (back - direction * 0.03, hip[1] + 0.12), 0.22, who.bag
            )
        pen.shape(
            [
                (neck[0] - wide * 1.15, neck[1] - 0.03),
                (neck[0] + wide * 1.15, neck[1] - 0.03),
                (hip[0] + wide, hip[1] - 0.05),
                (hip[0] - wide, hip[1] - 0.05),
            ],
            shirt,
        )
        if extra[1] < 0.25:  # skirt or long coat
            hem = 0.26 * tall + lift
            pen.shape(
                [(-wide, hip[1] + 0.1), (wide, hip[1] + 0.1), (0.25, hem), (-0.25, hem)], shirt
            )
        for arm in (-1, 1):
            shoulder = (neck[0] + (0 if facing else arm * wide * 1.2), neck[1] - 0.08)
            angle = -arm * step * swing * 0.9 * side
            elbow = polar(shoulder, angle * direction, 0.16 * tall)
            bend = angle + (1.4 if running else 0.2)
            hand = polar(elbow, bend * direction * side, 0.15 * tall)
            colour = darker(shirt) if arm < 0 else darker(shirt, 0.9)
            pen.line(shoulder, elbow, 0.1 * build, colour)
            pen.line(elbow, hand, 0.08 * build, skin if extra[2] < 0.4 else colour)
            if arm > 0 and 0.25 <= extra[0] < 0.45:  # shopping bag
                pen.line((hand[0], hand[1] - 0.1), (hand[0], hand[1] - 0.22), 0.24, who.bag)
        head = (neck[0] + direction * side * (0.03 + lean * 0.3), neck[1] + 0.115)
        pen.line(neck, head, 0.09, skin)
        pen.disc(head, 0.115, skin)
        pen.disc((head[0] - direction * side * 0.03, head[1] + 0.035), 0.105, hair)
        phases.append(pen.levels())
    return Sprite(phases, resolution, -0.75, 2.1, 2.6 if running else 1.4)


def cyclist(rng: np.random.Generator, resolution: float, facing: int) -> Sprite:
    """A rider on a bicycle, moving to the right (``facing`` 1) or to the left (-1)."""
    shirt, trousers, skin, frame = cloth(rng), cloth(rng), _pick(rng, SKIN), cloth(rng)
    phases = []
    for phase in range(PHASES):
        pen = Pen(-1.05, 1.05, 2.0, resolution, 0.1)
        turn = 2 * math.pi * phase / PHASES
        rear, front = (-0.52 * facing, 0.34), (0.52 * facing, 0.34)
        saddle, crank = (-0.22 * facing, 0.92), (-0.05 * facing, 0.32)
        bar, shoulder = (0.4 * facing, 1.02), (0.12 * facing, 1.42)
        for wheel in (rear, front):
            pen.disc(wheel, 0.33, (25, 25, 25), ring=0.06)
            for spoke in range(3):
                tip = polar(wheel, facing * turn / 2 + spoke * math.pi / 3, 0.3)
                pen.line(
                    (2 * wheel[0] - tip[0], 2 * wheel[1] - tip[1]), tip, 0.015, (130, 130, 130)
                )
        for start, end in (
            (rear, crank),
            (crank, saddle),
            (saddle, rear),
            (crank, bar),
            (bar, front),
        ):
            pen.line(start, end, 0.06, frame)
        pen.line(saddle, (bar[0], bar[1] - 0.12), 0.06, frame)
        for leg in (-1, 1):
            foot = polar(crank, facing * turn + (math.pi if leg > 0 else 0), 0.17)
            knee = ((saddle[0] + foot[0]) / 2 + 0.2 * facing, (saddle[1] + foot[1]) / 2 + 0.12)
            colour = trousers if leg > 0 else darker(trousers)
            pen.line(saddle, knee, 0.16, colour)
            pen.line(knee, foot, 0.12, colour)
        pen.line((saddle[0], saddle[1] + 0.08), shoulder, 0.28, shirt)
        pen.line(shoulder, bar, 0.09, darker(shirt))
        pen.disc((shoulder[0] + 0.1 * facing, shoulder[1] + 0.22), 0.12, skin)
        pen.disc((shoulder[0] + 0.08 * facing, shoulder[1] + 0.27), 0.12, darker(frame))
        phases.append(pen.levels())
    return Sprite(phases, resolution, -1.05, 2.0, 3.0)
