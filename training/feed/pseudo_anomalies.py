"""The peers' pseudo-anomalies, patch and skip-frame, made while clips are read.

Both are LNTRA's (Astrid et al., BMVC 2021; docs/method.md, 9). The paper's own come from shards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from training.networks.autoencoder import CLIP_LENGTH

#: Pixel measures of the peers are those of frames of this side.
REFERENCE_SIDE = 256
SMALLEST_SIDE = 10
RAMP = 0.1
TRIES = 10

#: Photographs inside the wheels of scikit-image and scikit-learn.
SAMPLES = {
    "skimage.data": (
        "astronaut.png",
        "brick.png",
        "chelsea.png",
        "coffee.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "hubble_deep_field.jpg",
        "motorcycle_left.png",
        "retina.jpg",
        "rocket.jpg",
    ),
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
}
CIFAR_RECORD = 2 + 3 * 32 * 32


def patch_mask(
    centre: tuple[float, float], sides: tuple[float, float], shape: tuple[int, int]
) -> np.ndarray:
    """Return SmoothMixS's weight of the intruder at every pixel.

    1 inside a box, falling linearly to 0 over a tenth of the box's half side outside it.

    Parameters
    ----------
    centre, sides
        (y, x) of the box's centre, and its height and width, px.
    shape
        (H, W) of the frame; what of the box lies outside is cut off.

    Returns
    -------
    ndarray
        (H, W) float32 in [0, 1].
    """
    ramps = []
    for middle, side, length in zip(centre, sides, shape, strict=True):
        half = side / 2
        beyond = np.abs(np.arange(length) - middle) - half
        ramps.append(np.clip(1 - beyond / (RAMP * half), 0, 1).astype(np.float32))
    return ramps[0][:, None] * ramps[1][None, :]


def add_patch(
    clip: np.ndarray,
    intruder: np.ndarray,
    rng: np.random.Generator,
    *,
    side: float = 0.5,
    move: float = 10,
) -> np.ndarray:
    """Show an intruder image through a soft-edged box that wanders over the clip.

    Parameters
    ----------
    clip
        (T, H, W, 3) uint8.
    intruder
        (h, w, 3) uint8; resized to the frame, and made gray where the clip is gray.
    rng
        Draws the centre, uniform over the frame; each side, max(10, U(0, ``side``)·256) px;
        and the steps, at most ``move`` px each way from one frame to the next. Pixels are
        those of 256 px frames: other sizes are scaled.

    Returns
    -------
    ndarray
        A new (T, H, W, 3) uint8.
    """
    import cv2

    height, width = clip.shape[1:3]
    scale = np.array([height, width]) / REFERENCE_SIDE
    image = cv2.resize(intruder, (width, height), interpolation=cv2.INTER_LINEAR)
    if (clip[0] == clip[0][..., :1]).all():
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    limit = np.array([height, width])
    centre = rng.uniform(0, limit)
    sides = np.maximum(SMALLEST_SIDE * scale, rng.uniform(0, side, 2) * limit)
    out = np.empty_like(clip)
    for frame, mixed in zip(clip, out, strict=True):
        weight = patch_mask((centre[0], centre[1]), (sides[0], sides[1]), (height, width))[
            ..., None
        ]
        mixed[...] = np.rint(weight * image + (1 - weight) * frame)
        centre = np.clip(centre + rng.uniform(-move, move, 2) * scale, 0, limit)
    return out


def skip_frames(
    frames: int, start: int, rng: np.random.Generator, strides: Sequence[int]
) -> tuple[int, np.ndarray]:
    """Choose the frames of a clip that moves too fast.

    A stride is drawn; while the clip from ``start`` does not fit into the video, up to 10
    new starts are drawn; frames beyond the end are the last frame.

    Returns
    -------
    start : int
        Where the clip begins; the target is the consecutive clip from there.
    picked : ndarray
        (T,) int64 frame numbers of the pseudo-anomaly.
    """
    stride = int(rng.choice(np.asarray(strides)))
    reach = (CLIP_LENGTH - 1) * stride
    for _ in range(TRIES):
        if start + reach < frames:
            break
        start = int(rng.integers(frames - CLIP_LENGTH + 1))
    return start, np.minimum(start + stride * np.arange(CLIP_LENGTH), frames - 1)


def load_intruders(source: str) -> list[np.ndarray]:
    """Load the images that ``patch`` draws from.

    Parameters
    ----------
    source
        ``samples``, a folder of images, or CIFAR-100's binary file (``train.bin``).

    Returns
    -------
    list of ndarray
        (h, w, 3) uint8 RGB each, in a fixed order.

    Raises
    ------
    ConfigurationError
        If there is no such folder or file, or no image in it.
    DataError
        If an image cannot be read.
    """
    if source == "samples":
        from importlib.resources import files

        paths = [
            Path(str(files(package) / name)) for package, names in SAMPLES.items() for name in names
        ]
        return [_read_image(path) for path in paths]
    path = Path(source)
    if path.is_dir():
        found = sorted(
            p
            for p in path.rglob("*")
            if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".tif")
        )
        if not found:
            raise ConfigurationError(f"intruders: {path}: there is no image in this folder")
        return [_read_image(p) for p in found]
    if not path.is_file():
        raise ConfigurationError(
            f"intruders: {path}: not found; give 'samples', a folder of images or CIFAR-100's "
            "train.bin (the binary version)"
        )
    content = np.fromfile(path, np.uint8)
    if not len(content) or len(content) % CIFAR_RECORD:
        raise DataError(
            f"{path}: {len(content)} bytes are no whole number of CIFAR-100's records of "
            f"{CIFAR_RECORD} bytes; give train.bin of the binary version"
        )
    images = content.reshape(-1, CIFAR_RECORD)[:, 2:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return list(np.ascontiguousarray(images))


def intruders_digest(intruders: Sequence[np.ndarray]) -> str:
    """Return a SHA-256 over the images, for the recipe."""
    digest = hashlib.sha256()
    for image in intruders:
        digest.update(str(image.shape).encode())
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def _read_image(path: Path) -> np.ndarray:
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path}: cannot be read as an image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
