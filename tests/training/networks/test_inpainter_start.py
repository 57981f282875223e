"""The VQ model begins as a mean and an interpolation: against torch's own of both."""

from __future__ import annotations

import pytest
import torch
from diffusers import VQModel
from torch.nn import functional as F

from training.networks.inpainter_start import start_as_means
from training.settings.inpainter import InpainterArchitecture


@pytest.fixture(params=[(16, 32, 64), (16, 48), (32, 64, 96)], ids=str)
def vqvae(request: pytest.FixtureRequest) -> VQModel:
    torch.manual_seed(1)
    model = VQModel(**InpainterArchitecture(vq_channels=request.param).vqvae())
    start_as_means(model)
    return model.eval()


def images(count: int = 3, side: int = 32) -> torch.Tensor:
    """Smooth noise of different brightness, in [-1, 1]."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5
    shift = torch.linspace(-0.5, 0.5, count)[:, None, None, None]
    return F.interpolate(coarse, size=(side, side), mode="bicubic").clamp(-0.5, 0.5) + shift


@torch.no_grad()
def test_a_latent_is_the_mean_colour_of_its_pixels(vqvae: VQModel) -> None:
    frames = images()
    factor = 2 ** (len(vqvae.config.block_out_channels) - 1)
    latents = vqvae.encode(frames).latents
    assert (latents - F.avg_pool2d(frames, factor)).abs().max() < 0.03


@torch.no_grad()
def test_decoding_interpolates_linearly(vqvae: VQModel) -> None:
    latents = F.avg_pool2d(images(), 4)
    wanted = latents
    for _ in vqvae.config.block_out_channels[1:]:
        wanted = F.interpolate(wanted, scale_factor=2, mode="bilinear")
    found = vqvae.decode(latents, force_not_quantize=True).sample
    # The convolutions see zeros beyond the border.
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    assert (found - wanted)[inner].abs().max() < 0.03


def test_nothing_is_frozen(vqvae: VQModel) -> None:
    """Every layer of the residual branches can move away from 0 after two steps."""
    optimizer = torch.optim.SGD(vqvae.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        back = vqvae.decode(vqvae.encode(images()).latents, force_not_quantize=True).sample
        ((back - images()) ** 2).mean().backward()
        optimizer.step()
    for name, parameter in vqvae.named_parameters():
        if "conv1.weight" in name or "conv2.weight" in name:
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
