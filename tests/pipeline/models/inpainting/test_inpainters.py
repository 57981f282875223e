"""The inpainters behind their interface, on models of random weights made here."""

import json

import cv2
import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.inpainting import inpainters
from pipeline.models.inpainting.holes import Windowing
from pipeline.models.inpainting.inpainters import (
    EMBEDDED,
    OpenCVInpainter,
    load_diffusers,
    load_latent,
)
from tests.pipeline.models.inpainting.small_ldm import small_pipeline


@pytest.fixture(autouse=True)
def forget():
    yield
    inpainters._latent_pipeline.cache_clear()
    inpainters._any_pipeline.cache_clear()


@pytest.fixture(scope="module")
def latent_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ldm") / "model"
    small_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def diffusion_folder(tmp_path_factory):
    """A Stable Diffusion inpainting pipeline of a few thousand weights."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionInpaintPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("sd")
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=9,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
    )
    text = CLIPTextConfig(
        hidden_size=8,
        intermediate_size=8,
        num_attention_heads=2,
        num_hidden_layers=1,
        vocab_size=8,
        projection_dim=8,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    words = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "b": 3, "a</w>": 4, "b</w>": 5}
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.model_max_length = 77
    pipe = StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder / "model")
    return folder / "model"


def inputs(count=3, size=64):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
    masks = np.zeros((count, size, size), np.uint8)
    for number, mask in enumerate(masks):
        mask[5 + 9 * number : 15 + 9 * number, 8:20] = 1
    return images, masks, [11, 12, 13][:count]


def check_interface(inpainter):
    images, masks, seeds = inputs()
    filled = inpainter(images, masks, seeds)
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[masks == 0], images[masks == 0])
    assert not np.array_equal(filled[masks == 1], images[masks == 1])
    assert np.array_equal(inpainter(images, masks, seeds), filled)
    return filled


@pytest.mark.parametrize(
    ("engine", "flag"), [("telea", cv2.INPAINT_TELEA), ("navier_stokes", cv2.INPAINT_NS)]
)
def test_opencv(engine, flag):
    filled = check_interface(OpenCVInpainter(engine=engine, radius=4))
    images, masks, _ = inputs()
    for image, mask, found in zip(images, masks, filled, strict=True):
        assert np.array_equal(found, cv2.inpaint(image, mask, 4, flag))


def test_latent(latent_folder):
    inpainter = load_latent(latent_folder, windowing=Windowing(margin=4), steps=2)
    assert inpainter.windowing.grid == 16
    check_interface(inpainter)


def test_latent_does_not_depend_on_the_batch(latent_folder):
    images, masks, seeds = inputs()
    one, all_ = (
        load_latent(latent_folder, windowing=Windowing(margin=4, batch=batch), steps=2)(
            images, masks, seeds
        )
        for batch in (1, 3)
    )
    assert np.abs(one.astype(int) - all_).max() <= 1


def test_latent_hole_is_full_where_the_window_is_the_frame(latent_folder):
    images, masks, seeds = inputs()
    full, hole = (
        load_latent(latent_folder, windowing=Windowing(window=w, margin=30), steps=2)(
            images, masks, seeds
        )
        for w in ("full", "hole")
    )
    assert np.array_equal(full, hole)


def test_latent_equals_the_pipeline_on_the_window(latent_folder):
    images, masks, seeds = inputs(1)
    windowing = Windowing(margin=2, grid=16)
    window = windowing.place(masks[0])
    assert window.side == 16
    generator = [torch.Generator().manual_seed(seeds[0])]
    patch = small_pipeline()(
        window.cut(images[0]), window.cut(masks[0]), num_inference_steps=2, generator=generator
    ).images[0]
    wanted = images[0].copy()
    window.cut(wanted)[:] = patch
    found = load_latent(latent_folder, windowing=windowing, steps=2)(images, masks, seeds)[0]
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_latent_in_bf16(latent_folder):
    windowing = Windowing(margin=4)
    inpainter = load_latent(latent_folder, windowing=windowing, steps=1, precision="bf16")
    assert inpainter.pipe.unet.dtype == torch.bfloat16
    check_interface(inpainter)


def test_diffusers(diffusion_folder):
    inpainter = load_diffusers(
        diffusion_folder, windowing=Windowing(margin=4), steps=2, prompt="a b", guidance=2.0
    )
    assert inpainter.windowing.grid == 4
    check_interface(inpainter)


def test_diffusers_settings_reach_the_pipeline(diffusion_folder):
    images, masks, seeds = inputs(1)
    results = [
        load_diffusers(
            diffusion_folder, windowing=Windowing(window="full"), **{"steps": 4, **changed}
        )(images, masks, seeds)
        for changed in ({}, {"strength": 0.5}, {"steps": 2}, {"prompt": "b", "guidance": 9.0})
    ]
    assert all(not np.array_equal(results[0], other) for other in results[1:])


def test_no_safety_checker_blackens_frames(diffusion_folder):
    inpainter = load_diffusers(diffusion_folder, windowing=Windowing(), steps=1)
    assert inpainter.pipe.safety_checker is None


def test_the_embedded_model_is_there_and_small():
    """At most 10 MB, safetensors alone, and it fills a hole in a plain wall plainly."""
    files = [f for f in EMBEDDED.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 10_000_000
    assert {f.suffix for f in files} <= {".safetensors", ".json", ".md"}
    inpainter = load_latent(EMBEDDED, windowing=Windowing(), steps=20)
    images = np.full((2, 64, 64, 3), 128, np.uint8)
    masks = np.zeros((2, 64, 64), np.uint8)
    masks[:, 24:40, 28:36] = 1
    filled = inpainter(images, masks, [1, 2])
    assert np.abs(filled[masks == 1].astype(int) - 128).mean() < 12


def bad_inputs():
    images, masks, seeds = inputs()
    yield images, masks[:, :32], seeds, r"masks are uint8 of shape \(3, 32, 64\)"
    yield images, masks.astype(bool), seeds, "masks are bool"
    yield images, masks * 255, seeds, "mask 0: holds 255"
    empty = masks.copy()
    empty[1] = 0
    yield images, empty, seeds, "mask 1: is all 0"
    yield images[..., :1], masks, seeds, "images are uint8 of shape"
    yield images, masks, seeds[:2], "2 seeds for 3 images"


@pytest.mark.parametrize(("images", "masks", "seeds", "message"), bad_inputs())
def test_bad_input_is_named(images, masks, seeds, message):
    with pytest.raises(DataError, match=message):
        OpenCVInpainter(engine="telea", radius=3)(images, masks, seeds)


def test_another_kind_of_model_is_named(diffusion_folder, latent_folder, tmp_path):
    with pytest.raises(DataError, match="does not load as LatentInpaintingPipeline"):
        load_latent(diffusion_folder, windowing=Windowing(), steps=1)
    with pytest.raises(DataError, match="does not load as AutoPipelineForInpainting"):
        load_diffusers(latent_folder, windowing=Windowing(), steps=1)
    with pytest.raises(DataError, match="no model_index"):
        load_latent(tmp_path, windowing=Windowing(), steps=1)


def test_a_truncated_model_is_named(latent_folder, tmp_path):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(latent_folder, broken)
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="broken: does not load"):
        load_latent(broken, windowing=Windowing(), steps=1)
    weights.unlink()
    with pytest.raises(DataError, match="broken: does not load"):
        load_latent(broken, windowing=Windowing(), steps=1)


def test_a_pipeline_without_the_settings_is_named(diffusion_folder, monkeypatch):
    from diffusers import AutoPipelineForInpainting

    class Odd:
        def __call__(self, image, prompt):
            raise AssertionError

        def set_progress_bar_config(self, **_):
            pass

        def to(self, _):
            return self

    monkeypatch.setattr(AutoPipelineForInpainting, "from_pretrained", lambda *a, **k: Odd())
    with pytest.raises(ConfigurationError, match="Odd takes no generator, guidance_scale, mask"):
        load_diffusers(diffusion_folder, windowing=Windowing(), steps=1)
