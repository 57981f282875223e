import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.measures.threshold import Alarm, choose_threshold, find_events
from pipeline.base.errors import ConfigurationError


def events(scores, threshold, fps, alarm):
    return find_events(scores, even(scores, fps), threshold, alarm)


def even(scores, fps):
    """When frames begin at an even rate, and when the last one ends."""
    return np.arange(len(scores) + 1) / fps


STRICT = Alarm(merge=0, shortest=0)


def test_events_have_their_peak():
    scores = np.array([0, 2, 5, 3, 0, 0, 4, 0.0])
    found = events(scores, 1, 10, STRICT)
    assert [(e.first, e.last, e.peak, e.score) for e in found] == [(1, 3, 2, 5.0), (6, 6, 6, 4.0)]


def test_near_events_are_one_and_short_ones_none():
    scores = np.array([0, 2, 2, 0, 0, 2, 2, 0, 0, 0, 0, 0, 9, 0.0])
    found = events(scores, 1, 10, Alarm(merge=0.25, shortest=0.2))
    assert [(e.first, e.last) for e in found] == [(1, 6)]
    assert len(events(scores, 1, 10, Alarm(merge=0.2, shortest=0.2))) == 2


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(0, 6))
def test_frames_of_strict_events_are_those_above(values, threshold):
    scores = np.array(values, float)
    covered = {t for e in events(scores, threshold, 25, STRICT) for t in range(e.first, e.last + 1)}
    assert covered == set(np.flatnonzero(scores > threshold))


def test_the_threshold_keeps_to_the_rate_and_a_lower_one_does_not():
    rng = np.random.default_rng(0)
    normal = [rng.gumbel(size=36000) for _ in range(2)]  # two videos of an hour at 10 a second
    alarm = Alarm(rate=5)
    found = choose_threshold(normal, [even(p, 10) for p in normal], alarm, candidates=72000)
    assert found.hours == pytest.approx(2)
    assert found.supported
    assert found.events == sum(len(events(p, found.value, 10, alarm)) for p in normal) <= 10
    lower = np.sort(np.concatenate(normal))
    below = lower[np.searchsorted(lower, found.value) - 1]
    assert sum(len(events(p, below, 10, alarm)) for p in normal) > 10


def test_too_little_footage_is_said():
    normal = [np.linspace(0, 1, 600)]  # a minute at 10 a second
    found = choose_threshold(normal, [even(p, 10) for p in normal], Alarm(rate=1))
    assert found.value == 1 and found.events == 0 and not found.supported
    assert "too short: 60 min at least are needed" in found.note
    assert "up to 180 an hour" in found.note


def test_a_given_threshold_is_taken():
    found = choose_threshold(
        [np.array([0, 3, 0.0])], [np.arange(4)], Alarm(threshold=2, shortest=0)
    )
    assert (found.value, found.events, found.asked) == (2, 1, None)
    assert choose_threshold([], [], Alarm(threshold=2)).hours == 0


def test_bad_input_is_said():
    for wrong, said in (({"rate": 0}, "rate"), ({"merge": -1}, "merge"), ({"shortest": -1}, "sho")):
        with pytest.raises(ConfigurationError, match=said):
            Alarm(**wrong)
    with pytest.raises(ConfigurationError, match="no normal video was held out"):
        choose_threshold([], [], Alarm())


def test_length_and_distance_are_those_of_time():
    times = np.array([0, 1, 2, 10, 10.5, 11, 30, 31.0])
    scores = np.array([0, 5, 0, 5, 0, 7, 0])
    found = find_events(scores, times, 1, Alarm(merge=8.1, shortest=0))
    assert [(e.start, e.end, e.peak_time) for e in found] == [(1, 30, 11)]
    found = find_events(scores, times, 1, Alarm(merge=0.6, shortest=1.5))
    assert [(e.start, e.end, e.score) for e in found] == [(10, 30, 7)]
    minute = choose_threshold([scores], [times * 60], Alarm(threshold=100))
    assert minute.hours == pytest.approx(31 / 60)
