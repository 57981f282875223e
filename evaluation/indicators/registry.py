"""Every indicator there is, and the rows in which the paper fuses them. Nothing else names one."""

from __future__ import annotations

from collections.abc import Iterable

from evaluation.indicators.appearance import Appearance
from evaluation.indicators.base import Indicator
from evaluation.indicators.discriminator import Discriminator
from evaluation.indicators.flow import Flow
from evaluation.indicators.spatial import Spatial
from evaluation.indicators.temporal import Temporal
from evaluation.record.run import Run
from pipeline.base.errors import ConfigurationError

INDICATORS: tuple[Indicator, ...] = (
    Flow(),
    Spatial(),
    Temporal(),
    Discriminator(),
    Appearance(),
)
"""In the order of tables, weights and legends."""

FUSIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("w/o D", ("spatial", "temporal")),
    ("w/ D (ours)", ("spatial", "temporal", "discriminator")),
)
"""The paper's rows of several indicators."""


def by_name(name: str) -> Indicator:
    """Return an indicator.

    Raises
    ------
    ConfigurationError
        If there is none of that name.
    """
    for one in INDICATORS:
        if name == one.NAME:
            return one
    there = ", ".join(one.NAME for one in INDICATORS)
    raise ConfigurationError(f"indicator {name!r} is none of {there}")


def ordered(names: Iterable[str]) -> tuple[Indicator, ...]:
    """Return the indicators of these names, in the registry's order; other names do not count."""
    wanted = set(names)
    return tuple(one for one in INDICATORS if one.NAME in wanted)


def ready(run: Run) -> tuple[Indicator, ...]:
    """Return the indicators that a run has what they need for."""
    return tuple(one for one in INDICATORS if one.ready(run))


def networks(run: Run) -> tuple[str, ...]:
    """Return the names of the run's networks that were trained to their end."""
    return tuple(one.NAME for one in ready(run) if one.NETWORK)


def with_value() -> tuple[Indicator, ...]:
    """Return the indicators that have a number a frame."""
    return tuple(one for one in INDICATORS if one.VALUE)


def with_error_map() -> tuple[str, ...]:
    """Return the names of the indicators that have error maps, of which heat maps are made."""
    return tuple(one.NAME for one in INDICATORS if one.MAP == 1)
