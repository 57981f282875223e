"""Frames become what CLIP and ViFi-CLIP saw in training, and features come out in batches."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.features import clip
from pipeline.models.source import ModelUse
from tests.pipeline.models.features import clip_reference as reference


def frames(count=3, height=40, width=48, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, height, width, 3), np.uint8)


def use(path):
    return ModelUse("features.model", str(path), "a model")


@pytest.fixture
def vifi(tmp_path):
    path = tmp_path / "k400.pth"
    torch.save(reference.checkpoint(reference.random_tensors()), path)
    return path


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    vision = {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "projection_dim": 24,
    }
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "vocab_size": 50,
        "eos_token_id": 49,
        "bos_token_id": 48,
        "projection_dim": 24,
    }
    config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=24)
    CLIPModel(config).save_pretrained(folder)
    preprocessing = {
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 32, "width": 32},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def test_vifi_preprocessing_of_frames_at_256():
    images = frames(2, 256, 256)
    pixels = clip._vifi_preprocessing(224)(images)
    mean = np.array([123.675, 116.28, 103.53])
    std = np.array([58.395, 57.12, 57.375])
    expected = (images[:, 16:240, 16:240].astype(np.float64) - mean) / std
    assert pixels.dtype == torch.float32
    np.testing.assert_allclose(pixels.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_vifi_preprocessing_cuts_the_centre_of_wide_frames():
    image = np.zeros((1, 240, 360, 3), np.uint8)
    ramp = np.arange(360) * 255 // 359
    image[0, :, :, 0] = ramp
    pixels = clip._vifi_preprocessing(224)(image)
    assert pixels.shape == (1, 3, 224, 224)
    red = pixels[0, 0, 100].numpy() * 58.395 + 123.675
    # 384 columns, of which 80 to 303 are kept; column c shows x = (c + 0.5) * 360 / 384 - 0.5.
    place = (np.arange(80, 304) + 0.5) * 360 / 384 - 0.5
    np.testing.assert_allclose(red, np.interp(place, np.arange(360), ramp), atol=1.0)


def test_clip_preprocessing_agrees_with_pillow():
    smooth = np.array(Image.fromarray(frames(1, 9, 12)[0]).resize((96, 72), Image.BICUBIC))
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    pixels = clip.Preprocessing(32, 32, mean, std, antialias=True)(smooth[None])
    resized = np.array(Image.fromarray(smooth).resize((43, 32), Image.BICUBIC))[:, 5:37]
    expected = (resized / 255.0 - mean) / std
    assert np.abs(pixels[0].permute(1, 2, 0).numpy() - expected).max() < 1.5 / 255 / 0.26


def test_vifi_features_are_those_of_the_reference(vifi):
    images = frames(5, 36, 36)
    encode = clip.load_vifi_clip(use(vifi))
    ours = encode(images)
    assert ours.shape == (5, 512)
    assert ours.dtype == np.float32
    pixels = encode.preprocessing(images)
    assert pixels.shape[2:] == (32, 32)
    expected = reference.embed(reference.random_tensors(), pixels)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-4)
    one_by_one = np.concatenate([encode(image[None]) for image in images])
    np.testing.assert_allclose(ours, one_by_one, atol=1e-4)


def test_clip_folder_gives_what_transformers_gives(clip_folder):
    images = frames(3, 32, 32)
    ours = clip.load_clip(use(clip_folder))(images)
    model = CLIPModel.from_pretrained(clip_folder).eval()
    pixels = clip._own_preprocessing(clip_folder)(images)
    with torch.no_grad():
        pooled = model.vision_model(pixel_values=pixels).pooler_output
        expected = model.visual_projection(pooled)
    assert clip.clip_dimension(clip_folder) == 24
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)


def test_folders_of_another_kind(tmp_path, clip_folder):
    with pytest.raises(DataError, match=r"config\.json: not found"):
        clip.clip_dimension(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DataError, match="'bert', not 'clip'"):
        clip.load_clip(use(tmp_path))
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(DataError, match="no JSON object"):
        clip.load_clip(use(tmp_path))
    (tmp_path / "config.json").write_bytes((clip_folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(DataError, match="cannot be read as a CLIP image encoder"):
        clip.load_clip(use(tmp_path))
    with pytest.raises(DataError, match="not found"):
        clip._own_preprocessing(tmp_path)
    with pytest.raises(ConfigurationError, match="is not there"):
        clip.load_vifi_clip(use(tmp_path / "gone.pth"))


def test_truncated_weights(tmp_path, clip_folder):
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((clip_folder / name).read_bytes())
    whole = (clip_folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        clip.load_clip(use(tmp_path))
