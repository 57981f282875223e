"""DDIM's timesteps against the rule of CompVis latent diffusion, written out again."""

import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.models.inpainting.timesteps import ddim_timesteps
from pipeline.stages.inpaint import Inpaint


def original(steps):
    """ldm/modules/diffusionmodules/util.py, make_ddim_timesteps, "uniform"; then its tables."""
    c = 1000 // steps
    timesteps = np.asarray(list(range(0, 1000, c))) + 1
    np.zeros(1000)[timesteps]  # alphas_cumprod
    return timesteps[::-1].tolist()


def test_those_of_the_original_where_it_has_any():
    for steps in range(1, 1001):
        try:
            expected = original(steps)
        except IndexError:
            with pytest.raises(ConfigurationError, match="nearest that it has: "):
                ddim_timesteps(steps)
        else:
            assert ddim_timesteps(steps) == expected


def test_the_stage_refuses_and_keeps_old_keys():
    with pytest.raises(ConfigurationError, match=r"inpaint\.steps: with 501 .* has: 500"):
        Inpaint(steps=501)
    assert "timesteps" not in Inpaint(steps=50).settings()
    assert Inpaint(steps=30).settings()["timesteps"] == 31
