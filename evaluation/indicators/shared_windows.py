"""The 9th frame of every window of 16, without computing anything twice.

Consecutive windows share 15 frames, so nearly everything that the encoder computes for one
has been computed for its neighbours. In evaluation mode BatchNorm is a fixed scale and shift
and folds into the convolution before it. What is left of a layer is, in time, three 2D
convolutions (taps) added up:

    out(c) = act(before * in(c - d) + at * in(c) + after * in(c + d) + bias)

with d = 1, 1, 2, 4 frames for the four layers: a layer of stride 2 doubles the distance. So a
value is known by its centre c on the video's own time axis, and is the same in every window
except at the window's two ends, where in(c - d) or in(c + d) is the zero padding, and where
what lies next to an end differs too. Each layer therefore has three streams over c:

``inner``  as in the middle of a window,
``start``  as if the window began at c,
``last``   as the last position of a window whose first frame is fixed by c.

That is five taps a layer and frame, for whatever number of windows. The decoder has no such
luck, since both positions of the code belong to one window alone, but the 9th frame needs only
3 of 16 slices of the last layer, which need 3 of 8 of the one before, and so on.

All in all 18 GFLOP a window instead of 70 at 256 x 256, and nothing is approximated: results
differ from the network's own by rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.indicators.window import POSITION, WINDOW
from pipeline.base.errors import ConfigurationError
from training.networks.autoencoder import NEGATIVE_SLOPE, Autoencoder

if TYPE_CHECKING:
    from collections.abc import Iterator

DELAY = WINDOW - POSITION
"""After the frames up to t were pushed, frames up to t - DELAY are reconstructed."""


class SharedWindows:
    """Reconstruct, from a stream of frames, each as the 9th of its own window of 16.

    Parameters
    ----------
    network
        In evaluation mode; its weights are copied.
    dtype
        float32, or bfloat16 for processors that have it.

    Notes
    -----
    Memory does not depend on the number of frames.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        if not isinstance(network, Autoencoder):
            raise ConfigurationError(f"{type(network).__name__}: an Autoencoder is needed")
        if network.training:
            raise ConfigurationError(
                "the network is in training mode: call network.eval(), evaluation mode"
            )
        self.dtype = dtype
        self.device = next(network.parameters()).device
        convs = [layer for layer in network.encoder if isinstance(layer, nn.Conv3d)]
        norms = [layer for layer in network.encoder if isinstance(layer, nn.BatchNorm3d)]
        ups = [layer for layer in network.decoder if isinstance(layer, nn.ConvTranspose3d)]
        up_norms = [layer for layer in network.decoder if isinstance(layer, nn.BatchNorm3d)]
        self.first = _First(*self._folded(convs[0], norms[0]))
        self.layers = [
            _Layer(*self._folded(conv, norm), distance)
            for conv, norm, distance in zip(convs[1:], norms[1:], (1, 2, 4), strict=True)
        ]
        self.code_start = _Delay(8)
        self.memory = network.memory
        self.ups = [
            _Up(*self._folded(up, norm)) for up, norm in zip(ups[:3], up_norms, strict=True)
        ]
        self.output = _Output(*self._folded(ups[3], None))
        self.tanh = network.settings.tanh
        self.pushed = 0

    def push(self, frames: Tensor) -> Tensor:
        """Take the next frames and reconstruct those whose windows are complete.

        Parameters
        ----------
        frames
            (n, 3, H, W) in [-1, 1], the next n of the video.

        Returns
        -------
        Tensor
            (m, 3, H, W) float32, m <= n. After t + 1 frames in all, the last one is the
            reconstruction of frame t - 8; the first one ever is that of frame 8. To get
            the last windows of a video push one frame more, of any content.
        """
        with torch.inference_mode():
            x = frames.to(self.device, self.dtype)
            streams = self.first(x)
            for layer in self.layers:
                streams = layer(*streams)
            _, start, last = streams
            start = self.code_start(start)
            self.pushed += len(frames)
            # The window of the newest code began 16 frames before the newest frame.
            complete = min(len(frames), max(self.pushed - 2 * DELAY, 0))
            if not complete:
                return frames.new_empty((0, *frames.shape[1:]), dtype=torch.float32)
            return self._decode(start[-complete:], last[-complete:])

    def _decode(self, first: Tensor, second: Tensor) -> Tensor:
        """Frame 8 of windows from the two positions of their codes, each (m, C, h, w)."""
        if self.memory is not None:
            code, _ = self.memory(torch.stack([first, second], 2).float())
            first, second = (_last(part).to(self.dtype) for part in code.unbind(2))
        slices = (first, second, torch.zeros_like(second))
        for up in self.ups:
            slices = up(*slices)
        output = self.output(*slices).float()
        return output.tanh() if self.tanh else output

    def _folded(
        self, conv: nn.Conv3d | nn.ConvTranspose3d, norm: nn.BatchNorm3d | None
    ) -> tuple[Tensor, Tensor]:
        weight, bias = fold(conv, norm)
        return weight.to(self.device, self.dtype), bias.to(self.device, self.dtype)


def fold(
    conv: nn.Conv3d | nn.ConvTranspose3d, norm: nn.BatchNorm3d | None
) -> tuple[Tensor, Tensor]:
    """Weight and bias, float64, of a 3D convolution with its BatchNorm in evaluation mode.

    Returns
    -------
    weight : Tensor
        In the layer's own layout: (out, in, 3, 3, 3), transposed ones (in, out, 3, 3, 3).
    bias : Tensor
        (out,)
    """
    assert conv.bias is not None
    weight, bias = conv.weight.detach().double(), conv.bias.detach().double()
    if norm is None:
        return weight, bias
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    shape = (1, -1, 1, 1, 1) if isinstance(conv, nn.ConvTranspose3d) else (-1, 1, 1, 1, 1)
    bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    return weight * scale.view(shape), bias


class _Delay:
    """Hand on a stream of (n, ...) tensors some frames later, zeros before the first."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.held: Tensor | None = None

    def __call__(self, new: Tensor) -> Tensor:
        joined = self.joined(new)
        return joined[: len(new)]

    def joined(self, new: Tensor) -> Tensor:
        """The held frames followed by the new ones."""
        held = self.held
        if held is None:
            held = _last(new.new_zeros((self.frames, *new.shape[1:])))
        joined = torch.cat([held, new])
        self.held = joined[len(new) :].clone(memory_format=torch.channels_last)
        return joined


class _First:
    """The first encoder layer: from frames up to q to its three streams at c = q - 1.

    The three frames around c are stacked as 9 channels; at a window's end the tap that
    meets the padding is zero.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        taps = weight.movedim(2, 1)
        self.weights = []
        for padding in (None, 0, 2):
            stacked = taps.clone()
            if padding is not None:
                stacked[:, padding] = 0
            self.weights.append(_last(stacked.flatten(1, 2)))
        self.bias = bias
        self.delay = _Delay(2)

    def __call__(self, frames: Tensor) -> Iterator[Tensor]:
        seen = self.delay.joined(frames)
        around = _last(torch.cat([seen[:-2], seen[1:-1], seen[2:]], 1))
        for weight in self.weights:
            yield _act(F.conv2d(around, weight, self.bias, 2, 1))


class _Layer:
    """An encoder layer of stride 2 in time: from streams up to q to streams at c = q - d."""

    def __init__(self, weight: Tensor, bias: Tensor, distance: int) -> None:
        self.before, self.at, self.after = (_last(weight[:, :, k]) for k in range(3))
        self.bias = bias
        self.delay_before, self.delay_at = _Delay(2 * distance), _Delay(distance)
        self.delay_start = _Delay(distance)

    def __call__(self, inner: Tensor, start: Tensor, last: Tensor) -> Iterator[Tensor]:
        after = F.conv2d(inner, self.after, None, 2, 1)
        half = self.delay_before(F.conv2d(inner, self.before, self.bias, 2, 1))
        half = half + self.delay_at(F.conv2d(inner, self.at, None, 2, 1))
        yield _act(half + after)
        yield _act(self.delay_start(F.conv2d(start, self.at, self.bias, 2, 1)).add_(after))
        yield _act(half.add_(F.conv2d(last, self.after, None, 2, 1)))


class _Up:
    """A decoder layer: the three slices around output 2c from the three around input c.

    An even output has one tap (``at``) of its own input; an odd one has two, ``after`` of the
    input before it and ``before`` of the input behind it. The two odd ones share input b, so
    three transposed convolutions make what would take four:

        after * a + before * b = after * (a - b) + (after + before) * b
        after * b + before * c = (after + before) * b - before * (b - c)
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        before, at, after = (weight[:, :, k] for k in range(3))
        self.before, self.at, self.after = _last(before), _last(at), _last(after)
        self.both = _last(before + after)
        self.bias = bias

    def __call__(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shared = F.conv_transpose2d(b, self.both, self.bias, 2, 1, 1)
        left = F.conv_transpose2d(a - b, self.after, None, 2, 1, 1).add_(shared)
        right = shared.sub_(F.conv_transpose2d(b - c, self.before, None, 2, 1, 1))
        middle = F.conv_transpose2d(b, self.at, self.bias, 2, 1, 1)
        return _act(left), _act(middle), _act(right)


class _Output:
    """The last layer (stride 1 in time): one output slice from the three around it.

    One matrix product gives every pixel's 9 taps x 3 channels; they are then added up where
    they overlap: output 2i has tap 1 of input i, output 2i + 1 taps 2 of i and 0 of i + 1.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.matrices = [weight[:, :, k].permute(0, 2, 3, 1).flatten(1) for k in (2, 1, 0)]
        self.bias = bias

    def __call__(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        n, _, height, width = b.shape
        rows = [part.permute(0, 2, 3, 1).flatten(0, 2) for part in (a, b, c)]
        product = rows[0] @ self.matrices[0]
        for part, matrix in zip(rows[1:], self.matrices[1:], strict=True):
            product.addmm_(part, matrix)
        taps = product.view(n, height, width, 3, 3, -1)
        output = taps.new_empty(n, height, 2, width, 2, len(self.bias))
        odd = taps[..., 2, :].clone()
        odd[:, :, :-1] += taps[:, :, 1:, :, 0]
        for column, half in ((0, taps[..., 1, :]), (1, odd)):
            output[:, :, 0, :, column] = half[..., 1, :]
            output[:, :, 1, :, column] = half[..., 2, :]
            output[:, :-1, 1, :, column] += half[:, 1:, :, 0]
        output += self.bias
        return output.view(n, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu_(x, NEGATIVE_SLOPE)


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
