"""How the VQ model begins: as a mean over 4x4 pixels and a linear interpolation back.

Begun at random, a small autoencoder needs hours to learn what averaging does at once: after half
an hour on one core its images were 7 dB worse than frames shrunk and magnified, and no UNet can be
better than the decoder it works for. So the layers begin such that a latent *is* the mean colour
of its pixels; training adds what a mean leaves out.

Group norms would take away how bright an image is. The last layers therefore get, beside each
colour x, the channels -x, +C and -C in a group of its own: the group's mean is then 0 and its
deviation nearly constant. And since silu(x) - silu(-x) = x, the activation is undone exactly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

COLOURS = 3
CONSTANT = 8.0
"""C: large beside colours in [-1, 1]."""

FREE = 0.1
"""Scale of the other channels of a colour's group, so that they do not move its norm."""


@torch.no_grad()
def start_as_means(vqvae: Any) -> None:
    """Change the weights of a fresh ``VQModel`` of at least 3 latent channels in place.

    Every level needs at least 4 channels a group and as many groups as colours.
    """
    encoder, decoder = vqvae.encoder, vqvae.decoder
    for module in (*encoder.modules(), *decoder.modules()):
        if hasattr(module, "conv1") and hasattr(module, "conv2"):
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)
            if module.conv_shortcut is not None:
                pass_colours(module.conv_shortcut)
    pass_colours(encoder.conv_in)
    for block in encoder.down_blocks:
        for sampler in block.downsamplers or ():
            pass_colours(sampler.conv, torch.tensor([0.5, 0.5, 0.0]))
    pass_colours(vqvae.quant_conv)
    pass_colours(vqvae.post_quant_conv)
    pass_colours(decoder.conv_in)
    for block in decoder.up_blocks:
        for sampler in block.upsamplers or ():
            pass_colours(sampler.conv, torch.tensor([0.25, 0.5, 0.25]))
    for half, blocks in ((encoder, encoder.down_blocks), (decoder, decoder.up_blocks)):
        spread_colours(blocks[-1].resnets[0].conv_shortcut, half.conv_norm_out)
        gather_colours(half.conv_out, half.conv_norm_out)


def pass_colours(conv: nn.Conv2d, taps: torch.Tensor | None = None) -> None:
    """Let the first three channels pass; ``taps`` (3,) weight neighbours down and across."""
    kernel = torch.zeros(conv.kernel_size)
    if taps is None:
        kernel[conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] = 1
    else:
        kernel = torch.outer(taps, taps)
    conv.weight[:COLOURS] = 0
    conv.bias[:COLOURS] = 0  # type: ignore[index]
    for colour in range(COLOURS):
        conv.weight[colour, colour] = kernel


def spread_colours(shortcut: nn.Conv2d, norm: nn.GroupNorm) -> None:
    """Give each colour a group of the norm: x, -x, C, -C, then channels of little weight."""
    size = norm.num_channels // norm.num_groups
    shortcut.weight[: COLOURS * size] *= FREE
    shortcut.bias[: COLOURS * size] *= FREE  # type: ignore[index]
    for colour in range(COLOURS):
        first = colour * size
        shortcut.weight[first : first + 4] = 0
        shortcut.weight[first, colour] = 1
        shortcut.weight[first + 1, colour] = -1
        shortcut.bias[first : first + 4] = torch.tensor([0, 0, CONSTANT, -CONSTANT])  # type: ignore[index]
    deviation = CONSTANT * (2 / size) ** 0.5
    norm.weight[: COLOURS * size] = deviation


def gather_colours(conv: nn.Conv2d, norm: nn.GroupNorm) -> None:
    """Read each colour from its group: silu(x) - silu(-x) = x."""
    size = norm.num_channels // norm.num_groups
    middle = conv.kernel_size[0] // 2
    conv.weight[:COLOURS] = 0
    conv.bias[:COLOURS] = 0  # type: ignore[index]
    for colour in range(COLOURS):
        conv.weight[colour, colour * size, middle, middle] = 1
        conv.weight[colour, colour * size + 1, middle, middle] = -1
