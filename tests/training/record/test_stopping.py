"""Stopping: the first signal asks, the second interrupts, time runs out."""

import os
import signal

import pytest

from training.record.stopping import Stopper


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number):
    before = signal.getsignal(number)
    with Stopper() as stopper:
        assert not stopper.wanted
        os.kill(os.getpid(), number)
        assert stopper.wanted and stopper.signalled
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 0.1)
    assert signal.getsignal(number) is before


def test_time_runs_out():
    assert not Stopper(60).wanted
    late = Stopper(1e-12)
    assert late.wanted and not late.signalled
