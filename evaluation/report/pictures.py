"""Small pictures for pages and videos: frames, heat maps over frames, masks and flow."""

from __future__ import annotations

import base64

import numpy as np

QUALITY = 72
"""Of embedded JPEGs."""


def jpeg(image: np.ndarray, side: int, quality: int = QUALITY) -> str:
    """Return an RGB picture as a data address for a page, its longer side at most ``side`` px.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB, or (H, W) uint8 gray.
    """
    import cv2

    image = shrink(np.ascontiguousarray(image), side)
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def shrink(image: np.ndarray, side: int) -> np.ndarray:
    """Shrink a picture so that its longer side is at most ``side`` px."""
    import cv2

    height, width = image.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def heat(image: np.ndarray, cells: np.ndarray, strength: float = 0.65) -> np.ndarray:
    """Lay a heat map over a frame: nothing at 0, full colour at 1.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB.
    cells
        (h, w) float, 0 = as normal frames are, 1 or more = far beyond; enlarged to the frame.
    strength
        Share of the colour where the map is at least 1.

    Returns
    -------
    ndarray
        (H, W, 3) uint8 RGB.
    """
    import cv2

    height, width = image.shape[:2]
    smooth = cv2.resize(
        np.asarray(cells, np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    smooth = np.clip(smooth, 0, 1)
    colors = cv2.applyColorMap((smooth * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    alpha = strength * np.minimum(smooth * 3, 1)[..., None]
    return (gray * (1 - alpha) + colors * alpha).astype(np.uint8)


def outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a frame with a mask's outline drawn in red, (H, W, 3) uint8 RGB."""
    import cv2

    contours, _ = cv2.findContours(
        np.ascontiguousarray(mask, np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    return cv2.drawContours(np.ascontiguousarray(image).copy(), contours, -1, (255, 40, 40), 1)
