"""ViFi-CLIP's checkpoints as transformers' CLIP.

ViFi-CLIP (Rasheed et al., CVPR 2023) is CLIP ViT-B/16 fine-tuned on videos without a
temporal module, so a frame's feature is its projected image embedding before the mean
over time. Its checkpoints name their tensors as OpenAI's CLIP does; here they are
renamed to transformers' ``CLIPVisionModelWithProjection``, which then computes the same.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import DataError
from pipeline.models.checkpoint import check_finite, tensors_only

if TYPE_CHECKING:
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

#: All of OpenAI's image transformers have heads of 64 channels.
HEAD_CHANNELS = 64
#: Parts of a ViFi-CLIP checkpoint that no image feature needs.
NOT_IMAGE = ("prompt_learner.", "text_encoder.", "logit_scale")

_RENAMED = {
    "class_embedding": "vision_model.embeddings.class_embedding",
    "positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "ln_post.weight": "vision_model.post_layernorm.weight",
    "ln_post.bias": "vision_model.post_layernorm.bias",
}
_RENAMED_IN_BLOCK = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def convert(content: dict[str, Any], path: Path) -> dict[str, torch.Tensor]:
    """Rename a checkpoint's image tensors to those of ``CLIPVisionModelWithProjection``.

    Parameters
    ----------
    content
        The checkpoint, with its tensors under ``model``.
    path
        For messages.
    """
    model = content.get("model")
    if not isinstance(model, dict):
        raise DataError(
            f"{path}: has no entry 'model' (it has {', '.join(map(str, list(content)[:5]))}); "
            "a ViFi-CLIP checkpoint is wanted, as its authors publish it"
        )
    tensors = {name.removeprefix("module."): t for name, t in tensors_only(model).items()}
    strange = [n for n in tensors if not n.startswith(("image_encoder.", *NOT_IMAGE))]
    image = tensors_only(tensors, "image_encoder.")
    prompts = [name for name in image if "VPT" in name]
    if prompts:
        raise DataError(
            f"{path}: image_encoder.{prompts[0]} belongs to visual prompts; a checkpoint of the "
            "fully fine-tuned model (vifi_clip_*_k400_full_finetuned.pth) is wanted"
        )
    if not image or strange:
        found = strange[0] if strange else next(iter(tensors), "nothing")
        raise DataError(
            f"{path}: holds {found}, which is no part of ViFi-CLIP (image_encoder.*, "
            "text_encoder.*, prompt_learner.*, logit_scale)"
        )
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in image.items():
        check_finite(f"{path}: image_encoder.{name}", tensor)
        renamed |= _renamed(name, tensor.float(), path)
    return renamed


def _renamed(name: str, tensor: torch.Tensor, path: Path) -> dict[str, torch.Tensor]:
    """Return a tensor of OpenAI's image transformer under its names in transformers."""
    if name in _RENAMED:
        return {_RENAMED[name]: tensor}
    if name == "proj":
        return {"visual_projection.weight": tensor.T.contiguous()}
    block = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)", name)
    if block is not None:
        number, part, kind = block.groups()
        layer = f"vision_model.encoder.layers.{number}"
        if part == "attn.in_proj":
            names = (f"{layer}.self_attn.{which}_proj.{kind}" for which in "qkv")
            return {n: chunk.contiguous() for n, chunk in zip(names, tensor.chunk(3), strict=True)}
        if part in _RENAMED_IN_BLOCK:
            return {f"{layer}.{_RENAMED_IN_BLOCK[part]}.{kind}": tensor}
    raise DataError(f"{path}: image_encoder.{name} is no part of CLIP's image transformer")


def _config(tensors: dict[str, torch.Tensor], path: Path) -> CLIPVisionConfig:
    """Read the transformer's sizes off its tensors."""
    from transformers import CLIPVisionConfig

    try:
        width, _, patch, _ = tensors["vision_model.embeddings.patch_embedding.weight"].shape
        places = tensors["vision_model.embeddings.position_embedding.weight"].shape[0]
        mlp = tensors["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0]
        projection = tensors["visual_projection.weight"].shape[0]
    except KeyError as error:
        raise DataError(f"{path}: nothing fills {error.args[0]}") from None
    layers = {name.split(".")[3] for name in tensors if name.startswith("vision_model.encoder.")}
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, width // HEAD_CHANNELS),
        image_size=math.isqrt(places - 1) * patch,
        patch_size=patch,
        projection_dim=projection,
        hidden_act="quick_gelu",
    )


def network(tensors: dict[str, torch.Tensor], path: Path) -> CLIPVisionModelWithProjection:
    """Build the image encoder that tensors from :func:`convert` fill, every one of them.

    Raises
    ------
    DataError
        If a tensor is missing, left over or of another shape.
    """
    from transformers import CLIPVisionModelWithProjection

    encoder = CLIPVisionModelWithProjection(_config(tensors, path))
    missing = sorted(set(encoder.state_dict()) - set(tensors))
    if missing:
        raise DataError(f"{path}: nothing fills {missing[0]} ({len(missing)} tensors are missing)")
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise DataError(f"{path}: {str(error).splitlines()[-1].strip()}") from None
    return encoder.eval()
