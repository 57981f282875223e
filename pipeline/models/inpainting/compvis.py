"""How CompVis latent diffusion names its layers, and how ``diffusers`` does.

Only names and shapes; :mod:`pipeline.models.convert` moves the tensors. The structures
are those of ``ldm/modules/diffusionmodules`` (``openaimodel.py``, ``model.py``) and of
``models/ldm/inpainting_big/config.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class CompVisConfig:
    """The numbers of a CompVis inpainting model; the defaults are ``inpainting_big``.

    Attributes
    ----------
    model_channels, channel_mult, num_res_blocks, attention_resolutions, num_heads
        Of the UNet (``resblock_updown: true``). Attention stands where the downsampling
        rate is among ``attention_resolutions``.
    ch, ch_mult, vq_res_blocks, z_channels, embed_dim, n_embed
        Of the first stage, a VQ model without attention.
    linear_start, linear_end, timesteps
        Of the noise schedule.
    """

    model_channels: int = 256
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (8, 4, 2)
    num_heads: int = 8
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4)
    vq_res_blocks: int = 2
    z_channels: int = 3
    embed_dim: int = 3
    n_embed: int = 8192
    linear_start: float = 0.0015
    linear_end: float = 0.0205
    timesteps: int = 1000

    def attention(self, level: int) -> bool:
        """Whether the UNet's ``level`` has attention."""
        return 2**level in self.attention_resolutions


MODELS = {"inpainting_big": CompVisConfig()}


def unet_arguments(config: CompVisConfig) -> dict[str, Any]:
    """Return the arguments of the ``UNet2DModel`` of the same structure."""
    levels = range(len(config.channel_mult))
    down = ["AttnDownBlock2D" if config.attention(n) else "ResnetDownsampleBlock2D" for n in levels]
    up = ["AttnUpBlock2D" if config.attention(n) else "ResnetUpsampleBlock2D" for n in levels]
    return {
        "in_channels": 2 * config.embed_dim + 1,
        "out_channels": config.embed_dim,
        "block_out_channels": tuple(config.model_channels * m for m in config.channel_mult),
        "layers_per_block": config.num_res_blocks,
        "down_block_types": tuple(down),
        "up_block_types": tuple(reversed(up)),
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        # Any width that divides all; the number of heads is set after loading.
        "attention_head_dim": config.model_channels // config.num_heads,
        "norm_eps": 1e-5,
        "norm_num_groups": 32,
    }


def vq_arguments(config: CompVisConfig) -> dict[str, Any]:
    """Return the arguments of the ``VQModel`` of the same structure."""
    levels = len(config.ch_mult)
    return {
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "block_out_channels": tuple(config.ch * m for m in config.ch_mult),
        "layers_per_block": config.vq_res_blocks,
        "latent_channels": config.z_channels,
        "vq_embed_dim": config.embed_dim,
        "num_vq_embeddings": config.n_embed,
        "norm_num_groups": 32,
        "mid_block_add_attention": False,
        "scaling_factor": 1.0,
    }


def scheduler_arguments(config: CompVisConfig) -> dict[str, Any]:
    """Return the arguments of the ``DDIMScheduler`` with the same schedule and timesteps."""
    return {
        "num_train_timesteps": config.timesteps,
        "beta_start": config.linear_start,
        "beta_end": config.linear_end,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "timestep_spacing": "leading",
    }


Block = tuple[str, str, str]
"""CompVis prefix, diffusers prefix, kind: plain, resnet, attention or vq_resnet."""

PARTS = {
    "plain": {"": ""},
    "resnet": {
        "in_layers.0": "norm1",
        "in_layers.2": "conv1",
        "emb_layers.1": "time_emb_proj",
        "out_layers.0": "norm2",
        "out_layers.3": "conv2",
        "skip_connection": "conv_shortcut",
    },
    "attention": {
        "norm": "group_norm",
        "qkv": "to_q,to_k,to_v",
        "proj_out": "to_out.0",
    },
    "vq_resnet": {
        "norm1": "norm1",
        "conv1": "conv1",
        "norm2": "norm2",
        "conv2": "conv2",
        "nin_shortcut": "conv_shortcut",
    },
}


def unet_blocks(config: CompVisConfig) -> Iterator[Block]:
    """Yield every block of the UNet."""
    yield "time_embed.0", "time_embedding.linear_1", "plain"
    yield "time_embed.2", "time_embedding.linear_2", "plain"
    yield "input_blocks.0.0", "conv_in", "plain"
    yield "out.0", "conv_norm_out", "plain"
    yield "out.2", "conv_out", "plain"
    yield "middle_block.0", "mid_block.resnets.0", "resnet"
    yield "middle_block.1", "mid_block.attentions.0", "attention"
    yield "middle_block.2", "mid_block.resnets.1", "resnet"
    yield from _down_blocks(config)
    yield from _up_blocks(config)


def _down_blocks(config: CompVisConfig) -> Iterator[Block]:
    levels = len(config.channel_mult)
    number = 1
    for level in range(levels):
        for layer in range(config.num_res_blocks):
            ours, theirs = f"down_blocks.{level}", f"input_blocks.{number}"
            yield f"{theirs}.0", f"{ours}.resnets.{layer}", "resnet"
            if config.attention(level):
                yield f"{theirs}.1", f"{ours}.attentions.{layer}", "attention"
            number += 1
        if level < levels - 1:
            yield f"input_blocks.{number}.0", f"down_blocks.{level}.downsamplers.0", "resnet"
            number += 1


def _up_blocks(config: CompVisConfig) -> Iterator[Block]:
    levels = len(config.channel_mult)
    number = 0
    for position, level in enumerate(reversed(range(levels))):
        ours, attention = f"up_blocks.{position}", config.attention(level)
        for layer in range(config.num_res_blocks + 1):
            theirs = f"output_blocks.{number}"
            yield f"{theirs}.0", f"{ours}.resnets.{layer}", "resnet"
            if attention:
                yield f"{theirs}.1", f"{ours}.attentions.{layer}", "attention"
            if level > 0 and layer == config.num_res_blocks:
                yield f"{theirs}.{1 + attention}", f"{ours}.upsamplers.0", "resnet"
            number += 1


def vq_blocks(config: CompVisConfig) -> Iterator[Block]:
    """Yield every block of the first stage."""
    levels = len(config.ch_mult)
    yield "quant_conv", "quant_conv", "plain"
    yield "post_quant_conv", "post_quant_conv", "plain"
    yield "quantize.embedding", "quantize.embedding", "plain"
    for side in ("encoder", "decoder"):
        yield f"{side}.conv_in", f"{side}.conv_in", "plain"
        yield f"{side}.norm_out", f"{side}.conv_norm_out", "plain"
        yield f"{side}.conv_out", f"{side}.conv_out", "plain"
        for number in (0, 1):
            theirs, ours = f"{side}.mid.block_{number + 1}", f"{side}.mid_block.resnets.{number}"
            yield theirs, ours, "vq_resnet"
    for level in range(levels):
        down, up = f"encoder.down_blocks.{level}", f"decoder.up_blocks.{levels - 1 - level}"
        for layer in range(config.vq_res_blocks):
            yield f"encoder.down.{level}.block.{layer}", f"{down}.resnets.{layer}", "vq_resnet"
        for layer in range(config.vq_res_blocks + 1):
            yield f"decoder.up.{level}.block.{layer}", f"{up}.resnets.{layer}", "vq_resnet"
        if level < levels - 1:
            yield f"encoder.down.{level}.downsample.conv", f"{down}.downsamplers.0.conv", "plain"
        if level > 0:
            yield f"decoder.up.{level}.upsample.conv", f"{up}.upsamplers.0.conv", "plain"
