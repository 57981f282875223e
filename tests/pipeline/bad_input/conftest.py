"""No test of damaged input may hang, or have run what is in a file."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.pipeline.bad_input.common import TOUCHED


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """End a test that hangs, and make sure that no file had its code run."""

    def stop(*_) -> None:
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert TOUCHED not in os.environ
