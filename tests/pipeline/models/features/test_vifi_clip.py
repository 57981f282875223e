"""ViFi-CLIP's checkpoints give what OpenAI's transformer computes from the same tensors."""

import pytest
import torch

from pipeline.base.errors import DataError
from pipeline.models.checkpoint import load_tensors
from pipeline.models.features import vifi_clip
from tests.pipeline.models.features import clip_reference as reference


def loaded(path):
    return vifi_clip.network(vifi_clip.convert(load_tensors(path), path), path)


@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_openai_clip(tmp_path, seed):
    tensors = reference.random_tensors(seed)
    path = tmp_path / "k400.pth"
    torch.save(reference.checkpoint(tensors), path)
    encoder = loaded(path)
    assert encoder.config.num_attention_heads == 2
    assert encoder.config.hidden_act == "quick_gelu"
    pixels = torch.randn(3, 3, reference.IMAGE, reference.IMAGE)
    with torch.no_grad():
        ours = encoder(pixel_values=pixels).image_embeds
    expected = reference.embed(tensors, pixels)
    assert ours.shape == (3, 512)
    assert (ours - expected).abs().max() < 1e-4
    assert expected.abs().max() > 1


def test_half_precision_and_missing_prefix(tmp_path):
    tensors = reference.random_tensors()
    content = reference.checkpoint({name: tensor.half() for name, tensor in tensors.items()})
    content["model"] = {n.removeprefix("module."): t for n, t in content["model"].items()}
    path = tmp_path / "k400.pth"
    torch.save(content, path)
    weights = loaded(path).state_dict()
    assert all(tensor.dtype == torch.float32 for tensor in weights.values())
    half = tensors["proj"].half().float()
    assert torch.equal(weights["visual_projection.weight"], half.T)


def spoil(content, how):
    model = content["model"]
    prefix = "module.image_encoder."
    if how == "no model":
        return {"state_dict": model}
    if how == "missing":
        del model[prefix + "transformer.resblocks.1.mlp.c_fc.bias"]
    elif how == "shape":
        model[prefix + "ln_post.weight"] = torch.ones(7)
    elif how == "strange":
        model[prefix + "transformer.resblocks.0.extra.weight"] = torch.ones(1)
    elif how == "prompts":
        model[prefix + "VPT"] = torch.ones(8, reference.WIDTH)
    elif how == "no transformer":
        del model[prefix + "conv1.weight"]
    elif how == "other network":
        content["model"] = {"conv1.weight": torch.ones(3), "bn.weight": torch.ones(3)}
    elif how == "empty":
        content["model"] = {}
    return content


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no model", "no entry 'model'.*state_dict"),
        ("missing", "nothing fills vision_model.encoder.layers.1.mlp.fc1.bias"),
        ("shape", "post_layernorm.weight"),
        ("strange", "resblocks.0.extra.weight is no part"),
        ("prompts", "visual prompts"),
        ("no transformer", "nothing fills .*patch_embedding"),
        ("other network", "conv1.weight, which is no part of ViFi-CLIP"),
        ("empty", "holds nothing"),
    ],
)
def test_checkpoints_of_another_kind(tmp_path, how, message):
    path = tmp_path / "k400.pth"
    torch.save(spoil(reference.checkpoint(reference.random_tensors()), how), path)
    with pytest.raises(DataError, match=message) as caught:
        loaded(path)
    assert "k400.pth" in str(caught.value)
