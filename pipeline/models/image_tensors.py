"""Images and masks of the kinds that people have, as the tensors that a network takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from pipeline.base.errors import DataError

Images = np.ndarray | torch.Tensor | Image.Image | Sequence[Image.Image]


def image_tensor(image: Images) -> torch.Tensor:
    """Return images as (N, 3, H, W) float32 in [0, 1]."""
    if isinstance(image, torch.Tensor):
        pixels = image.float()
        if pixels.ndim != 4 or pixels.shape[1] != 3:
            raise DataError(f"image: a tensor of shape {tuple(image.shape)}, expected (N, 3, H, W)")
        if not bool(((pixels >= 0) & (pixels <= 1)).all()):
            raise DataError("image: a tensor holds values from 0 to 1; this one has others")
        return pixels
    array = image if isinstance(image, np.ndarray) else pil_arrays(image, "RGB")
    if array.ndim == 3:
        array = array[None]
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        raise DataError(
            f"image: an array of {array.dtype} and shape {array.shape}, expected uint8 (N, H, W, 3)"
        )
    return torch.from_numpy(np.ascontiguousarray(array)).permute(0, 3, 1, 2).float() / 255


def mask_tensor(mask: Images) -> torch.Tensor:
    """Return masks as (N, 1, H, W) float32 of 0 and 1, 1 inside the hole."""
    if isinstance(mask, torch.Tensor):
        hole = mask.float() if mask.ndim == 4 else mask.float()[:, None]
    else:
        array = mask if isinstance(mask, np.ndarray) else pil_arrays(mask, "L") >= 128
        hole = torch.from_numpy(np.ascontiguousarray(array)).float()
        hole = hole[None, None] if hole.ndim == 2 else hole[:, None]
    if hole.ndim != 4 or hole.shape[1] != 1:
        raise DataError(f"mask: shape {tuple(hole.shape)}, expected (N, H, W)")
    if not bool(((hole == 0) | (hole == 1)).all()):
        raise DataError("mask: holds other values than 0 and 1; 1 is inside the hole")
    return hole


def pil_arrays(images: Image.Image | Sequence[Image.Image], mode: str) -> np.ndarray:
    """Stack PIL images of one size, (N, H, W[, 3]) uint8."""
    images = [images] if isinstance(images, Image.Image) else list(images)
    if len({image.size for image in images}) != 1:
        raise DataError(f"images of sizes {sorted({image.size for image in images})} in one batch")
    return np.stack([np.asarray(image.convert(mode)) for image in images])


def check_fit(pixels: torch.Tensor, hole: torch.Tensor, grid: int) -> None:
    """Raise DataError unless masks are of the images' number and size and none is empty."""
    if pixels.shape[0] != hole.shape[0] or pixels.shape[2:] != hole.shape[2:]:
        raise DataError(
            f"masks {tuple(hole.shape)} do not fit images {tuple(pixels.shape)}: "
            "expected the same number, height and width"
        )
    height, width = pixels.shape[2:]
    if height % grid or width % grid:
        raise DataError(f"images of {height} x {width}: both sides must be multiples of {grid}")
    empty = torch.nonzero(hole.flatten(1).sum(dim=1) == 0).flatten().tolist()
    if empty:
        raise DataError(f"mask {empty[0]}: is all 0; there is nothing to inpaint")


def finish(result: torch.Tensor, output_type: str) -> torch.Tensor | np.ndarray | list[Image.Image]:
    """Turn (N, 3, H, W) in [0, 1] into the kind of images asked for, rounded."""
    if output_type == "pt":
        return result
    array = (result * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return array if output_type == "np" else [Image.fromarray(image) for image in array]
