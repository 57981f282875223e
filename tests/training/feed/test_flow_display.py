"""Flow display against the definition of the Middlebury colour wheel, pixel by pixel."""

import math

import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError
from training.feed.flow_display import color_wheel, flow_image, show_flow


def middlebury_wheel():
    """makecolorwheel() of the benchmark's colorcode.cpp, in floats."""
    wheel = []
    for steps, make in (
        (15, lambda x: (1, x, 0)),
        (6, lambda x: (1 - x, 1, 0)),
        (4, lambda x: (0, 1, x)),
        (11, lambda x: (0, 1 - x, 1)),
        (13, lambda x: (x, 0, 1)),
        (6, lambda x: (1, 0, 1 - x)),
    ):
        wheel += [make(i / steps) for i in range(steps)]
    return wheel


def middlebury_color(u, v):
    """computeColor() of colorcode.cpp for speeds up to 1, RGB in [0, 1]."""
    wheel = middlebury_wheel()
    radius = math.hypot(u, v)
    at = (math.atan2(-v, -u) / math.pi + 1) / 2 * (len(wheel) - 1)
    low = int(at)
    part = at - low
    pairs = zip(wheel[low], wheel[(low + 1) % len(wheel)], strict=True)
    return [1 - radius * (1 - ((1 - part) * a + part * b)) for a, b in pairs]


def test_wheel_is_the_benchmarks():
    assert np.allclose(color_wheel().numpy(), middlebury_wheel(), atol=1e-6)


def test_colors_are_the_benchmarks():
    rng = np.random.default_rng(0)
    angle, radius = rng.uniform(0, 2 * np.pi, 50), rng.uniform(0, 1, 50)
    flow = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    shown = show_flow(torch.from_numpy(3.0 * flow), 3.0, "color")
    wanted = [middlebury_color(u, v) for u, v in flow]
    assert np.allclose((shown.numpy() + 1) / 2, wanted, atol=1e-5)


def test_uvm_by_hand():
    shown = show_flow(torch.tensor([[3.0, -4.0], [0.0, 0.0], [30.0, 0.0]]), 10.0)
    assert torch.allclose(shown, torch.tensor([[0.3, -0.4, 0.5], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]))


@pytest.mark.parametrize("display", ["uvm", "color"])
def test_values_stay_in_the_networks_range(display):
    shown = show_flow(torch.randn(4, 5, 6, 2) * 50, 2.0, display)
    assert shown.shape == (4, 5, 6, 3) and shown.dtype == torch.float32
    assert shown.min() >= -1 and shown.max() <= 1


@pytest.mark.parametrize("display", ["uvm", "color"])
def test_absolute_speed_survives(display):
    slow, fast = (show_flow(torch.tensor([[s, 0.0]]), 4.0, display) for s in (1.0, 2.0))
    rest = show_flow(torch.zeros(1, 2), 4.0, display)
    assert torch.allclose(fast - rest, 2 * (slow - rest), atol=1e-6)


def test_images_for_people_are_white_at_rest_and_red_to_the_right():
    image = flow_image(np.array([[[0, 0], [5, 0]]], np.float16), 5.0)
    assert image.dtype == np.uint8
    assert image.tolist() == [[[255, 255, 255], [255, 0, 0]]]


@pytest.mark.parametrize("scale, display", [(0, "uvm"), (float("nan"), "uvm"), (1, "hsv")])
def test_bad_settings_are_named(scale, display):
    with pytest.raises(ConfigurationError, match=r"flow_scale|display"):
        show_flow(torch.zeros(1, 2), scale, display)
