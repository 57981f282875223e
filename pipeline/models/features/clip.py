"""Image embeddings of CLIP: from ViFi-CLIP's checkpoints, and from transformers' folders."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.base.device import batch_size, device
from pipeline.base.errors import DataError
from pipeline.models.checkpoint import load_tensors
from pipeline.models.features import vifi_clip
from pipeline.models.source import ModelUse, resolve

if TYPE_CHECKING:
    import torch
    from transformers import CLIPVisionModelWithProjection

#: ViFi-CLIP normalises by ImageNet's statistics, not by CLIP's own.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How a frame becomes a network's input.

    Attributes
    ----------
    short_side, crop
        The short side is resized to ``short_side`` px and the centre ``crop`` px cut out.
    mean, std
        Of each channel, for values in [0, 1].
    antialias
        False: OpenCV's bilinear, as ViFi-CLIP's loader. True: antialiased bicubic, as CLIP's.
    """

    short_side: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    antialias: bool = False

    def __call__(self, images: np.ndarray) -> torch.Tensor:
        """Return float32 (N, 3, crop, crop) for RGB uint8 frames (N, H, W, 3)."""
        import torch

        pixels = torch.stack([self._one(image) for image in images])
        mean = torch.tensor(self.mean)[None, :, None, None]
        std = torch.tensor(self.std)[None, :, None, None]
        return (pixels / 255.0 - mean) / std

    def _one(self, image: np.ndarray) -> torch.Tensor:
        import torch

        height, width = image.shape[:2]
        scale = self.short_side / min(height, width)
        size = (math.floor(height * scale + 0.5), math.floor(width * scale + 0.5))
        resized = torch.from_numpy(self._resize(image, size)).permute(2, 0, 1)
        top, left = (size[0] - self.crop) // 2, (size[1] - self.crop) // 2
        return resized[:, top : top + self.crop, left : left + self.crop].float()

    def _resize(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        if image.shape[:2] == size:
            return image
        if not self.antialias:
            import cv2

            return cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        import torch

        pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
        resized = torch.nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True)
        return resized[0].permute(1, 2, 0).numpy()


@dataclass(frozen=True)
class ImageEncoder:
    """A network with its preprocessing."""

    network: CLIPVisionModelWithProjection
    preprocessing: Preprocessing

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return float32 (N, D) features of RGB uint8 frames (N, H, W, 3), not normalised."""
        import torch

        step, features = batch_size(), []
        with torch.inference_mode():
            for start in range(0, len(images), step):
                pixels = self.preprocessing(images[start : start + step]).to(self.network.device)
                found = self.network(pixel_values=pixels).image_embeds
                features.append(found.float().cpu().numpy())
        return np.concatenate(features)


@functools.lru_cache(maxsize=1)
def load_vifi_clip(use: ModelUse) -> ImageEncoder:
    """Load a ViFi-CLIP checkpoint.

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If it is no such checkpoint: truncated, of another kind, with code in it, with a
        tensor missing, or trained with visual prompts, which change the transformer.
    """
    path = resolve(use)
    network: Any = vifi_clip.network(vifi_clip.convert(load_tensors(path), path), path)
    crop = int(network.config.image_size)
    return ImageEncoder(network.to(device()), _vifi_preprocessing(crop))


@functools.lru_cache(maxsize=1)
def load_clip(use: ModelUse) -> ImageEncoder:
    """Load CLIP's image encoder from transformers' format, with its own preprocessing.

    Raises
    ------
    ConfigurationError
        If it is not here and cannot be downloaded.
    DataError
        If the folder holds another kind of model or lacks its preprocessing.
    """
    from transformers import CLIPVisionModelWithProjection
    from transformers.utils import logging

    folder = resolve(use)
    clip_dimension(folder)
    logging.disable_progress_bar()
    try:
        loaded: Any = CLIPVisionModelWithProjection.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # safetensors, json and torch each have their own
        raise DataError(f"{folder}: cannot be read as a CLIP image encoder ({error})") from None
    network, report = loaded
    if report["missing_keys"]:
        raise DataError(f"{folder}: lacks the weights {sorted(report['missing_keys'])[0]}")
    return ImageEncoder(network.eval().to(device()), _own_preprocessing(folder))


def clip_dimension(folder: Path) -> int:
    """Return D of a CLIP model in transformers' format, from its ``config.json`` alone.

    Raises
    ------
    DataError
        If it is no CLIP model.
    """
    config = _json(folder / "config.json")
    if config.get("model_type") not in ("clip", "clip_vision_model"):
        raise DataError(
            f"{folder / 'config.json'}: model_type is {config.get('model_type')!r}, not 'clip'"
        )
    vision = config.get("vision_config") or config
    return int(vision.get("projection_dim", 512))


def _vifi_preprocessing(crop: int) -> Preprocessing:
    """Return ViFi-CLIP's test preprocessing: short side 256 for a crop of 224."""
    return Preprocessing(crop * 256 // 224, crop, IMAGENET_MEAN, IMAGENET_STD)


def _own_preprocessing(folder: Path) -> Preprocessing:
    path = folder / "preprocessor_config.json"
    config = _json(path)
    try:
        size, crop = config["size"], config["crop_size"]
        return Preprocessing(
            int(size["shortest_edge"] if isinstance(size, dict) else size),
            int(crop["height"] if isinstance(crop, dict) else crop),
            tuple(config["image_mean"]),
            tuple(config["image_std"]),
            antialias=True,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: no usable size, crop_size, image_mean, image_std ({error})"
        ) from None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{path}: not found; a folder in transformers' format is wanted, with config.json, "
            "preprocessor_config.json and model.safetensors"
        ) from None
    except (ValueError, NotADirectoryError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: is no JSON object")
    return content
