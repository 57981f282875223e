"""At which of the 1000 training timesteps DDIM samples, as CompVis latent diffusion has it."""

from __future__ import annotations

from pipeline.base.errors import ConfigurationError

TRAINED = 1000


def ddim_timesteps(steps: int) -> list[int]:
    """Return the timesteps 1, 1 + c, 1 + 2c, ..., the last first, with c = 1000 // ``steps``.

    Where ``steps`` does not divide 1000 there are more of them than ``steps``, as in the
    original (``make_ddim_timesteps``).

    Raises
    ------
    ConfigurationError
        If the original has no such timesteps: ``steps`` is outside 1 to 500, or the last one
        would be 1000, where timesteps end at 999.

    Examples
    --------
    >>> ddim_timesteps(4), len(ddim_timesteps(30)), ddim_timesteps(30)[0]
    ([751, 501, 251, 1], 31, 991)
    """
    if steps < 1:
        raise ConfigurationError(f"steps: {steps} is below 1")
    if _defined(steps):
        return list(range(1, TRAINED + 1, TRAINED // steps))[::-1]
    near = [n for n in range(1, TRAINED // 2 + 1) if _defined(n)]
    below = max((n for n in near if n < steps), default=near[0])
    above = min((n for n in near if n > steps), default=near[-1])
    either = " or ".join(str(n) for n in sorted({below, above}))
    raise ConfigurationError(
        f"steps: with {steps} the sampler would start at timestep 1000 or later, beyond the 999 "
        f"that the model was trained for; the nearest that it has: {either}"
    )


def _defined(steps: int) -> bool:
    return (1 <= steps <= TRAINED // 2 and (TRAINED - 1) % (TRAINED // steps) != 0) or steps == 1
