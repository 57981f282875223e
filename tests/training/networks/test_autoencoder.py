import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pipeline.base.errors import ConfigurationError, DataError
from training.networks.autoencoder import (
    AutoencoderSettings,
    load_weights,
    parameter_count,
    reconstruction_loss,
)
from training.networks.build import build_autoencoder
from training.networks.memory import MemorySettings

SMALL = AutoencoderSettings(channels=(4, 5, 6, 7))

# The table of docs/method.md, 6: layer, inputs, outputs, stride.
ENCODER = [(3, 96, (1, 2, 2)), (96, 128, (2, 2, 2)), (128, 256, (2, 2, 2)), (256, 256, (2, 2, 2))]
DECODER = [(256, 256, (2, 2, 2)), (256, 128, (2, 2, 2)), (128, 96, (2, 2, 2)), (96, 3, (1, 2, 2))]


def test_layers_are_those_of_the_table():
    model = build_autoencoder()
    for part, table, kind in (
        (model.encoder, ENCODER, nn.Conv3d),
        (model.decoder, DECODER, nn.ConvTranspose3d),
    ):
        found = [layer for layer in part if isinstance(layer, kind)]
        assert [(c.in_channels, c.out_channels, c.stride) for c in found] == table
        assert all(c.kernel_size == (3, 3, 3) and c.padding == (1, 1, 1) for c in found)
    assert isinstance(model.decoder[-1], nn.Tanh)
    assert sum(isinstance(m, nn.BatchNorm3d) for m in model.modules()) == 7
    slopes = [m.negative_slope for m in model.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.2] * 7


def test_parameter_count_is_that_of_the_table():
    weights = sum(27 * i * o + o for i, o, _ in ENCODER + DECODER)
    norms = sum(2 * o for _, o, _ in ENCODER + DECODER[:-1])
    assert parameter_count(build_autoencoder()) == weights + norms


def test_forward_is_the_composition_of_its_layers():
    torch.manual_seed(0)
    model = build_autoencoder(SMALL)
    clips = torch.rand(2, 3, 16, 32, 48) * 2 - 1
    weights = dict(model.state_dict())
    x = clips
    for i, (_, _, stride) in enumerate(ENCODER):
        x = F.conv3d(x, weights[f"encoder.{3 * i}.weight"], weights[f"encoder.{3 * i}.bias"],
                     stride, 1)  # fmt: skip
        x = normed(x)
    assert x.shape == (2, 7, 2, 2, 3)
    for i, (_, _, stride) in enumerate(DECODER):
        x = F.conv_transpose3d(
            x, weights[f"decoder.{3 * i}.weight"], weights[f"decoder.{3 * i}.bias"],
            stride, 1, tuple(s - 1 for s in stride),
        )  # fmt: skip
        x = normed(x) if i < 3 else x.tanh()
    torch.testing.assert_close(model(clips), x, rtol=1e-5, atol=1e-5)


def normed(x):
    """Batch statistics by hand, gain 1 and shift 0 as fresh weights have them."""
    mean, var = x.mean((0, 2, 3, 4), keepdim=True), x.var((0, 2, 3, 4), False, keepdim=True)
    x = (x - mean) / (var + 1e-5).sqrt()
    return torch.where(x > 0, x, 0.2 * x)


@pytest.mark.parametrize("tanh", [True, False])
def test_state_dict_does_not_depend_on_tanh(tanh):
    settings = AutoencoderSettings(channels=SMALL.channels, tanh=tanh)
    model = build_autoencoder(settings)
    assert model.state_dict().keys() == build_autoencoder(SMALL).state_dict().keys()
    torch.manual_seed(1)
    with torch.no_grad():
        model.decoder[9].bias.fill_(3.0)
        assert (model(torch.zeros(1, 3, 16, 16, 32)).max() > 1) != tanh


def test_penalty_is_zero_without_memory_and_entropy_with_it():
    clips = torch.rand(1, 3, 16, 32, 32)
    output, penalty = build_autoencoder(SMALL)(clips, penalty=True)
    assert output.shape == clips.shape
    assert penalty.item() == 0
    memory = MemorySettings(slots=20, shrinkage=0.0)
    model = build_autoencoder(AutoencoderSettings(channels=SMALL.channels, memory=memory))
    output, penalty = model(clips, penalty=True)
    assert output.shape == clips.shape
    assert 0 < penalty.item() <= 2e-4 * torch.tensor(20.0).log().item()
    penalty.backward()
    assert model.memory.slots.grad.abs().sum() > 0


def test_loss_is_the_squared_error_divided_by_tchw():
    output, target = torch.randn(2, 3, 16, 16, 16), torch.randn(2, 3, 16, 16, 16)
    by_hand = [((output[i] - target[i]) ** 2).sum() / (3 * 16 * 16 * 16) for i in range(2)]
    torch.testing.assert_close(reconstruction_loss(output, target), torch.stack(by_hand))


@pytest.mark.parametrize(
    "shape", [(3, 16, 32, 32), (1, 1, 16, 32, 32), (1, 3, 12, 32, 32), (1, 3, 16, 32, 40)]
)
def test_clips_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ConfigurationError, match=r"clips of shape .*multiples of 16"):
        build_autoencoder(SMALL)(torch.zeros(shape))


def test_wrong_channels_are_refused_by_name():
    with pytest.raises(ConfigurationError, match="channels"):
        AutoencoderSettings(channels=(96, 0, 1, 1))


def test_weights_of_another_architecture_name_the_first_that_differs():
    model = build_autoencoder(SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = build_autoencoder(AutoencoderSettings(channels=(4, 5, 6, 8))).state_dict()
    with pytest.raises(DataError, match=r"old.safetensors: .*decoder.0.weight"):
        load_weights(model, other, "old.safetensors")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    missing = {k: v for k, v in before.items() if k != "encoder.0.bias"}
    with pytest.raises(DataError, match=r"encoder.0.bias has shape none"):
        load_weights(model, missing, "x")
    load_weights(model, {k: v + 1 for k, v in before.items()}, "x")
    assert torch.equal(model.encoder[0].weight, before["encoder.0.weight"] + 1)
