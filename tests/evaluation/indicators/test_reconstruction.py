import numpy as np
import pytest
import torch

from evaluation.indicators.base import whole_omega
from evaluation.indicators.reconstruction import error_stream, shower
from evaluation.indicators.registry import by_name
from evaluation.indicators.settings import Scoring
from evaluation.indicators.shared_windows import SharedWindows, fold
from evaluation.indicators.window import WindowMeans, window_frames
from pipeline.base.errors import ConfigurationError
from tests.evaluation.indicators.plain import plain_errors, streamed
from training.networks.autoencoder import AutoencoderSettings
from training.networks.build import build_autoencoder
from training.networks.memory import MemorySettings

SIZE = 32


def network(**settings):
    """A small network whose BatchNorms have seen something."""
    torch.manual_seed(0)
    model = build_autoencoder(AutoencoderSettings(channels=(5, 6, 7, 8), **settings))
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm3d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.3, 2)
            layer.weight.data.uniform_(-1.5, 1.5)
            layer.bias.data.normal_(0, 0.3)
    return model.eval()


def video(frames, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, SIZE, SIZE, 3), np.uint8)


@pytest.mark.parametrize("frames", [1, 7, 16, 29])
@pytest.mark.parametrize(("batch", "push"), [(1, 1), (3, 5), (64, None), (4, 29)])
def test_a_stream_equals_the_plain_loop_over_windows(frames, batch, push):
    model, stored = network(), video(frames)
    errors, maps = streamed(model, stored, push, batch=batch, maps=8)
    plain, plain_maps = plain_errors(model, stored, maps=8)
    np.testing.assert_allclose(errors, plain, rtol=1e-5)
    np.testing.assert_allclose(maps, plain_maps, rtol=2e-3, atol=1e-4)


def test_equals_the_plain_loop_on_flow():
    model = network()
    flow = np.random.default_rng(0).normal(0, 2, (20, SIZE, SIZE, 2)).astype(np.float32)
    for display in ("uvm", "color"):
        show = shower(None, 4.0, display)
        errors, _ = streamed(model, flow, show=show, maps=0)
        np.testing.assert_allclose(errors, plain_errors(model, flow, show)[0], rtol=1e-5)


def test_equals_the_plain_loop_at_full_width():
    torch.manual_seed(0)
    model, stored = build_autoencoder().eval(), video(18)
    errors, _ = streamed(model, stored, maps=0)
    np.testing.assert_allclose(errors, plain_errors(model, stored)[0], rtol=1e-5)


@pytest.mark.parametrize("tanh", [True, False])
def test_reconstructions_are_the_networks_own(tanh):
    memory = MemorySettings(slots=20, shrinkage=0.01)
    for settings in ({"tanh": tanh}, {"tanh": tanh, "memory": memory}):
        model = network(**settings)
        x = torch.rand(21, 3, SIZE, 48) * 2 - 1
        windows = SharedWindows(model)
        parts = [windows.push(part) for part in (*x.split(4), torch.full((1, 3, SIZE, 48), 7.0))]
        found = torch.cat(parts)
        clips = torch.stack([x[s : s + 16].movedim(1, 0) for s in range(6)])
        with torch.no_grad():
            torch.testing.assert_close(found, model(clips)[:, :, 8], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("batch", [1, 2, 64])
@pytest.mark.parametrize("frames", [5, 16, 37])
def test_every_frame_is_judged_where_it_sits_nearest_to_the_9th_place(stride, batch, frames):
    model, stored = network(), video(frames)
    errors, maps = streamed(model, stored, 7, stride=stride, batch=batch, maps=4)
    assert errors.shape == (frames,)
    assert maps.shape == (frames, 4, 4)
    x = torch.from_numpy(stored).float() / 127.5 - 1
    for t in (0, frames // 2, frames - 1):
        # Windows' 9th places are at c = stride // 2 + i * stride.
        centres = range(stride // 2, frames + stride, stride)
        distances = [abs(t - c) for c in centres]
        nearest = [c for c, d in zip(centres, distances, strict=True) if d == min(distances)]
        expected = []
        for centre in nearest:
            places = np.clip(np.arange(centre - 8, centre + 8), 0, frames - 1)
            clip = x[places].permute(3, 0, 1, 2)[None]
            with torch.no_grad():
                output = model(clip)[0, :, 8 + t - centre]
            expected.append((output - x[t].permute(2, 0, 1)).square().mean().item())
        assert any(errors[t] == pytest.approx(e, rel=1e-5) for e in expected)


def test_clip_measure_is_memaes():
    memory = MemorySettings(slots=20, shrinkage=0.01)
    model = network(tanh=False, memory=memory)
    stored = video(18)
    errors, maps = streamed(model, stored, 5, measure="clip", batch=4, maps=4)
    _, frame_maps = streamed(model, stored, maps=4)
    np.testing.assert_allclose(maps, frame_maps, rtol=2e-3, atol=1e-4)
    for t in (0, 9, 17):
        clip = stored[window_frames(t, 18)].astype(np.float32) / 127.5 - 1
        with torch.no_grad():
            output = model(torch.from_numpy(clip).permute(3, 0, 1, 2)[None])[0]
        residual = output.permute(1, 2, 3, 0).numpy() - clip
        norms = np.sqrt((residual**2).sum(-1))
        assert errors[t] == pytest.approx(norms.mean(), rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"stride": 4}, {"stride": 16}, {"measure": "clip"}])
def test_what_is_held_does_not_grow_with_the_video(options):
    """A frame's number is there when its window is complete, whatever comes after it."""
    measure, stride = options.get("measure", "frame"), options.get("stride", 1)
    stream = error_stream(network(), Scoring(stride=stride, batch=4), measure)
    scored = 0
    for number, image in enumerate(video(60), 1):
        found = stream.push(image[None]).values
        scored += 0 if found is None else len(found)
        assert number - scored <= by_name("spatial").DELAY + 2 * (stride - 1)
        assert len(stream._held) <= 32
    left = stream.finish().values
    assert scored + len(left) == 60


@pytest.mark.parametrize("frames", [1, 3, 16, 40])
def test_means_of_a_stream_are_those_written_out(frames):
    values = np.random.default_rng(1).random(frames)
    stream = WindowMeans()
    found = [stream.push(values[start : start + 3]) for start in range(0, frames, 3)]
    found.append(stream.finish())
    expected = [values[window_frames(t, frames)].mean() for t in range(frames)]
    np.testing.assert_allclose(np.concatenate(found), expected)
    np.testing.assert_allclose(whole_omega(by_name("discriminator"), values), expected)


def test_an_empty_stream_has_no_scores():
    for settings in (Scoring(), Scoring(stride=4)):
        assert error_stream(network(), settings).finish().values is None
    assert len(WindowMeans().finish()) == 0


def test_bf16_is_near_fp32():
    model, stored = network(), video(20)
    exact, _ = streamed(model, stored)
    near, _ = streamed(model, stored, precision="bf16")
    assert not np.array_equal(exact, near)
    np.testing.assert_allclose(near, exact, rtol=0.02)


def test_folding_keeps_the_layers_function():
    model = network()
    for part in (model.encoder, model.decoder):
        conv, norm = part[3], part[4]
        weight, bias = fold(conv, norm)
        folded = type(conv)(
            conv.in_channels, conv.out_channels, 3, conv.stride, 1,
            **({"output_padding": 1} if part is model.decoder else {}),
        ).double()  # fmt: skip
        folded.weight.data, folded.bias.data = weight, bias
        x = torch.randn(2, conv.in_channels, 4, 6, 8, dtype=torch.float64)
        torch.testing.assert_close(folded(x), norm.double()(conv.double()(x)))


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ConfigurationError, match="evaluation mode"):
        SharedWindows(network().train())


def test_wrong_measures_are_refused():
    with pytest.raises(ConfigurationError, match="measure: 'mean'"):
        error_stream(network(), Scoring(), "mean")
    with pytest.raises(ConfigurationError, match="set it to 1"):
        error_stream(network(), Scoring(stride=2), "clip")
