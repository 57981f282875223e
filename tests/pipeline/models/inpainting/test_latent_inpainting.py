"""LatentInpaintingPipeline against docs/method.md, 3, recomputed in plain formulas."""

import inspect

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel, VQModel
from PIL import Image

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.inpainting.latent import (
    LatentInpaintingPipeline,
    quantise,
    set_attention_heads,
)
from tests.pipeline.models.inpainting.small_ldm import noise_of, small_pipeline

SIDE = 32


@pytest.fixture(scope="module")
def pipe():
    return small_pipeline()


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    masks = np.zeros((3, SIDE, SIDE), np.uint8)
    masks[0, 4:20, 8:24] = 1
    masks[1, :9, 3:30] = 1
    masks[2, 10:31, 10:12] = 1
    return images, masks


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_follows_the_method(pipe, batch):
    """Conditioning, DDIM, quantisation and composite, written out from docs/method.md, 3."""
    images, masks = batch
    steps, noise = 4, noise_of(pipe, 3, SIDE)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    m = torch.from_numpy(masks)[:, None].double()
    masked = 2 * (x * (1 - m)) - 1
    assert (masked[m.expand_as(masked) == 1] == -1).all()
    with torch.no_grad():
        z_masked = pipe.vqvae.encode(masked.float()).latents  # not quantised
        m_latent = (2 * m - 1)[:, :, ::4, ::4].float()  # nearest neighbour, +1 in the hole
        betas = torch.linspace(0.0015**0.5, 0.0205**0.5, 1000, dtype=torch.float64) ** 2
        kept = torch.cumprod(1 - betas, 0)
        z = noise.double()
        for number in reversed(range(steps)):
            t = number * (1000 // steps) + 1
            before = kept[t - 1000 // steps] if number else kept[0]
            entry = torch.cat([z.float(), z_masked, m_latent], dim=1)
            e = pipe.unet(entry, torch.tensor([t] * 3)).sample.double()
            clean = (z - (1 - kept[t]).sqrt() * e) / kept[t].sqrt()
            z = before.sqrt() * clean + (1 - before).sqrt() * e
        codes = pipe.vqvae.quantize.embedding.weight
        rows = z.permute(0, 2, 3, 1).reshape(-1, codes.shape[1])
        nearest = ((rows[:, None] - codes[None].double()) ** 2).sum(-1).argmin(1)
        z_q = codes[nearest].reshape(z.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
        back = pipe.vqvae.decoder(pipe.vqvae.post_quant_conv(z_q)).double()
    expected = (1 - m) * x + m * ((back + 1) / 2).clamp(0, 1)
    found = pipe(images, masks, num_inference_steps=steps, latents=noise, output_type="pt").images
    assert (found - expected).abs().max() < 1e-4


def test_timesteps_are_those_of_the_original(pipe):
    pipe.scheduler.set_timesteps(50)
    assert pipe.scheduler.timesteps.tolist() == list(range(981, 0, -20))


def test_fifty_steps_by_default():
    call = inspect.signature(LatentInpaintingPipeline.__call__)
    assert call.parameters["num_inference_steps"].default == 50


def test_changes_nothing_outside_the_hole(pipe, batch):
    images, masks = batch
    filled = pipe(images, masks, num_inference_steps=2, generator=generators(1, 2, 3)).images
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[masks == 0], images[masks == 0])
    assert not np.array_equal(filled[masks == 1], images[masks == 1])


def test_a_batch_is_its_samples_one_by_one(pipe, batch):
    images, masks = batch
    together = pipe(images, masks, num_inference_steps=4, generator=generators(7, 8, 9)).images
    for number, seed in enumerate((7, 8, 9)):
        part = slice(number, number + 1)
        alone = pipe(
            images[part], masks[part], num_inference_steps=4, generator=generators(seed)
        ).images
        assert np.abs(alone[0].astype(int) - together[number]).max() <= 1


def test_the_same_seed_gives_the_same_image(pipe, batch):
    images, masks = batch
    once, again, other = (
        pipe(images, masks, num_inference_steps=2, generator=generators(*seeds)).images
        for seeds in ((1, 2, 3), (1, 2, 3), (4, 5, 6))
    )
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


@pytest.mark.parametrize("heads", [None, 2])
def test_saves_and_loads(tmp_path, batch, heads):
    images, masks = batch
    pipe = small_pipeline(attention_heads=heads)
    pipe.save_pretrained(tmp_path / "model")
    loaded = LatentInpaintingPipeline.from_pretrained(tmp_path / "model")
    loaded.set_progress_bar_config(disable=True)
    assert loaded.config.attention_heads == heads
    noise = noise_of(pipe, 3, SIDE)
    before, after = (
        p(images, masks, num_inference_steps=2, latents=noise, output_type="pt").images
        for p in (pipe, loaded)
    )
    assert torch.equal(before, after)


def test_heads_survive_saving_and_loading_twice(tmp_path):
    pipe = small_pipeline(attention_heads=2)
    plain = small_pipeline()
    for name in ("first", "second"):
        pipe.save_pretrained(tmp_path / name)
        pipe = LatentInpaintingPipeline.from_pretrained(tmp_path / name)
    layers = [m for m in pipe.unet.modules() if hasattr(m, "to_q")]
    assert layers
    assert all(m.heads == 2 for m in layers)
    assert all(m.scale == (m.to_q.out_features // 2) ** -0.5 for m in layers)
    x, t = torch.randn(1, 7, 8, 8), torch.tensor([5])
    assert (pipe.unet(x, t).sample - plain.unet(x, t).sample).abs().max() > 1e-4


def test_heads_must_divide_the_channels(pipe):
    with pytest.raises(
        ConfigurationError,
        match=r"7 heads do not divide the 64 channels of down_blocks.2.attentions.0",
    ):
        set_attention_heads(pipe.unet, 7)


def test_low_precision_is_near(batch):
    images, masks = batch
    exact = small_pipeline()
    noise = noise_of(exact, 3, SIDE)
    kwargs = {"num_inference_steps": 2, "latents": noise, "output_type": "latent"}
    wanted = exact(images, masks, **kwargs).images
    found = small_pipeline().to(torch.bfloat16)(images, masks, **kwargs).images
    assert found.dtype == torch.float32
    assert (found - wanted).abs().mean() < 0.05 * wanted.abs().mean()


def test_takes_and_gives_pil(pipe, batch):
    images, masks = batch
    noise = noise_of(pipe, 3, SIDE)
    arrays = pipe(images, masks, num_inference_steps=2, latents=noise).images
    found = pipe(
        [Image.fromarray(image) for image in images],
        [Image.fromarray(mask * 255) for mask in masks],
        num_inference_steps=2,
        latents=noise,
        output_type="pil",
    ).images
    assert np.array_equal(np.stack([np.asarray(image) for image in found]), arrays)


def test_the_progress_bar_can_be_turned_off(batch, capfd):
    images, masks = batch
    pipe = small_pipeline()
    pipe.set_progress_bar_config(disable=True)
    pipe(images, masks, num_inference_steps=2)
    assert "2/2" not in capfd.readouterr().err
    pipe.set_progress_bar_config(disable=False)
    pipe(images, masks, num_inference_steps=2)
    assert "2/2" in capfd.readouterr().err


def test_the_nearest_code_is_taken():
    rng = torch.Generator().manual_seed(0)
    codes, z = torch.randn(50, 3, generator=rng), torch.randn(2, 3, 4, 5, generator=rng)
    for n, i, j in np.ndindex(2, 4, 5):
        distances = [(code - z[n, :, i, j]).norm().item() for code in codes]
        wanted = codes[int(np.argmin(distances))]
        assert torch.equal(quantise(z, codes)[n, :, i, j], wanted)


def test_another_unet_is_refused():
    vqvae = VQModel(block_out_channels=(32,), norm_num_groups=8)
    unet = UNet2DModel(
        in_channels=9,
        out_channels=3,
        block_out_channels=(32,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )
    with pytest.raises(ConfigurationError, match=r"9 input and 3 output channels.*has 7"):
        LatentInpaintingPipeline(vqvae, unet, DDIMScheduler())


def bad_inputs():
    images = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    masks = np.ones((2, SIDE, SIDE), np.uint8)
    yield images, masks[:, :16], "do not fit images"
    yield images, masks[:1], "do not fit images"
    yield images, np.stack([masks[0], 0 * masks[1]]), "mask 1: is all 0"
    yield images, masks * 255, "other values than 0 and 1"
    yield images.astype(np.float32), masks, "expected uint8"
    yield images[:, :30], masks[:, :30], "multiples of 16"
    yield torch.full((2, 3, SIDE, SIDE), 2.0), masks, "from 0 to 1"


@pytest.mark.parametrize(("images", "masks", "message"), bad_inputs())
def test_bad_input_is_named(pipe, images, masks, message):
    with pytest.raises(DataError, match=message):
        pipe(images, masks, num_inference_steps=1)


def test_bad_settings_are_named(pipe, batch):
    for kwargs, message in (
        ({"num_inference_steps": 0}, "steps: 0 is below 1"),
        ({"output_type": "jpg"}, "output_type"),
        ({"generator": generators(1)}, "1 generators for 3 images"),
        ({"latents": torch.zeros(1, 3, 8, 8)}, "latents: shape"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            pipe(*batch, **kwargs)
