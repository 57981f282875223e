"""The 3D convolutional autoencoder of A^s and A^t, and MemAE (docs/method.md, 6 and 9).

One class and one ``state_dict`` for every implementation: the plain network below is the
definition, ``training/networks/fast.py`` and ``evaluation/scoring/sliding.py`` compute the same
numbers from the same weights in less time, and a checkpoint written by one is read by the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.base.errors import ConfigurationError, DataError
from training.networks.memory import Memory, MemorySettings

CLIP_LENGTH = 16
"""Frames of a clip (T)."""

Engine = Literal["plain", "fast"]

NEGATIVE_SLOPE = 0.2
"""Slope of LeakyReLU below zero."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderSettings:
    """What the network is; everything that fixes the names and shapes of its weights."""

    channels: tuple[int, int, int, int] = (96, 128, 256, 256)
    """Output channels of the four encoder layers; the decoder mirrors them."""

    channels_in: int = 3
    """Channels of a frame: 3, or 1 for gray, on which the peers trained."""

    tanh: bool = True
    """Whether the last layer ends in Tanh (MemAE's does not)."""

    memory: MemorySettings = field(default_factory=MemorySettings)
    """The memory between encoder and decoder; ``slots: 0`` (the default) has none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if self.channels_in not in (1, 3):
            raise ConfigurationError(f"channels_in: {self.channels_in}: must be 3, or 1 for gray")
        if len(self.channels) != 4 or any(c < 1 for c in self.channels):
            raise ConfigurationError(
                f"channels: {self.channels}: four numbers of at least 1 are needed, "
                "one for each encoder layer"
            )


class Autoencoder(nn.Module):
    """Encoder, optional memory, decoder: clips (B, C, 16, H, W) in [-1, 1] to clips.

    All kernels are 3 with padding 1. BatchNorm3d and LeakyReLU(0.2) follow each layer but
    the last, which ends in Tanh or in nothing.

    Parameters
    ----------
    settings
        Widths, Tanh and memory.

    Notes
    -----
    T must be a multiple of 8 and H and W multiples of 16: other sizes do not come back at
    the size that went in.
    """

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        self.settings = settings
        c1, c2, c3, c4 = settings.channels
        space, both = (1, 2, 2), (2, 2, 2)
        self.encoder = nn.Sequential(
            *_down(settings.channels_in, c1, space),
            *_down(c1, c2, both),
            *_down(c2, c3, both),
            *_down(c3, c4, both),
        )
        self.memory = Memory(c4, settings.memory) if settings.memory.slots else None
        last = nn.ConvTranspose3d(c1, settings.channels_in, 3, space, 1, output_padding=(0, 1, 1))
        self.decoder = nn.Sequential(
            *_up(c4, c3), *_up(c3, c2), *_up(c2, c1), last, *([nn.Tanh()] if settings.tanh else [])
        )

    def forward(self, clips: Tensor, penalty: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Reconstruct clips.

        Parameters
        ----------
        clips
            (B, C, T, H, W) float in [-1, 1], C as in the settings.
        penalty
            Also return what the network adds to the loss: MemAE's weighted addressing
            entropy, 0 for a network without memory. The training loop asks for it,
            scoring does not.

        Returns
        -------
        Tensor or (Tensor, Tensor)
            Reconstruction of the shape of ``clips``; with ``penalty`` also a scalar.

        Raises
        ------
        ConfigurationError
            For clips of a shape that the network cannot reconstruct at its size.
        """
        check_clips(clips, self.settings.channels_in)
        code = self.encode(clips)
        extra = code.new_zeros(())
        if self.memory is not None:
            code, extra = self.memory(code)
        output = self.decode(code)
        return (output, extra) if penalty else output

    def encode(self, clips: Tensor) -> Tensor:
        """Clips (B, 3, T, H, W) to codes (B, C, T/8, H/16, W/16)."""
        return self.encoder(clips)

    def decode(self, code: Tensor) -> Tensor:
        """Codes to clips, the other way round."""
        return self.decoder(code)


def check_clips(clips: Tensor, channels: int = 3) -> None:
    """Raise ConfigurationError unless clips are (B, channels, 8k, 16m, 16n)."""
    shape = tuple(clips.shape)
    if len(shape) != 5 or shape[1] != channels or shape[2] % 8 or shape[3] % 16 or shape[4] % 16:
        raise ConfigurationError(
            f"clips of shape {shape}: expected (batch, {channels}, T, H, W) with T a multiple of 8 "
            "and H, W multiples of 16; set the `size` of the frames stage accordingly"
        )


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Squared error divided by T·C·H·W of each clip, (B,): equations 4 and 5 before the mean."""
    return (output - target).square().flatten(1).mean(1)


def begin_normal(model: nn.Module) -> None:
    """Draw weights as MemAE's authors do: N(0, 0.02), those of BatchNorm N(1, 0.02), biases 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm3d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)


def parameter_count(model: nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _down(inputs: int, outputs: int, stride: tuple[int, int, int]) -> list[nn.Module]:
    """One encoder layer."""
    return [nn.Conv3d(inputs, outputs, 3, stride, 1), *_norm(outputs)]


def _up(inputs: int, outputs: int) -> list[nn.Module]:
    """One decoder layer that doubles T, H and W."""
    return [nn.ConvTranspose3d(inputs, outputs, 3, 2, 1, output_padding=1), *_norm(outputs)]


def _norm(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm3d(channels), nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)]


def load_weights(model: nn.Module, weights: dict[str, Tensor], source: str) -> None:
    """Copy a ``state_dict`` into a network of exactly the same shape.

    Parameters
    ----------
    model
        The network to fill.
    weights
        Names to tensors, as read from ``weights.safetensors``.
    source
        The file that they come from, for the message.

    Raises
    ------
    DataError
        If a name is missing, unknown or of another shape; nothing is loaded then.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            raise DataError(
                f"{source}: a checkpoint of another architecture: {name} has shape "
                f"{given.get(name, 'none (missing)')}, this network's settings want "
                f"{wanted.get(name, 'none (unknown name)')}; train again or set channels, "
                "tanh and memory as in the recipe.json beside the weights"
            )
    with torch.no_grad():
        model.load_state_dict(weights)
