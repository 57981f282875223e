"""A latent inpainting pipeline of random weights, small and the same for every test."""

import torch
from diffusers import DDIMScheduler, UNet2DModel, VQModel

from pipeline.models.inpainting.latent import LatentInpaintingPipeline


def small_pipeline(attention_heads=None):
    """Return a pipeline of grid 16: a VQ model of factor 4, a UNet of 3 levels."""
    torch.manual_seed(0)
    vqvae = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 16, 16),
        norm_num_groups=8,
        num_vq_embeddings=64,
        latent_channels=3,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )
    torch.nn.init.normal_(vqvae.quantize.embedding.weight)
    unet = UNet2DModel(
        in_channels=7,
        out_channels=3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=16,
    )
    scheduler = DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0205,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    pipe = LatentInpaintingPipeline(vqvae.eval(), unet.eval(), scheduler, attention_heads)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def noise_of(pipe, count, side):
    """Return the same noise to start from every time."""
    side //= pipe.latent_factor
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))
