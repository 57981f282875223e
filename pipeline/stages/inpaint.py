"""Spatial pseudo-anomalies: the hole of every normal training frame, filled by an inpainter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.inpainting.holes import Windowing
from pipeline.models.inpainting.inpainters import (
    EMBEDDED,
    OPENCV,
    PRECISIONS,
    Inpainter,
    OpenCVInpainter,
    load_diffusers,
    load_latent,
)
from pipeline.models.inpainting.timesteps import TRAINED, ddim_timesteps
from pipeline.models.source import ModelUse, check_name, identity, resolve
from pipeline.stages.base import Array, Job, Stage

SETTINGS_OF = {
    "opencv": ("engine", "radius"),
    "latent": ("engine", "steps", "window", "margin", "resolution", "batch", "precision"),
}
SETTINGS_OF["diffusers"] = (*SETTINGS_OF["latent"], "prompt", "guidance", "strength")


@dataclass(frozen=True, kw_only=True)
class Inpaint(Stage):
    """Settings of the stage ``inpaint``, F_s of eq. 2.

    Its array: ``image`` (S, S, 3) uint8, the frame with its hole filled; outside the hole
    it is the frame to the last bit.
    """

    NAME: ClassVar[str] = "inpaint"
    VERSION: ClassVar[int] = 1
    SPLITS: ClassVar[Literal["all", "train", "test"]] = "train"
    NEEDS: ClassVar[Mapping[str, str]] = {
        "latent": (
            "a LatentInpaintingPipeline folder, such as python -m pipeline.models.convert writes "
            "from the paper's inpainting_big checkpoint"
        ),
        "diffusers": "an inpainting pipeline in diffusers' format (model_index.json)",
    }

    engine: Literal["latent", "telea", "navier_stokes", "diffusers"] = "latent"
    """``latent``: latent diffusion. ``diffusers``: any pipeline. The others are OpenCV's."""
    model: str = ""
    """latent: empty for the embedded model. Else, and for diffusers, ``org/name@<commit>`` or
    a folder."""
    steps: int = 20
    """Denoising steps; the paper's model takes 50."""
    window: Literal["full", "hole"] = "hole"
    """``full``: the model sees the whole frame. ``hole``: a square around the hole."""
    margin: int = 16
    """hole: pixels of the frame seen around the hole at least."""
    resolution: int = 0
    """Side at which a whole frame is inpainted, windows in proportion; 0 is the frame's own."""
    batch: int = 8
    """Frames to inpaint at once."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the networks. bf16 is faster where the processor computes in it, else far slower."""
    prompt: str = ""
    """diffusers: the text."""
    guidance: float = 1.0
    """diffusers: weight of the text; up to 1 it is not amplified."""
    strength: float = 1.0
    """diffusers: share of the noise schedule to run, 1 forgets what was in the hole."""
    radius: float = 3.0
    """telea, navier_stokes: pixels around the hole that are looked at."""

    def __post_init__(self) -> None:
        if self.engine not in (*OPENCV, *self.NEEDS):
            names = ", ".join((*self.NEEDS, *OPENCV))
            raise ConfigurationError(f"inpaint.engine: {self.engine!r} is none of {names}")
        if self.engine in OPENCV and self.model:
            raise ConfigurationError(
                f"inpaint.model: is set, but engine {self.engine} takes none; set engine: latent "
                "or engine: diffusers"
            )
        if self.engine == "diffusers" or self.model:
            check_name(self.model_use())
        self._check_steps()
        if self.precision not in PRECISIONS:
            raise ConfigurationError(f"inpaint.precision: {self.precision!r} is not {PRECISIONS}")
        if not 0 < self.strength <= 1:
            raise ConfigurationError(f"inpaint.strength: {self.strength} is not in (0, 1]")
        if not self.radius > 0 or not self.guidance >= 0:
            raise ConfigurationError(
                "inpaint.radius must be above 0 and inpaint.guidance not below"
            )
        try:
            self.windowing()
        except ConfigurationError as error:
            raise ConfigurationError(f"inpaint.{error}") from None

    def _check_steps(self) -> None:
        if not 1 <= self.steps <= TRAINED:
            raise ConfigurationError(f"inpaint.steps: {self.steps} is not from 1 to {TRAINED}")
        if self.engine == "latent":
            try:
                ddim_timesteps(self.steps)
            except ConfigurationError as error:
                raise ConfigurationError(f"inpaint.{error}") from None

    def windowing(self) -> Windowing:
        """Return how frames are cut; the model adds its grid."""
        return Windowing(
            window=self.window, margin=self.margin, resolution=self.resolution, batch=self.batch
        )

    def model_use(self) -> ModelUse:
        """Return what the engine needs."""
        if self.engine == "latent" and not self.model:
            return ModelUse("inpaint.engine", str(EMBEDDED), "the embedded inpainter's weights")
        return ModelUse("inpaint.model", self.model, self.NEEDS[self.engine])

    def models(self) -> tuple[ModelUse, ...]:
        """Return the models in use."""
        return () if self.engine in OPENCV else (self.model_use(),)

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the stages that this one reads."""
        return ("frames", "masks")

    def arrays(self, inputs: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """Return ``image``, as the frames are."""
        return {"image": inputs["frames"]["image"]}

    def identity(self, digest: Callable[[Path], str]) -> dict[str, str]:
        """Return the model's commit or digest; OpenCV's engines have neither."""
        return {use.setting: identity(use, digest) for use in self.models()}

    def settings(self) -> dict[str, Any]:
        """Return the settings that matter to the engine; of a model its digest counts."""
        used = SETTINGS_OF["opencv" if self.engine in OPENCV else self.engine]
        settings = {name: getattr(self, name) for name in used}
        if self.window == "full":
            settings.pop("margin", None)
        if self.engine == "latent" and TRAINED % self.steps:
            # Shards of such steps that were made before have other timesteps.
            settings["timesteps"] = len(ddim_timesteps(self.steps))
        return settings

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Fill the holes of the job's frames, each with noise of its own."""
        part = slice(job.frames.start, job.frames.stop)
        images = job.inputs["frames"]["image"][part]
        masks = job.inputs["masks"]["mask"][part]
        for frame, mask in zip(job.frames, masks, strict=True):
            if not mask.any():
                raise DataError(
                    f"{job.video} frame {frame}: its mask is all 0, there is nothing to inpaint; "
                    "check the settings of the stage masks"
                )
        seeds = [job.seed(frame) for frame in job.frames]
        return {"image": load_inpainter(self)(images, masks, seeds)}


@functools.lru_cache(maxsize=1)
def load_inpainter(stage: Inpaint) -> Inpainter:
    """Return the inpainter that a stage's settings ask for, loaded once a worker."""
    if stage.engine in OPENCV:
        return OpenCVInpainter(engine=stage.engine, radius=stage.radius)
    folder, windowing = resolve(stage.model_use()), stage.windowing()
    if stage.engine == "latent":
        return load_latent(
            folder, windowing=windowing, steps=stage.steps, precision=stage.precision
        )
    return load_diffusers(
        folder,
        windowing=windowing,
        steps=stage.steps,
        precision=stage.precision,
        prompt=stage.prompt,
        guidance=stage.guidance,
        strength=stage.strength,
    )
