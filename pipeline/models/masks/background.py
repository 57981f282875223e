"""What moves before a fixed camera: OpenCV's MOG2 background, compared with each frame.

MOG2 (Zivkovic 2004) learns a mixture of Gaussians a pixel. Here it learns from frames
evenly spaced over a span of the video, and only the background image of its dominant
Gaussians is kept. Two measurements decided against MOG2's own foreground mask: with its
usual background ratio of 0.9 it takes Ped2's walkers, who cross the same pixels all the
time, for background; and even with a learning rate of 0 it swaps Gaussians of equal
weight, so that a frame's mask depends on the frames seen before. Compared with an image,
each frame's result is a function of the span and that frame alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np

#: Share of a pixel's Gaussians that is background: the dominant one.
BACKGROUND_RATIO = 0.1
#: Share of the light that reaches the ground in the darkest cast shadow.
DARKEST_SHADOW = 0.4


def spans(frames: int, span: int) -> list[range]:
    """Cut a video into nearly equal spans of about ``span`` frames, each with its own background.

    >>> spans(1000, 4500), spans(10, 4)
    ([range(0, 1000)], [range(0, 5), range(5, 10)])
    """
    count = max(1, round(frames / span))
    edges = [number * frames // count for number in range(count + 1)]
    return [range(a, b) for a, b in itertools.pairwise(edges)]


def sample_frames(span: range, samples: int) -> list[int]:
    """Return at most ``samples`` frame numbers, evenly spaced from a span's first to its last.

    >>> sample_frames(range(10, 20), 4)
    [10, 13, 16, 19]
    """
    last = len(span) - 1
    count = min(samples, len(span))
    return [span.start + round(index * last / max(1, count - 1)) for index in range(count)]


def background_image(images: Iterable[np.ndarray]) -> np.ndarray:
    """Return the image of what stays, float32 (H, W, 3), from RGB uint8 frames (H, W, 3)."""
    import cv2

    images = list(images)
    model = cv2.createBackgroundSubtractorMOG2(history=len(images), detectShadows=False)
    model.setBackgroundRatio(BACKGROUND_RATIO)
    for image in images:
        model.apply(image)
    return model.getBackgroundImage().astype(np.float32)


def foreground(
    image: np.ndarray, background: np.ndarray, threshold: float, shadows: bool = True
) -> np.ndarray:
    """Return where a frame differs from the background.

    Parameters
    ----------
    image
        RGB uint8 (H, W, 3).
    background
        From :func:`background_image`.
    threshold
        Least difference in grey levels, of the channel that differs most, after a 3x3
        Gaussian against sensor noise. The light's slow change is taken out first, as
        the median of image / background.
    shadows
        False leaves out what is only a darker background of the same colour (Horprasert
        et al. 1999), which in grey video is dark clothes as well.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W) of 0 and 1; specks are opened away (3x3), and gaps closed (3 wide, 7
        high, since most gaps part a head from a body).
    """
    import cv2

    few = (slice(None, None, 4), slice(None, None, 4))  # enough for a median
    light = float(np.median(image[few] / np.maximum(background[few], 1.0)))
    expected = cv2.GaussianBlur(light * background, (3, 3), 0)
    frame = cv2.GaussianBlur(image.astype(np.float32), (3, 3), 0)
    found = np.abs(frame - expected).max(axis=2) > threshold
    if not shadows:
        found &= ~_shadow(frame, expected, threshold)
    mask = found.astype(np.uint8)
    ellipse = cv2.MORPH_ELLIPSE
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(ellipse, (3, 3)))
    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(ellipse, (3, 7)))


def _shadow(frame: np.ndarray, expected: np.ndarray, threshold: float) -> np.ndarray:
    """Tell where a frame is its background scaled down, to within half the threshold."""
    bright = (frame * expected).sum(axis=2) / np.maximum((expected**2).sum(axis=2), 1.0)
    colour = np.abs(frame - bright[..., None] * expected).max(axis=2)
    return (bright > DARKEST_SHADOW) & (bright < 1.0) & (colour < threshold / 2)


def components(mask: np.ndarray, min_area: float) -> tuple[np.ndarray, int]:
    """Number a mask's 8-connected components, the largest first.

    Parameters
    ----------
    mask
        uint8 (H, W) of 0 and 1.
    min_area
        Least area as a share of the frame; smaller components are dropped.

    Returns
    -------
    labels : numpy.ndarray
        uint8 (H, W), 0 = background; at most 255 components, smaller ones beyond are 0.
    count : int
        Components of at least ``min_area``, before that cap.
    """
    import cv2

    _, numbered, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = facts[:, cv2.CC_STAT_AREA].astype(np.int64)
    areas[0] = 0
    kept = [int(n) for n in np.argsort(-areas, kind="stable") if areas[n] >= min_area * mask.size]
    kept = [number for number in kept if number != 0]
    table = np.zeros(len(areas), np.uint8)
    for label, number in enumerate(kept[:255], start=1):
        table[number] = label
    return table[numbered], len(kept)
