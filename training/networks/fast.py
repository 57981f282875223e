"""The autoencoder's training step, fast on processors: same network, same weights, same numbers.

``build_autoencoder(settings, engine="fast")`` returns an :class:`Autoencoder` whose encoder and
decoder are each one autograd function. What makes them fast, without a digit less:

* convolutions of stride 2 and their transposes with 125 products for 216, in the processor's
  own cache (:mod:`training.networks.kernels.convolution`), forward, backward and for the weights;
* BatchNorm and LeakyReLU are applied where the next layer reads (``operand``), so that an
  activation is written once, as the convolution left it, and its normalised form never;
* activations lie as (N, T, H, W, C);
* freed memory is kept (:mod:`training.networks.allocator`).

Results differ from the plain network's by rounding, about 1e-6. In evaluation mode, and under
``torch.no_grad`` in it, the plain network runs. fp32 and CPU only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.base.errors import ConfigurationError
from training.networks.allocator import keep_freed_memory
from training.networks.autoencoder import NEGATIVE_SLOPE, Autoencoder, AutoencoderSettings
from training.networks.kernels import convolution, ends, norm
from training.networks.kernels.product import PANEL


class FastAutoencoder(Autoencoder):
    """The same network and ``state_dict``; see the module.

    Raises
    ------
    ConfigurationError
        For channels that are not multiples of 32; in ``forward``, for clips whose frames and
        sides are not multiples of 16 and 32, another device than the CPU, or autocast.
    """

    def __init__(self, settings: AutoencoderSettings) -> None:
        if settings.channels_in != 3:
            raise ConfigurationError("channels_in: 1: engine fast takes 3; set engine: plain")
        if any(channels % PANEL for channels in settings.channels):
            raise ConfigurationError(
                f"channels: {settings.channels}: engine fast needs multiples of {PANEL}; "
                "set engine: plain"
            )
        super().__init__(settings)
        keep_freed_memory()

    def encode(self, clips: Tensor) -> Tensor:
        """Clips to codes; see :meth:`Autoencoder.encode`."""
        if not self.training:
            return super().encode(clips)
        check_request(clips)
        convs, norms = layers(self.encoder, nn.Conv3d)
        code, *moments = _Encode.apply(clips, *parameters(convs, norms))
        remember(convs, norms, moments, clips.shape)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Codes to clips; see :meth:`Autoencoder.decode`."""
        if not self.training:
            return super().decode(code)
        convs, norms = layers(self.decoder, nn.ConvTranspose3d)
        output, *moments = _Decode.apply(code, *parameters(convs, norms))
        remember(convs, norms, moments, output.shape)
        return output.tanh() if self.settings.tanh else output


def check_request(clips: Tensor) -> None:
    """Raise ConfigurationError for what the kernels cannot do."""
    if clips.device.type != "cpu" or clips.dtype != torch.float32:
        raise ConfigurationError(
            f"engine: fast computes float32 on the CPU, not {clips.dtype} on {clips.device}; "
            "set engine: plain"
        )
    if torch.is_autocast_enabled("cpu"):
        raise ConfigurationError(
            "precision: bf16 and engine: fast exclude each other; set engine: plain"
        )
    if clips.shape[2] % 16 or clips.shape[3] % 32 or clips.shape[4] % 32:
        raise ConfigurationError(
            f"clips of shape {tuple(clips.shape)}: engine fast needs multiples of 16 frames and "
            "32 x 32 pixels; set engine: plain"
        )


def layers(part: nn.Sequential, kind: type) -> tuple[list[Any], list[nn.BatchNorm3d]]:
    """Convolutions and BatchNorms of an encoder or decoder, in order."""
    convs = [layer for layer in part if isinstance(layer, kind)]
    return convs, [layer for layer in part if isinstance(layer, nn.BatchNorm3d)]


def parameters(convs: list[Any], norms: list[nn.BatchNorm3d]) -> list[Tensor]:
    """Weights and biases in the order in which the functions below take them."""
    found = [p for conv in convs for p in (conv.weight, conv.bias)]
    return found + [p for layer in norms for p in (layer.weight, layer.bias)]


def remember(
    convs: list[Any], norms: list[nn.BatchNorm3d], moments: list[Tensor], shape: torch.Size
) -> None:
    """Update running statistics as BatchNorm does; moments are (mean, variance, count)."""
    with torch.no_grad():
        for conv, layer, (mean, variance, count) in zip(
            convs, norms, zip(*[iter(moments)] * 3, strict=True), strict=False
        ):
            assert layer.running_mean is not None and layer.running_var is not None
            assert layer.num_batches_tracked is not None
            n = float(count)
            momentum = layer.momentum or 0.1
            layer.running_mean.lerp_((mean + conv.bias).float(), momentum)
            layer.running_var.lerp_((variance * n / (n - 1)).float(), momentum)
            layer.num_batches_tracked += 1


@dataclass
class _Layer:
    """What a layer with BatchNorm left: z as the convolution made it, and how to read it."""

    z: Tensor
    norm: np.ndarray
    mean: Tensor
    inverse: Tensor
    variance: Tensor

    @property
    def moments(self) -> tuple[Tensor, Tensor, Tensor]:
        count = self.z.numel() // self.z.shape[-1]
        return self.mean, self.variance, torch.tensor(float(count))

    def backward(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient of the activation to that of z, in place; those of gain and shift."""
        return norm.backward(gradient, self.z, self.norm, self.mean, self.inverse, NEGATIVE_SLOPE)


def _normalised(z: Tensor, gain: Tensor, shift: Tensor) -> _Layer:
    """BatchNorm with the batch's own statistics.

    A convolution's bias in front of it cancels: it is left out of z, and its gradient is 0.
    """
    mean, variance = norm.statistics(z)
    inverse = (variance + 1e-5).rsqrt()
    scale = gain.detach().double() * inverse
    both = torch.cat([scale, shift.detach().double() - mean * scale]).float().numpy()
    return _Layer(z, both, mean, inverse, variance)


def _plain(channels: int) -> np.ndarray:
    """Scales 1 and shifts 0."""
    return np.repeat(np.array([1, 0], np.float32), channels)


def _channels_last(x: Tensor) -> Tensor:
    """(N, C, T, H, W) to (N, T, H, W, C), contiguous."""
    return x.permute(0, 2, 3, 4, 1).contiguous()


def _channels_first(x: Tensor) -> Tensor:
    """(N, T, H, W, C) to (N, C, T, H, W), a view."""
    return x.permute(0, 4, 1, 2, 3)


class _Encode(torch.autograd.Function):
    """Four convolutions with BatchNorm and LeakyReLU."""

    @staticmethod
    def forward(ctx: Any, clips: Tensor, *p: Tensor) -> tuple[Tensor, ...]:
        weights, gains = p[0:8:2], p[8:]
        clips = _channels_last(clips.detach())
        z = ends.widen(clips, weights[0])
        done = [_normalised(z, *gains[:2])]
        for k in range(1, 4):
            z = convolution.down(done[-1].z, done[-1].norm, NEGATIVE_SLOPE, weights[k])
            done.append(_normalised(z, *gains[2 * k : 2 * k + 2]))
        code = norm.activate(done[-1].z, done[-1].norm, NEGATIVE_SLOPE)
        ctx.save_for_backward(clips, *weights)
        ctx.done = done
        moments = [m for layer in done for m in layer.moments]
        ctx.mark_non_differentiable(*moments)
        return _channels_first(code), *moments

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        clips, *weights = ctx.saved_tensors
        done: list[_Layer] = ctx.done
        g = _channels_last(gradient)
        if g.data_ptr() == gradient.data_ptr():
            g = g.clone()
        for_weights: list[Tensor | None] = [None] * 8
        for_gains: list[Tensor] = []
        for k in (3, 2, 1):
            for_gains[:0] = done[k].backward(g)
            for_weights[2 * k] = convolution.weights(
                done[k - 1].z, done[k - 1].norm, NEGATIVE_SLOPE, g, _plain(g.shape[-1]), 1
            )
            g = convolution.up(g, _plain(g.shape[-1]), 1, weights[k])
        for_gains[:0] = done[0].backward(g)
        for_weights[0] = ends.ends_weights(clips, g, _plain(g.shape[-1]), 1)
        for_clips = None
        if ctx.needs_input_grad[0]:
            zeros = g.new_zeros(3)
            plain = _plain(g.shape[-1])
            for_clips = _channels_first(ends.narrow(g, plain, 1, weights[0], zeros))
        _no_bias_gradients(for_weights, weights, 4, 0)
        return for_clips, *for_weights, *for_gains


class _Decode(torch.autograd.Function):
    """Three transposed convolutions with BatchNorm and LeakyReLU, and a last one without."""

    @staticmethod
    def forward(ctx: Any, code: Tensor, *p: Tensor) -> tuple[Tensor, ...]:
        weights, gains = p[0:8:2], p[8:]
        z = _channels_last(code.detach())
        ctx.code = z
        read, slope = _plain(z.shape[-1]), 1.0
        done: list[_Layer] = []
        for k in range(3):
            z = convolution.up(z, read, slope, weights[k])
            done.append(_normalised(z, *gains[2 * k : 2 * k + 2]))
            read, slope = done[-1].norm, NEGATIVE_SLOPE
        output = ends.narrow(z, read, slope, weights[3], p[7])
        ctx.save_for_backward(*weights)
        ctx.done = done
        moments = [m for layer in done for m in layer.moments]
        ctx.mark_non_differentiable(*moments)
        return _channels_first(output), *moments

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        weights = ctx.saved_tensors
        done: list[_Layer] = ctx.done
        gradient = _channels_last(gradient)
        last = done[2]
        last_weight = ends.ends_weights(gradient, last.z, last.norm, NEGATIVE_SLOPE)
        last_bias = gradient.sum((0, 1, 2, 3))
        for_weights: list[Tensor | None] = [None] * 6 + [last_weight, last_bias]
        for_gains: list[Tensor] = []
        g = ends.widen(gradient, weights[3])
        for k in (2, 1, 0):
            for_gains[:0] = done[k].backward(g)
            below = done[k - 1].z if k else ctx.code
            read = done[k - 1].norm if k else _plain(below.shape[-1])
            for_weights[2 * k] = convolution.weights(
                g, _plain(g.shape[-1]), 1, below, read, NEGATIVE_SLOPE if k else 1
            )
            g = convolution.down(g, _plain(g.shape[-1]), 1, weights[k])
        _no_bias_gradients(for_weights, weights, 3, 1)
        return _channels_first(g), *for_weights, *for_gains


def _no_bias_gradients(
    gradients: list[Tensor | None], weights: Any, layers_with_norm: int, axis: int
) -> None:
    """Biases in front of BatchNorm: 0."""
    for k in range(layers_with_norm):
        gradients[2 * k + 1] = weights[k].new_zeros(weights[k].shape[axis])
