"""People in postures that no walker has."""

from __future__ import annotations

import math

from pipeline.data.plaza.sprites import PHASES, Look, Pen, Point, Sprite, darker, polar

LEFT, TOP = -1.0, 2.5
"""Metres from the feet to a picture's left edge and to its top: room for raised arms."""


def dancer(who: Look, resolution: float) -> Sprite:
    """Someone who sways, bends the knees and waves both arms; one cycle is one bar."""
    phases = []
    for phase in range(PHASES):
        pen = Pen(LEFT, -LEFT, TOP, resolution, 0.1)
        turn = 2 * math.pi * phase / PHASES
        sway, dip = 0.14 * math.sin(turn), 0.06 * (1 - math.cos(2 * turn))
        hip = (sway, 0.48 * who.tall - dip)
        feet = [(-0.22, 0.04), (0.22, 0.04 + 0.16 * max(0.0, math.sin(turn)))]
        raised = [2.3 + 0.7 * math.sin(turn), 2.3 - 0.7 * math.sin(turn)]
        _figure(pen, who, hip, (1.5 * sway, 0.84 * who.tall - dip), feet, raised)
        phases.append(pen.levels())
    return Sprite(phases, resolution, LEFT, TOP, 1.0)


def climber(who: Look, resolution: float) -> Sprite:
    """Someone who pulls himself up, one hand over the other."""
    phases = []
    for phase in range(PHASES):
        pen = Pen(LEFT, -LEFT, TOP, resolution, 0.1)
        pull = math.sin(2 * math.pi * phase / PHASES)
        feet = [(-0.12, 0.12 + 0.12 * pull), (0.12, 0.12 - 0.12 * pull)]
        raised = [2.9 - 0.3 * pull, 2.9 + 0.3 * pull]
        _figure(pen, who, (0.0, 0.5 * who.tall), (0.0, 0.84 * who.tall), feet, raised)
        phases.append(pen.levels())
    return Sprite(phases, resolution, LEFT, TOP, 1.0)


def falling(who: Look, resolution: float, side: int) -> Sprite:
    """Someone who falls to the right (``side`` 1) or to the left; in the last phase he lies."""
    phases = []
    for phase in range(PHASES):
        pen = Pen(-2.2, 2.2, TOP, resolution, 0.1)
        angle = math.pi - 0.5 * math.pi * 0.97 * phase / (PHASES - 1)

        def at(length: float, aside: float = 0.0, angle: float = angle) -> Point:
            along = polar((0.0, 0.12), side * angle, length)
            return polar(along, side * (angle - math.pi / 2), aside)

        for leg in (-1, 1):
            pen.line(at(0.0, 0.07 * leg), at(0.48 * who.tall), 0.14 * who.build, who.trousers)
            pen.line(at(0.0, 0.07 * leg), at(0.05, 0.07 * leg), 0.11, who.shoes)
        pen.line(at(0.5 * who.tall), at(0.82 * who.tall), 0.3 * who.build, who.shirt)
        for arm in (-1, 1):
            start = at(0.78 * who.tall, 0.1 * arm)
            pen.line(start, at(1.02 * who.tall, 0.28 * arm), 0.09, darker(who.shirt))
        pen.disc(at(0.93 * who.tall), 0.115, who.skin)
        pen.disc(at(0.97 * who.tall), 0.1, who.hair)
        phases.append(pen.levels())
    return Sprite(phases, resolution, -2.2, TOP, 1.0)


def _figure(
    pen: Pen, who: Look, hip: Point, neck: Point, feet: list[Point], raised: list[float]
) -> None:
    """Draw someone seen from the front; ``raised`` are the arms' angles, pi points up."""
    wide = 0.2 * who.build
    for side, foot in zip((-1, 1), feet, strict=True):
        top = (hip[0] + 0.08 * side * who.build, hip[1])
        knee = ((top[0] + foot[0]) / 2 + 0.08 * side, (top[1] + foot[1]) / 2)
        pen.line(top, knee, 0.15 * who.build, who.trousers)
        pen.line(knee, foot, 0.12 * who.build, who.trousers)
        pen.line(foot, (foot[0] + 0.06 * side, foot[1]), 0.09, who.shoes)
    corners = [(neck[0] - wide, neck[1]), (neck[0] + wide, neck[1])]
    pen.shape([*corners, (hip[0] + 0.8 * wide, hip[1]), (hip[0] - 0.8 * wide, hip[1])], who.shirt)
    for side, angle in zip((-1, 1), raised, strict=True):
        shoulder = (neck[0] + 1.1 * side * wide, neck[1] - 0.06)
        elbow = polar(shoulder, side * angle * 0.8, 0.17 * who.tall)
        hand = polar(elbow, side * angle, 0.17 * who.tall)
        pen.line(shoulder, elbow, 0.1 * who.build, darker(who.shirt, 0.9))
        pen.line(elbow, hand, 0.08 * who.build, who.skin)
    head = (neck[0], neck[1] + 0.12)
    pen.disc(head, 0.115, who.skin)
    pen.disc((head[0], head[1] + 0.04), 0.1, who.hair)
