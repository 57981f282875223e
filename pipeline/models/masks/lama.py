"""Random masks by the rules of LaMa (Suvorov et al. 2022): irregular strokes and boxes.

A mask is either some strokes or some boxes. A stroke starts anywhere and is a path of 1
to 5 straight pieces; a piece's direction is one of ``angles`` fixed steps of one radian,
mirrored for every other stroke; it is ``10 + U{0..length-1}`` long and ``5 +
U{0..width-1}`` wide. Sizes are given at 256 px and scale with the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.base.errors import ConfigurationError

REFERENCE_SIZE = 256


@dataclass(frozen=True)
class MaskRules:
    """Numbers of LaMa's generator, in pixels at 256 px; ranges include both ends.

    Attributes
    ----------
    strokes, length, width, angles
        Range of the number of strokes; longest and widest piece beyond the least of 10 and
        5; number of directions.
    boxes, side, margin
        Range of the number of boxes, of their sides, and their distance from the border.
    box_share
        Probability that a mask is made of boxes.
    """

    strokes: tuple[int, int]
    length: int
    width: int
    angles: int = 4
    boxes: tuple[int, int] = (0, 0)
    side: tuple[int, int] = (0, 0)
    margin: int = 0
    box_share: float = 0.0


#: ``default``: LaMa's training masks. The others: its evaluation sets, box weight 0.3 to 1.
#: Strokes are as many as LaMa draws: one more at most than its configurations say.
PRESETS: dict[str, MaskRules] = {
    "default": MaskRules(
        strokes=(1, 6),
        length=200,
        width=100,
        boxes=(1, 4),
        side=(30, 150),
        margin=10,
        box_share=0.5,
    ),
    "thin": MaskRules(strokes=(4, 51), length=40, width=10),
    "medium": MaskRules(
        strokes=(4, 6),
        length=100,
        width=50,
        boxes=(1, 5),
        side=(10, 50),
        box_share=0.3 / 1.3,
    ),
    "thick": MaskRules(
        strokes=(1, 6),
        length=200,
        width=100,
        boxes=(1, 3),
        side=(30, 150),
        margin=10,
        box_share=0.3 / 1.3,
    ),
}


def rules_of(preset: str) -> MaskRules:
    """Return a preset's rules.

    Raises
    ------
    ConfigurationError
        If there is no such preset.
    """
    if preset not in PRESETS:
        raise ConfigurationError(f"masks.preset: {preset!r} is none of {', '.join(PRESETS)}")
    return PRESETS[preset]


def random_mask(size: int, rules: MaskRules, rng: np.random.Generator) -> np.ndarray:
    """Draw a mask.

    Parameters
    ----------
    size
        Side of the square frame in pixels.

    Returns
    -------
    numpy.ndarray
        uint8 (size, size), 1 in the hole, never all 0.
    """
    if rng.random() < rules.box_share:
        return boxes(size, rules, rng)
    return strokes(size, rules, rng)


def strokes(size: int, rules: MaskRules, rng: np.random.Generator) -> np.ndarray:
    """Draw strokes alone; see :func:`random_mask`."""
    import cv2

    scale = size / REFERENCE_SIZE
    mask = np.zeros((size, size), np.uint8)
    for stroke in range(rng.integers(rules.strokes[0], rules.strokes[1] + 1)):
        start = rng.integers(size, size=2)
        for _ in range(rng.integers(1, 6)):
            angle = 0.01 + int(rng.integers(rules.angles))
            if stroke % 2 == 0:
                angle = 2 * math.pi - angle
            length = scale * (10 + int(rng.integers(rules.length)))
            width = max(1, round(scale * (5 + int(rng.integers(rules.width)))))
            step = np.array([math.sin(angle), math.cos(angle)]) * length
            end = np.clip((start + step).astype(int), 0, size)
            cv2.line(mask, _point(start), _point(end), 1, width)
            start = end
    return mask


def boxes(size: int, rules: MaskRules, rng: np.random.Generator) -> np.ndarray:
    """Draw boxes alone; see :func:`random_mask`."""
    scale = size / REFERENCE_SIZE
    margin = round(scale * rules.margin)
    least = max(1, round(scale * rules.side[0]))
    most = max(least, min(round(scale * rules.side[1]), size - 2 * margin))
    mask = np.zeros((size, size), np.uint8)
    for _ in range(rng.integers(rules.boxes[0], rules.boxes[1] + 1)):
        width, height = rng.integers(least, most + 1, size=2)
        left = rng.integers(margin, size - margin - width + 1)
        top = rng.integers(margin, size - margin - height + 1)
        mask[top : top + height, left : left + width] = 1
    return mask


def _point(place: np.ndarray) -> tuple[int, int]:
    return int(place[0]), int(place[1])
