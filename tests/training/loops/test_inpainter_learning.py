"""What the inpainter learns from: losses, crops, holes."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.training.loops.test_inpainter import SMALL
from training.feed.crops import Crops, draw_holes
from training.loops.inpainter_networks import (
    Networks,
    latents_of,
    loss_of_step,
    scale_latents,
    take_codes,
    tensor,
    unet_loss,
)

CPU = torch.device("cpu")


@pytest.fixture
def crops():
    return Crops([np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)])


def test_both_losses_fall_on_a_single_image():
    """Stripes: the mean that the VQ model begins with shows nothing of them."""
    stripes = np.full((1, 32, 32, 3), 60, np.uint8)
    stripes[:, :, np.arange(32) % 6 < 3] = 200
    crops = Crops([stripes])
    settings = dataclasses.replace(SMALL, vq_steps=60, unet_steps=60, batch=8)
    networks = Networks(settings)

    def loss_now(first):
        """The mean loss over the same crops, holes and noise every time."""
        with torch.no_grad():
            losses = [loss_of_step(networks, crops, settings, first + n, CPU) for n in range(8)]
        return float(torch.stack(losses).mean())

    for first, model in ((0, networks.vqvae), (60, networks.unet)):
        if first:
            scale_latents(networks, crops, settings)
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        before = loss_now(first)
        for step in range(first, first + 60):
            if step == 24:
                take_codes(networks, crops, settings)
            loss = loss_of_step(networks, crops, settings, step, CPU)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss_now(first) < 0.7 * before


def test_the_velocity_is_learnt_mostly_inside_the_hole(crops):
    """The loss, recomputed: v = sqrt(a) noise - sqrt(1 - a) z, weight 0.1 outside."""
    networks = Networks(SMALL)
    images = tensor(crops.draw(np.random.default_rng(0), 3, 16), CPU)
    holes = torch.zeros(3, 1, 16, 16)
    holes[:, :, 5:9, 2:6] = 1
    generator = torch.Generator().manual_seed(5)
    loss = unet_loss(networks, networks.unet, images, holes, generator, SMALL)

    generator = torch.Generator().manual_seed(5)
    times = torch.randint(1000, (3,), generator=generator)
    with torch.no_grad():
        z = networks.vqvae.encode(images).latents
        masked = torch.where(holes > 0, -torch.ones(()), images)
        condition = [networks.vqvae.encode(masked).latents, (2 * holes - 1)[:, :, ::4, ::4]]
        noise = torch.randn(z.shape, generator=generator)
        betas = torch.linspace(0.0015**0.5, 0.0205**0.5, 1000) ** 2
        a = torch.cumprod(1 - betas, 0)[times].reshape(3, 1, 1, 1)
        noisy = a.sqrt() * z + (1 - a).sqrt() * noise
        found = networks.unet(torch.cat([noisy, *condition], 1), times).sample
        error = (found - (a.sqrt() * noise - (1 - a).sqrt() * z)) ** 2
    inside = torch.zeros(3, 1, 4, 4)
    inside[:, :, 1:3, 0:2] = 1  # latents of 4 px that the hole touches
    weight = 0.1 + 0.9 * inside
    wanted = (error * weight).sum() / (weight.sum() * 3)
    assert abs(loss.item() - wanted.item()) < 1e-5


def test_scaling_latents_changes_no_image(crops):
    networks = Networks(SMALL)
    take_codes(networks, crops, SMALL)
    images = tensor(crops.draw(np.random.default_rng(0), 3, 16), CPU)
    with torch.no_grad():
        before = networks.vqvae(images).sample
        scale_latents(networks, crops, SMALL)
        after = networks.vqvae(images).sample
    assert (before - after).abs().max() < 1e-4
    assert abs(latents_of(networks, crops, SMALL, 2).std().item() - 1) < 1e-3


def test_the_average_is_an_average():
    networks = Networks(SMALL)
    start = networks.unet.conv_in.weight.detach().clone()
    with torch.no_grad():
        networks.unet.conv_in.weight.add_(1)
    networks.average_in(0.9, step=10**6)
    assert torch.allclose(networks.average.conv_in.weight, start + 0.1, atol=1e-6)
    networks.average_in(0.9, step=0)  # early on it follows faster
    assert torch.allclose(networks.average.conv_in.weight, start + 0.1 + 0.9 * 0.9, atol=1e-6)


def test_crops_are_of_the_frames_and_repeatable(crops):
    one, again = (crops.draw(np.random.default_rng(3), 6, 16) for _ in range(2))
    assert np.array_equal(one, again)
    assert one.shape == (6, 16, 16, 3)
    plain = Crops([np.full((2, 32, 32, 3), value, np.uint8) for value in (60, 180)])
    found = plain.draw(np.random.default_rng(0), 100, 16)
    assert (found.std(axis=(1, 2, 3)) == 0).all()  # never of two frames
    assert {bool(v > 120) for v in found.mean(axis=(1, 2, 3))} == {True, False}


def test_every_frame_is_drawn():
    frames = Crops([np.zeros((3, 8, 8, 3), np.uint8), np.zeros((4, 8, 8, 3), np.uint8)])
    seen = set()

    class Video:
        def __init__(self, name, length):
            self.name, self.length = name, length

        def __len__(self):
            return self.length

        def __getitem__(self, index):
            seen.add((self.name, index % self.length))
            return frames.videos[0][0]

    Crops([Video("a", 3), Video("b", 4)]).draw(np.random.default_rng(0), 200, 8)
    assert seen == {("a", i) for i in range(3)} | {("b", i) for i in range(4)}


@pytest.mark.parametrize("side", [16, 64, 128])
def test_holes_are_masks(side):
    holes = draw_holes(np.random.default_rng(0), 200, side)
    assert holes.dtype == np.uint8
    assert set(np.unique(holes)) == {0, 1}
    shares = holes.mean(axis=(1, 2))
    assert shares.min() > 0
    assert shares.max() < 0.95
    assert 0.02 < np.median(shares) < 0.3
