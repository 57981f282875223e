"""The inpainter's two networks and what each is trained to do."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DModel, VQModel
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.base.errors import ConfigurationError
from pipeline.models.inpainting.latent import LatentInpaintingPipeline
from training.feed.crops import Crops, draw_holes
from training.networks.inpainter_start import start_as_means
from training.record.folder import read_tensors
from training.settings.inpainter import InpainterTraining

#: Beginnings of the seeds of random numbers that must not be those of the steps.
STEPS, CODES, SCALE = 0, 1, 2


class Networks(nn.Module):
    """The VQ model, the UNet, and the moving average of the UNet's weights."""

    def __init__(self, settings: InpainterTraining) -> None:
        super().__init__()
        torch.manual_seed(settings.seed)
        self.vqvae = VQModel(**settings.architecture.vqvae())
        self.unet = UNet2DModel(**settings.architecture.unet())
        if settings.start:
            self.begin_with(Path(settings.start))
        else:
            start_as_means(self.vqvae)
        self.average = copy.deepcopy(self.unet).requires_grad_(False)
        self.scheduler = DDIMScheduler(**settings.architecture.scheduler())

    def begin_with(self, folder: Path) -> None:
        """Take the weights of a finished inpainter.

        Raises
        ------
        ConfigurationError
            If there is none, or of another architecture.
        """
        for model, name in ((self.vqvae, "vqvae"), (self.unet, "unet")):
            path = folder / name / "diffusion_pytorch_model.safetensors"
            if not path.is_file():
                raise ConfigurationError(f"start: {path} is not there; name an inpainter's folder")
            try:
                model.load_state_dict(read_tensors(path))
            except RuntimeError as error:
                reason = str(error).splitlines()[1].strip()
                raise ConfigurationError(
                    f"start: {path} is of another architecture ({reason})"
                ) from None

    def average_in(self, decay: float, step: int) -> None:
        """Move the average towards the UNet; early steps count more, so that it starts well."""
        decay = min(decay, (1 + step) / (10 + step))
        for kept, new in zip(self.average.parameters(), self.unet.parameters(), strict=True):
            kept.lerp_(new.detach(), 1 - decay)

    def pipeline(self, dtype: torch.dtype = torch.float32) -> LatentInpaintingPipeline:
        """Return a copy as a pipeline, with the averaged UNet."""
        vqvae, unet = (
            # Not the models' own to(), which warns of layers that they do not have.
            nn.Module.to(copy.deepcopy(model).eval(), "cpu", dtype).to(
                memory_format=torch.contiguous_format
            )
            for model in (self.vqvae, self.average)
        )
        return LatentInpaintingPipeline(
            vqvae, unet, DDIMScheduler.from_config(self.scheduler.config)
        )


def tensor(images: np.ndarray, device: torch.device) -> Tensor:
    """Return (N, S, S, 3) uint8 as (N, 3, S, S) float32 in [-1, 1]."""
    values = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    return values.contiguous(memory_format=torch.channels_last)


def vq_loss(
    networks: Networks, images: Tensor, settings: InpainterTraining, *, codes: bool
) -> Tensor:
    """Return the VQ model's loss: pixels, image gradients, and the distance to the codes.

    The gradients' part keeps texture, which the pixels' part alone averages away. Before
    the codes are in use, latents are held near 0 instead.
    """
    latents = networks.vqvae.encode(images).latents
    beside = 1e-3 * (latents**2).mean()
    if codes:
        latents, beside, _ = networks.vqvae.quantize(latents)
    back = networks.vqvae.decode(latents, force_not_quantize=True).sample
    down = (back.diff(dim=2) - images.diff(dim=2)).abs().mean()
    across = (back.diff(dim=3) - images.diff(dim=3)).abs().mean()
    return (back - images).abs().mean() + settings.gradient_weight * (down + across) / 2 + beside


def unet_loss(
    networks: Networks,
    model: nn.Module,
    images: Tensor,
    holes: Tensor,
    generator: torch.Generator,
    settings: InpainterTraining,
) -> Tensor:
    """Return the error of the predicted velocity, mostly of that inside the hole.

    Parameters
    ----------
    model
        ``networks.unet`` or its average.
    holes
        (N, 1, S, S), 1 inside.
    generator
        On the CPU; draws times and noise.
    """
    with torch.no_grad():
        clean = networks.vqvae.encode(images).latents.float()
        masked = images * (1 - holes) - holes
        condition = networks.vqvae.encode(masked).latents.float()
        mask = F.interpolate(2 * holes - 1, size=clean.shape[-2:])
    times = torch.randint(1000, (len(clean),), generator=generator).to(clean.device)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    noisy = networks.scheduler.add_noise(clean, noise, times)
    wanted = networks.scheduler.get_velocity(clean, noise, times)
    found = model(torch.cat([noisy, condition, mask], dim=1), times).sample.float()
    inside = F.adaptive_max_pool2d(holes, clean.shape[-2:])
    weight = inside + settings.outside_weight * (1 - inside)
    return ((found - wanted) ** 2 * weight).sum() / (weight.sum() * clean.shape[1])


def loss_of_step(
    networks: Networks, crops: Crops, settings: InpainterTraining, step: int, device: torch.device
) -> Tensor:
    """Return the loss of a step; all that is random follows from the seed and the step."""
    rng = np.random.default_rng((settings.seed, STEPS, step))
    if step < settings.vq_steps:
        images = tensor(crops.draw(rng, settings.batch, settings.side), device)
        return vq_loss(networks, images, settings, codes=step >= first_quantised(settings))
    large = rng.random() < settings.large_share
    side = settings.large_side if large else settings.side
    count = max(1, settings.batch * settings.side**2 // side**2)
    images = tensor(crops.draw(rng, count, side), device)
    holes = torch.from_numpy(draw_holes(rng, count, side)).float()[:, None].to(device)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    return unet_loss(networks, networks.unet, images, holes, generator, settings)


def first_quantised(settings: InpainterTraining) -> int:
    """Return the step from which on the VQ model quantises; one that was trained has its codes."""
    return 0 if settings.start else int(settings.quantise_after * settings.vq_steps)


@torch.no_grad()
def latents_of(networks: Networks, crops: Crops, settings: InpainterTraining, what: int) -> Tensor:
    """Return the latents of some batches of crops, (N, C)."""
    device = networks.unet.device
    found = []
    for batch in range(8):
        rng = np.random.default_rng((settings.seed, what, batch))
        images = tensor(crops.draw(rng, settings.batch, settings.side), device)
        latents = networks.vqvae.encode(images).latents.float()
        found.append(latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1]))
    return torch.cat(found)


@torch.no_grad()
def take_codes(networks: Networks, crops: Crops, settings: InpainterTraining) -> None:
    """Make codes of latents of the data, so that none is dead from the start."""
    latents = latents_of(networks, crops, settings, CODES)
    generator = torch.Generator().manual_seed(settings.seed)
    codes: Any = networks.vqvae.quantize.embedding.weight
    order = torch.randperm(len(latents), generator=generator)
    chosen = order.repeat(-(-len(codes) // len(order)))[: len(codes)].to(latents.device)
    codes.copy_(latents[chosen])


@torch.no_grad()
def scale_latents(networks: Networks, crops: Crops, settings: InpainterTraining) -> None:
    """Give latents unit variance, as the noise schedule presumes, without changing images.

    The factor goes into the layers around the quantiser, so that the noisy latent and the
    masked image's latent, which is never scaled, are alike.
    """
    factor = 1 / latents_of(networks, crops, settings, SCALE).std().clamp(min=1e-6)
    vqvae: Any = networks.vqvae
    for tensor in (*vqvae.quant_conv.parameters(), *vqvae.quantize.parameters()):
        tensor.mul_(factor)
    vqvae.post_quant_conv.weight.div_(factor)


@torch.no_grad()
def evaluate(networks: Networks, held: Crops | None, settings: InpainterTraining) -> dict[str, Any]:
    """Return, on held-out videos, the VQ model's PSNR in dB and the averaged UNet's loss."""
    if held is None:
        return {"holdout_psnr": None, "holdout_loss": None}
    device = networks.unet.device
    rng = np.random.default_rng(0)
    images = tensor(held.draw(rng, 2 * settings.batch, settings.side), device)
    holes = torch.from_numpy(draw_holes(rng, len(images), settings.side)).float()[:, None]
    back = networks.vqvae(images).sample.clamp(-1, 1)
    error = float(((back - images) ** 2).mean())
    generator = torch.Generator().manual_seed(0)
    loss = unet_loss(networks, networks.average, images, holes.to(device), generator, settings)
    return {"holdout_psnr": 10 * float(np.log10(4 / error)), "holdout_loss": float(loss)}
