"""Settings of the project's own inpainter: its two networks and their training."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Literal

from training.settings.base import require

GROUPS = 4
"""Of all group norms: as many channels a group as in the large models. With one or two a
group, the norms would erase how bright an image is."""


@dataclass(frozen=True, kw_only=True)
class InpainterArchitecture:
    """A VQ model of factor 2^(levels - 1) and a UNet on its latents (Rombach et al. 2022)."""

    vq_channels: tuple[int, ...] = (16, 32, 64)
    """Of the VQ model's levels, growing multiples of 16; one layer a block."""

    codes: int = 2048
    """Latents that the quantiser knows."""

    latent_channels: int = 3
    """Numbers a latent."""

    unet_channels: tuple[int, ...] = (32, 64, 96)
    """Of the UNet's levels, multiples of 32; one layer a block, attention on the lowest."""

    def __post_init__(self) -> None:
        for name, of in (("vq_channels", 16), ("unet_channels", 32)):
            channels = tuple(getattr(self, name))
            object.__setattr__(self, name, channels)
            valid = len(channels) >= 2 and all(c > 0 and c % of == 0 for c in channels)
            require(name, channels, valid, f"at least two multiples of {of}")
        grow = all(a < b for a, b in itertools.pairwise(self.vq_channels))
        require("vq_channels", self.vq_channels, grow, "each level wider than the one before")
        require("codes", self.codes, self.codes >= 2, "at least 2")
        require("latent_channels", self.latent_channels, self.latent_channels >= 3, "at least 3")

    def vqvae(self) -> dict[str, Any]:
        """Return the arguments of diffusers' ``VQModel``."""
        levels = len(self.vq_channels)
        return {
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            "block_out_channels": self.vq_channels,
            "layers_per_block": 1,
            "latent_channels": self.latent_channels,
            "num_vq_embeddings": self.codes,
            "norm_num_groups": GROUPS,
            "mid_block_add_attention": False,
            "scaling_factor": 1.0,
        }

    def unet(self) -> dict[str, Any]:
        """Return the arguments of diffusers' ``UNet2DModel``."""
        rest = len(self.unet_channels) - 1
        return {
            "in_channels": 2 * self.latent_channels + 1,
            "out_channels": self.latent_channels,
            "block_out_channels": self.unet_channels,
            "layers_per_block": 1,
            "down_block_types": ("DownBlock2D",) * rest + ("AttnDownBlock2D",),
            "up_block_types": ("AttnUpBlock2D",) + ("UpBlock2D",) * rest,
            "attention_head_dim": 32,
            "norm_num_groups": GROUPS,
        }

    def scheduler(self) -> dict[str, Any]:
        """Return the arguments of diffusers' ``DDIMScheduler``: inpainting_big's noise."""
        return {
            "beta_start": 0.0015,
            "beta_end": 0.0205,
            "beta_schedule": "scaled_linear",
            "clip_sample": False,
            "set_alpha_to_one": False,
            "steps_offset": 1,
            "timestep_spacing": "leading",
            "prediction_type": "v_prediction",
        }


@dataclass(frozen=True, kw_only=True)
class InpainterTraining:
    """What decides the weights of the inpainter."""

    method: str = "inpainter"
    """The training's name."""

    seed: int = 0
    """Decides the initial weights, the crops, the holes and the noise."""

    start: str = ""
    """Folder of an inpainter of the same architecture whose weights to begin with; empty
    begins at random."""

    vq_steps: int = 2000
    """Steps of the VQ model, before the UNet; 0 keeps that of ``start``."""

    unet_steps: int = 5000
    """Steps of the UNet."""

    side: int = 64
    """Side of the crops in pixels: what a window of the frame is."""

    large_side: int = 128
    """Side of some of the UNet's crops, so that it learns large holes as well."""

    large_share: float = 0.2
    """How often crops are large; fewer at a time, so that a step costs the same."""

    batch: int = 32
    """Crops of ``side`` a step."""

    vq_learning_rate: float = 1e-3
    """AdamW's, at its height, for the VQ model."""

    unet_learning_rate: float = 5e-4
    """AdamW's, at its height, for the UNet."""

    warmup: float = 0.03
    """Share of the steps in which the learning rate rises; then it falls by a cosine."""

    quantise_after: float = 0.4
    """Share of the VQ model's steps without its quantiser; its codes are then taken from
    the latents of the data."""

    gradient_weight: float = 1.0
    """Of the error of image gradients beside the absolute error of the VQ model's pixels."""

    outside_weight: float = 0.1
    """Of the UNet's error outside the hole, which is not seen in the result."""

    ema: float = 0.999
    """Decay of the moving average of the UNet's weights, which is what is kept."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """``bf16`` computes under autocast; weights and loss stay fp32."""

    weights: Literal["fp16", "fp32"] = "fp16"
    """How the finished weights are stored."""

    architecture: InpainterArchitecture = field(default_factory=InpainterArchitecture)
    """The networks."""

    def __post_init__(self) -> None:
        require("seed", self.seed, 0 <= self.seed < 2**63, "in 0 ... 2^63 - 1")
        least = 0 if self.start else 1
        require("vq_steps", self.vq_steps, self.vq_steps >= least, f"at least {least}")
        for name in ("unet_steps", "batch"):
            require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        grid = 2 ** (len(self.architecture.vq_channels) + len(self.architecture.unet_channels) - 2)
        for name in ("side", "large_side"):
            value = getattr(self, name)
            require(name, value, value >= grid and value % grid == 0, f"a multiple of {grid}")
        for name in ("vq_learning_rate", "unet_learning_rate"):
            require(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        for name in ("large_share", "warmup", "quantise_after"):
            require(name, getattr(self, name), 0 <= getattr(self, name) < 1, "in [0, 1)")
        for name in ("gradient_weight", "outside_weight"):
            require(name, getattr(self, name), getattr(self, name) >= 0, "at least 0")
        require("ema", self.ema, 0 <= self.ema < 1, "in [0, 1)")
        require("precision", self.precision, self.precision in ("fp32", "bf16"), "fp32 or bf16")
        require("weights", self.weights, self.weights in ("fp16", "fp32"), "fp16 or fp32")
