"""Inpainters behind one small interface: OpenCV's two, latent diffusion, any of ``diffusers``.

An inpainter is called with images (N, S, S, 3) uint8, masks (N, S, S) uint8 (1 inside the
hole) and a seed for each; it returns the images with the holes filled, unchanged outside
of them to the last bit. Neither torch nor diffusers is imported before a model is loaded.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from pipeline.base.device import device
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.inpainting.holes import Windowing, hole_box, inpaint

if TYPE_CHECKING:
    import torch

    from pipeline.models.inpainting.latent import LatentInpaintingPipeline

OPENCV = {"telea": cv2.INPAINT_TELEA, "navier_stokes": cv2.INPAINT_NS}
PRECISIONS = ("fp32", "bf16", "fp16")
EMBEDDED = Path(__file__).parent / "weights" / "plaza-ldm"
"""This project's own small model; see docs/inpainting.md."""


class Inpainter(Protocol):
    """What fills holes."""

    def __call__(self, images: np.ndarray, masks: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """Fill the holes of (N, S, S, 3) uint8 images; masks (N, S, S) uint8, a seed for each."""
        ...


def check(images: np.ndarray, masks: np.ndarray, seeds: Sequence[int]) -> None:
    """Raise DataError unless images, masks and seeds fit each other and no mask is empty."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise DataError(
            f"images are {images.dtype} of shape {images.shape}, expected uint8 (N, S, S, 3)"
        )
    if masks.dtype != np.uint8 or masks.shape != images.shape[:3]:
        raise DataError(
            f"masks are {masks.dtype} of shape {masks.shape}, expected uint8 {images.shape[:3]}"
        )
    if len(seeds) != len(images):
        raise DataError(f"{len(seeds)} seeds for {len(images)} images")
    for number, mask in enumerate(masks):
        if mask.max(initial=0) > 1:
            raise DataError(f"mask {number}: holds {mask.max()}, expected 0 and 1 alone")
        try:
            hole_box(mask)
        except DataError as error:
            raise DataError(f"mask {number}: {str(error).removeprefix('mask: ')}") from None


@dataclass(frozen=True, kw_only=True)
class OpenCVInpainter:
    """OpenCV's inpainting by fast marching (Telea 2004) or fluid dynamics (Bertalmio 2001).

    Neither draws random numbers: the seeds are not used. Telea's is the fastest engine and
    continues no texture.
    """

    engine: str
    radius: float

    def __call__(self, images: np.ndarray, masks: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """Fill the holes; see :class:`Inpainter`."""
        check(images, masks, seeds)
        pairs = zip(images, masks, strict=True)
        filled = [cv2.inpaint(i, m, self.radius, OPENCV[self.engine]) for i, m in pairs]
        return np.where(masks[..., None] > 0, np.array(filled), images)


@dataclass(frozen=True, kw_only=True)
class LatentInpainter:
    """A :class:`~pipeline.models.inpainting.latent.LatentInpaintingPipeline` on windows."""

    pipe: LatentInpaintingPipeline
    windowing: Windowing
    steps: int

    def __call__(self, images: np.ndarray, masks: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """Fill the holes; see :class:`Inpainter`."""
        check(images, masks, seeds)
        return inpaint(images, masks, seeds, self._run, self.windowing)

    def _run(self, images: np.ndarray, masks: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        (filled,) = self.pipe(
            images,
            masks,
            num_inference_steps=self.steps,
            generator=generators(seeds),
            return_dict=False,
        )
        return np.asarray(filled)


@dataclass(frozen=True, kw_only=True)
class DiffusersInpainter:
    """Any pipeline that ``AutoPipelineForInpainting`` loads, on windows."""

    pipe: Any
    windowing: Windowing
    steps: int
    prompt: str
    guidance: float
    strength: float

    def __call__(self, images: np.ndarray, masks: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """Fill the holes; see :class:`Inpainter`."""
        check(images, masks, seeds)
        return inpaint(images, masks, seeds, self._run, self.windowing)

    def _run(self, images: np.ndarray, masks: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        from PIL import Image

        side = images.shape[1]
        filled = self.pipe(
            prompt=[self.prompt] * len(images),
            image=[Image.fromarray(image) for image in images],
            mask_image=[Image.fromarray(mask * np.uint8(255)) for mask in masks],
            height=side,
            width=side,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            strength=self.strength,
            generator=generators(seeds),
            output_type="np",
        ).images
        if not np.isfinite(filled).all():
            raise ConfigurationError("the model's result is not finite; use precision fp32 or bf16")
        return np.asarray(np.rint(filled * 255), np.uint8)


def load_latent(
    folder: Path, *, windowing: Windowing, steps: int, precision: str = "fp32"
) -> LatentInpainter:
    """Load a folder written by ``LatentInpaintingPipeline.save_pretrained``.

    Parameters
    ----------
    windowing
        Its grid is replaced by the model's.
    precision
        ``fp32``, ``bf16`` or ``fp16``.

    Raises
    ------
    DataError
        If the folder holds another kind of model, or is damaged.
    """
    pipe = _latent_pipeline(folder, precision)
    return LatentInpainter(pipe=pipe, windowing=replace(windowing, grid=pipe.grid), steps=steps)


def load_diffusers(
    folder: Path,
    *,
    windowing: Windowing,
    steps: int,
    precision: str = "fp32",
    prompt: str = "",
    guidance: float = 1.0,
    strength: float = 1.0,
) -> DiffusersInpainter:
    """Load any inpainting pipeline in ``diffusers``' format; see :func:`load_latent`."""
    pipe = _any_pipeline(folder, precision)
    return DiffusersInpainter(
        pipe=pipe,
        windowing=replace(windowing, grid=_grid(pipe)),
        steps=steps,
        prompt=prompt,
        guidance=guidance,
        strength=strength,
    )


@functools.lru_cache(maxsize=1)
def _latent_pipeline(folder: Path, precision: str) -> LatentInpaintingPipeline:
    import torch

    from pipeline.models.inpainting.latent import LatentInpaintingPipeline

    pipe = _from_pretrained(LatentInpaintingPipeline, folder, precision)
    for network in (pipe.unet, pipe.vqvae):
        network.to(memory_format=torch.channels_last)  # a tenth faster on CPUs
    return pipe  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=1)
def _any_pipeline(folder: Path, precision: str) -> Any:
    from diffusers import AutoPipelineForInpainting

    pipe = _from_pretrained(AutoPipelineForInpainting, folder, precision)
    wanted = {"prompt", "image", "mask_image", "strength", "guidance_scale", "generator"}
    missing = wanted - set(inspect.signature(pipe.__call__).parameters)
    if missing:
        raise ConfigurationError(
            f"{folder}: {type(pipe).__name__} takes no {', '.join(sorted(missing))}; "
            "use another inpainting model"
        )
    if getattr(pipe, "safety_checker", None) is not None:
        pipe.safety_checker = None  # it would replace frames by black ones
    return pipe


def _from_pretrained(kind: Any, folder: Path, precision: str) -> Any:
    """Load a pipeline in a precision onto the device, silent and without unpickling."""
    import torch
    from diffusers.utils import logging

    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if not (folder / "model_index.json").is_file():
        raise DataError(f"{folder}: has no model_index.json; expected a diffusers pipeline")
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        pipe = kind.from_pretrained(
            folder, dtype=dtypes[precision], use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, AttributeError, TypeError, KeyError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise DataError(
            f"{folder}: does not load as {kind.__name__} ({first}); is it another kind of model, "
            "or are files missing or cut off?"
        ) from None
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device())


def _grid(pipe: Any) -> int:
    """Return the multiple for image sides: exact where the network is a UNet, else 64 px."""
    unet = getattr(pipe, "unet", None)
    if unet is None:
        return 64
    return int(pipe.vae_scale_factor * 2 ** (len(unet.config.block_out_channels) - 1))


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return one generator a sample, on the CPU whatever the device, so that noise is portable."""
    import torch

    return [torch.Generator("cpu").manual_seed(int(seed)) for seed in seeds]
