"""Every protocol there is. Nothing else names one but the settings' defaults."""

from __future__ import annotations

from evaluation.protocols.dense import Dense
from evaluation.protocols.kind import Kind
from evaluation.protocols.lntra import Lntra
from evaluation.protocols.local.protocol import Local
from pipeline.base.errors import ConfigurationError

PROTOCOLS: tuple[Kind, ...] = (Lntra(), Dense(), Local())


def kind_of(name: str) -> Kind:
    """Return a protocol.

    Raises
    ------
    ConfigurationError
        If there is none of that name.
    """
    for one in PROTOCOLS:
        if name == one.NAME:
            return one
    there = ", ".join(one.NAME for one in PROTOCOLS)
    raise ConfigurationError(f"protocol: {name!r} is none of {there}")
