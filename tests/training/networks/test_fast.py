import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline.base.errors import ConfigurationError
from training.networks.autoencoder import AutoencoderSettings, reconstruction_loss
from training.networks.build import build_autoencoder
from training.networks.kernels import convolution, ends, norm
from training.networks.memory import MemorySettings

SMALL = AutoencoderSettings(channels=(32, 32, 64, 32))


def channels_last(x):
    return x.permute(0, 2, 3, 4, 1).contiguous()


def plain(channels):
    return np.repeat(np.array([1, 0], np.float32), channels)


def random_norm(channels):
    """Scales and shifts as kernels take them, and the function that they stand for."""
    scale, shift = torch.rand(channels) + 0.5, torch.randn(channels)
    view = (1, -1, 1, 1, 1)

    def apply(x):
        y = x * scale.to(x.dtype).view(view) + shift.to(x.dtype).view(view)
        return torch.where(y > 0, y, 0.2 * y)

    return torch.cat([scale, shift]).numpy(), apply


def assert_near(found, exact, tolerance=3e-6):
    assert found.shape == exact.shape
    assert (found.double() - exact).norm() <= tolerance * exact.norm()


@pytest.fixture
def set_threads():
    """Return a function that sets PyTorch's number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("clips", "frames", "rows", "width", "large", "small"),
    [(1, 4, 4, 4, 32, 32), (2, 8, 12, 20, 32, 64), (1, 8, 36, 40, 64, 32), (1, 4, 8, 8, 32, 160)],
)
def test_strided_convolutions_are_pytorchs(
    set_threads, threads, clips, frames, rows, width, large, small
):
    set_threads(threads)
    torch.manual_seed(0)
    x = torch.randn(clips, large, frames, rows, width)
    weight = torch.randn(small, large, 3, 3, 3)
    gradient = torch.randn(clips, small, frames // 2, rows // 2, width // 2)
    read, apply = random_norm(large)
    a = apply(x.double()).requires_grad_()
    exact_weight = weight.double().requires_grad_()
    y = F.conv3d(a, exact_weight, None, 2, 1)
    y.backward(gradient.double())

    assert_near(convolution.down(channels_last(x), read, 0.2, weight), channels_last(y.detach()))
    g = channels_last(gradient)
    assert_near(convolution.up(g, plain(small), 1, weight), channels_last(a.grad))
    found = convolution.weights(channels_last(x), read, 0.2, g, plain(small), 1)
    assert_near(found, exact_weight.grad)

    # The transposed layer reads its small side through BatchNorm and LeakyReLU.
    read, apply = random_norm(small)
    b = apply(gradient.double())
    up = F.conv_transpose3d(b, weight.double(), None, 2, 1, 1)
    assert_near(convolution.up(g, read, 0.2, weight), channels_last(up))
    x_plain = channels_last(x)
    found = convolution.weights(x_plain, plain(large), 1, g, read, 0.2)
    exact = torch.nn.grad.conv3d_weight(x.double(), weight.shape, b, 2, 1)
    assert_near(found, exact)


@pytest.mark.parametrize(("frames", "rows", "width"), [(1, 2, 2), (3, 6, 10), (2, 16, 18)])
def test_the_three_channel_ends_are_pytorchs(frames, rows, width):
    torch.manual_seed(0)
    stride, channels = (1, 2, 2), 64
    x = torch.randn(2, 3, frames, rows, width)
    weight, bias = torch.randn(channels, 3, 3, 3, 3), torch.randn(3)
    y = torch.randn(2, channels, frames, rows // 2, width // 2)
    read, apply = random_norm(channels)
    exact = F.conv3d(x.double(), weight.double(), None, stride, 1)
    assert_near(ends.widen(channels_last(x), weight), channels_last(exact))
    a = apply(y.double())
    exact = F.conv_transpose3d(a, weight.double(), bias.double(), stride, 1, (0, 1, 1))
    found = ends.narrow(channels_last(y), read, 0.2, weight, bias)
    assert_near(found, channels_last(exact))
    found = ends.ends_weights(channels_last(x), channels_last(y), read, 0.2)
    assert_near(found, torch.nn.grad.conv3d_weight(x.double(), weight.shape, a, stride, 1))


def test_batchnorm_with_leaky_relu_is_pytorchs():
    torch.manual_seed(0)
    z = (torch.randn(2, 4, 6, 10, 32) * 2 + 3).requires_grad_()
    gain, shift = torch.randn(32).double().requires_grad_(), torch.randn(32).double()
    shift.requires_grad_()
    exact = z.detach().double().requires_grad_()
    y = F.batch_norm(exact.movedim(-1, 1), None, None, gain, shift, training=True)
    gradient = torch.randn(2, 4, 6, 10, 32)
    F.leaky_relu(y, 0.2).movedim(1, -1).backward(gradient.double())

    mean, variance = norm.statistics(z)
    assert_near(mean, exact.detach().flatten(0, 3).mean(0), 1e-6)
    assert_near(variance, exact.detach().flatten(0, 3).var(0, correction=0), 1e-5)
    inverse = (variance + 1e-5).rsqrt()
    scale = gain.detach() * inverse
    read = torch.cat([scale, shift.detach() - mean * scale]).float().numpy()
    activated = F.leaky_relu(y, 0.2).movedim(1, -1).detach()
    assert_near(norm.activate(z, read, 0.2), activated, 1e-6)
    found = norm.backward(gradient, z, read, mean, inverse, 0.2)
    assert_near(gradient, exact.grad, 1e-5)
    assert_near(found[0], gain.grad, 1e-5)
    assert_near(found[1], shift.grad, 1e-5)


def networks(settings=SMALL, seed=0):
    """The same weights plain, fast and plain in float64."""
    torch.manual_seed(seed)
    slow = build_autoencoder(settings)
    fast = build_autoencoder(settings, "fast")
    fast.load_state_dict(slow.state_dict())
    exact = build_autoencoder(settings).double()
    exact.load_state_dict(slow.state_dict())
    return slow.train(), fast.train(), exact.train()


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        # Without shrinkage: at its threshold the gradient jumps, and rounding decides the side.
        AutoencoderSettings(
            channels=SMALL.channels, tanh=False, memory=MemorySettings(slots=50, shrinkage=0)
        ),
    ],
)
def test_outputs_gradients_and_statistics_are_the_plain_networks(settings):
    slow, fast, exact = networks(settings)
    clips, target = torch.rand(2, 3, 16, 64, 64) * 2 - 1, torch.rand(2, 3, 16, 64, 64) * 2 - 1
    for network in (slow, fast, exact):
        kind = next(network.parameters()).dtype
        output, penalty = network(clips.to(kind), penalty=True)
        (reconstruction_loss(output, target.to(kind)).mean() + penalty).backward()
        network.output = output.detach()
    assert_near(fast.output, exact.output, 1e-5)
    named = [dict(n.named_parameters()) for n in (slow, fast, exact)]
    for name, right in named[2].items():
        if name.endswith("bias") and right.grad.norm() < 1e-7:
            # In front of BatchNorm: nothing but rounding.
            assert named[1][name].grad.abs().max() < 1e-7
            continue
        error = [(n[name].grad.double() - right.grad).norm().item() for n in named[:2]]
        assert error[1] <= 3 * error[0] + 1e-5 * right.grad.norm().item(), name
    for (name, a), b in zip(exact.named_buffers(), fast.buffers(), strict=True):
        torch.testing.assert_close(b.double(), a.double(), rtol=1e-5, atol=1e-6, msg=name)


def test_the_gradient_reaches_the_clips():
    _, fast, exact = networks()
    clips = torch.rand(1, 3, 16, 32, 32) * 2 - 1
    leaves = [clips.clone().requires_grad_(), clips.double().requires_grad_()]
    for network, leaf in zip((fast, exact), leaves, strict=True):
        network(leaf).square().sum().backward()
    assert_near(leaves[0].grad, leaves[1].grad, 1e-4)


def curve(network, clips, steps=12):
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(steps):
        loss = reconstruction_loss(network(clips), clips).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


def test_the_loss_curve_lies_within_the_spread_of_seeds():
    grid = torch.linspace(-1, 1, 32)
    clips = (grid.view(1, 1, 1, 32, 1) * grid).expand(2, 3, 16, 32, 32) * torch.tensor(
        [0.4, 0.9]
    ).view(2, 1, 1, 1, 1)
    slow, fast, _ = networks()
    seeds = np.array([curve(networks(seed=s)[0], clips) for s in (1, 2, 3)])
    one, other = curve(slow, clips), curve(fast, clips)
    assert other[-1] < 0.7 * other[0]
    spread = (seeds.max(0) - seeds.min(0)).mean()
    assert np.abs(one - other).mean() < 0.1 * spread


def test_steps_repeat_bit_for_bit():
    clips = torch.rand(2, 3, 16, 32, 32)
    first, second = (curve(networks()[1], clips, 3) for _ in range(2))
    assert np.array_equal(first, second)


def test_checkpoints_are_interchangeable_and_evaluation_is_plain():
    slow, fast, _ = networks()
    clips = torch.rand(1, 3, 16, 32, 32)
    fast(clips)
    slow.load_state_dict(fast.state_dict())
    slow.eval()
    fast.eval()
    with torch.no_grad():
        assert torch.equal(slow(clips), fast(clips))


def test_what_the_kernels_cannot_do_is_refused():
    with pytest.raises(ConfigurationError, match="multiples of 32; set engine: plain"):
        build_autoencoder(AutoencoderSettings(channels=(32, 48, 64, 32)), "fast")
    with pytest.raises(ConfigurationError, match="engine: 'quick'"):
        build_autoencoder(SMALL, "quick")
    fast = networks()[1]
    with pytest.raises(ConfigurationError, match="multiples of 16 frames and 32 x 32"):
        fast(torch.zeros(1, 3, 16, 48, 48))
    with pytest.raises(ConfigurationError, match=r"float32 on the CPU, not torch.float64"):
        fast(torch.zeros(1, 3, 16, 32, 32, dtype=torch.float64))
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(ConfigurationError, match="bf16 and engine: fast exclude"),
    ):
        fast(torch.zeros(1, 3, 16, 32, 32))
