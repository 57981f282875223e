"""Latent diffusion inpainting as the paper uses it: VQ model, 7-channel UNet, DDIM.

The model is Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models"
(CVPR 2022), in the form of CompVis ``inpainting_big``: the UNet sees the noisy latent, the
latent of the masked image and the mask, and predicts the noise. Nothing is conditioned on
text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DiffusionPipeline, ImagePipelineOutput, UNet2DModel, VQModel
from diffusers.utils.torch_utils import randn_tensor

from pipeline.base.errors import ConfigurationError
from pipeline.models.image_tensors import Images, check_fit, finish, image_tensor, mask_tensor
from pipeline.models.inpainting.timesteps import ddim_timesteps

OUTPUT_TYPES = ("np", "pil", "pt", "latent")
QUANTISE_ROWS = 4096
"""Latents compared with the whole codebook at a time: 8192 codes take 128 MB then."""


def set_attention_heads(unet: UNet2DModel, heads: int) -> None:
    """Give every attention layer of ``unet`` the same number of heads.

    ``UNet2DModel`` fixes the *width* of a head, CompVis their *number*. The weights have
    the same shapes either way, so without this a converted model loads and computes
    something else.

    Raises
    ------
    ConfigurationError
        If a layer's channels do not divide by ``heads``.
    """
    for name, module in unet.named_modules():
        if not (hasattr(module, "heads") and hasattr(module, "to_q")):
            continue
        channels = module.to_q.out_features
        if heads < 1 or channels % heads:
            raise ConfigurationError(
                f"attention_heads: {heads} heads do not divide the {channels} channels of {name}"
            )
        module.heads = heads
        module.sliceable_head_dim = heads
        module.scale = (channels // heads) ** -0.5


class LatentInpaintingPipeline(DiffusionPipeline):
    """Fill holes in images with a latent diffusion model (docs/method.md, 3).

    Parameters
    ----------
    vqvae : VQModel
        Its quantiser is used when latents are decoded only.
    unet : UNet2DModel
        Input channels [z_t, z_masked, mask], output the noise in z_t.
    scheduler : DDIMScheduler
    attention_heads : int, optional
        Heads in every attention layer of ``unet``; saved and applied again on loading.
        None leaves the layers as ``UNet2DModel`` made them.

    Examples
    --------
    >>> pipe = LatentInpaintingPipeline.from_pretrained("FOLDER")        # doctest: +SKIP
    >>> pipe(image, mask, num_inference_steps=20,
    ...      generator=[torch.Generator().manual_seed(s) for s in seeds]).images  # doctest: +SKIP
    """

    model_cpu_offload_seq = "unet->vqvae"

    def __init__(
        self,
        vqvae: VQModel,
        unet: UNet2DModel,
        scheduler: DDIMScheduler,
        attention_heads: int | None = None,
    ):
        super().__init__()
        latent = vqvae.config.vq_embed_dim or vqvae.config.latent_channels
        if (unet.config.in_channels, unet.config.out_channels) != (2 * latent + 1, latent):
            raise ConfigurationError(
                f"the UNet has {unet.config.in_channels} input and {unet.config.out_channels} "
                f"output channels; with {latent} latent channels an inpainting UNet has "
                f"{2 * latent + 1} ([noisy latent, masked latent, mask]) and {latent}"
            )
        self.register_modules(vqvae=vqvae, unet=unet, scheduler=scheduler)
        self.register_to_config(attention_heads=attention_heads)
        if attention_heads is not None:
            set_attention_heads(unet, attention_heads)

    @property
    def latent_factor(self) -> int:
        """Pixels a side of one latent."""
        return int(2 ** (len(self.vqvae.config.block_out_channels) - 1))

    @property
    def grid(self) -> int:
        """Pixels of which the sides of an image must be a multiple."""
        return int(self.latent_factor * 2 ** (len(self.unet.config.block_out_channels) - 1))

    @torch.inference_mode()
    def __call__(
        self,
        image: Images,
        mask: Images,
        num_inference_steps: int = 50,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        eta: float = 0.0,
        latents: torch.Tensor | None = None,
        output_type: str = "np",
        return_dict: bool = True,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Fill the hole of every image.

        Parameters
        ----------
        image
            (N, H, W, 3) uint8 RGB, or (N, 3, H, W) float tensor in [0, 1], or PIL. H and W
            are multiples of :attr:`grid`.
        mask
            (N, H, W) uint8 of 0 and 1, or (N, 1, H, W) tensor, or PIL (from 128 on it is
            the hole): 1 inside the hole.
        num_inference_steps
            DDIM steps, as :func:`ddim_timesteps` takes them.
        generator
            One a sample, so that a sample does not depend on its batch; or one for all.
        eta
            0 is DDIM, 1 is DDPM.
        latents
            The noise to start from, (N, C, H / f, W / f); drawn from ``generator`` if None.
        output_type
            ``np``: uint8 as the input; ``pil``; ``pt``: float in [0, 1]; ``latent``: the
            latents before quantisation. Outside the hole the first three hold the input.

        Raises
        ------
        DataError
            If images and masks do not fit each other, or a mask is empty.
        ConfigurationError
            If ``output_type``, the steps or the generators are wrong.
        """
        if output_type not in OUTPUT_TYPES:
            raise ConfigurationError(f"output_type: {output_type!r} is none of {OUTPUT_TYPES}")
        ddim_timesteps(num_inference_steps)
        pixels, hole = image_tensor(image), mask_tensor(mask)
        check_fit(pixels, hole, self.grid)
        device = self._execution_device
        pixels, hole = pixels.to(device), hole.to(device)
        if isinstance(generator, Sequence) and len(generator) != len(pixels):
            raise ConfigurationError(f"{len(generator)} generators for {len(pixels)} images")

        condition = self.encode_condition(pixels, hole)
        latents = self._start(condition, generator, latents)
        latents = self._denoise(latents, condition, num_inference_steps, generator, eta)
        if output_type == "latent":
            return ImagePipelineOutput(images=latents) if return_dict else (latents,)
        filled = ((self.decode(latents) + 1) / 2).clamp(0, 1)
        if not bool(torch.isfinite(filled).all()):
            raise ConfigurationError(
                f"the model's result is not finite in {self.unet.dtype}; use precision fp32 or bf16"
            )
        result = finish(torch.where(hole > 0, filled, pixels), output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=result) if return_dict else (result,)

    def encode_condition(self, pixels: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
        """Return [z_masked, mask], (N, C + 1, h, w) float32: what the UNet is told of the image.

        The masked image is -1 in the hole and is encoded without quantising; the mask is
        +1 in the hole and -1 outside, downsampled by nearest neighbour (CompVis
        ``scripts/inpaint.py``).
        """
        masked = (2 * pixels * (1 - hole) - 1).to(self.vqvae.dtype)
        latent = self.vqvae.encode(masked).latents.float()
        mask = F.interpolate(2 * hole - 1, size=latent.shape[-2:])
        return torch.cat([latent, mask], dim=1)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Quantise latents and decode them to an image, (N, 3, H, W) float32 in [-1, 1] or so."""
        codes = self.vqvae.quantize.embedding.weight
        latents = quantise(latents.float() / self.vqvae.config.scaling_factor, codes.float())
        return self.vqvae.decode(
            latents.to(self.vqvae.dtype), force_not_quantize=True
        ).sample.float()

    def _start(
        self,
        condition: torch.Tensor,
        generator: torch.Generator | Sequence[torch.Generator] | None,
        latents: torch.Tensor | None,
    ) -> torch.Tensor:
        shape = (len(condition), condition.shape[1] - 1, *condition.shape[2:])
        if latents is None:
            drawn = list(generator) if isinstance(generator, Sequence) else generator
            latents = randn_tensor(shape, drawn, condition.device, torch.float32)
        elif tuple(latents.shape) != shape:
            raise ConfigurationError(f"latents: shape {tuple(latents.shape)}, expected {shape}")
        return latents.to(condition) * self.scheduler.init_noise_sigma

    def _denoise(
        self,
        latents: torch.Tensor,
        condition: torch.Tensor,
        steps: int,
        generator: torch.Generator | Sequence[torch.Generator] | None,
        eta: float,
    ) -> torch.Tensor:
        """Run the sampler; latents stay float32 whatever the UNet computes in."""
        self.scheduler.set_timesteps(steps, device=latents.device)
        self.scheduler.timesteps = torch.tensor(ddim_timesteps(steps), device=latents.device)
        for step in self.progress_bar(self.scheduler.timesteps):
            entry = torch.cat([latents, condition], dim=1).to(self.unet.dtype)
            noise = self.unet(entry, step).sample.float()
            latents = self.scheduler.step(
                noise, step, latents, eta=eta, generator=generator
            ).prev_sample
        return latents


def quantise(latents: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return the nearest code of every latent, (N, C, h, w) of ``latents`` (N, C, h, w).

    The squared distance is expanded as z² + e² - 2ze, term by term as in the original
    quantiser, so that ties at rounding error fall the same way.
    """
    rows = latents.permute(0, 2, 3, 1).reshape(-1, codes.shape[1])
    norms = (codes**2).sum(dim=1)
    nearest = [
        ((part**2).sum(dim=1, keepdim=True) + norms - 2 * (part @ codes.T)).argmin(dim=1)
        for part in rows.split(QUANTISE_ROWS)
    ]
    n, c, h, w = latents.shape
    return codes[torch.cat(nearest)].reshape(n, h, w, c).permute(0, 3, 1, 2).contiguous()
