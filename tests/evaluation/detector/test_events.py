"""Events as they happen against those of whole videos."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.detector.events import EventStream
from evaluation.measures.threshold import Alarm, find_events

FRAMES = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30)), min_size=1, max_size=40)


@given(FRAMES, st.integers(0, 20), st.integers(0, 20))
def test_a_stream_finds_the_events_of_the_whole_video(frames, merge, shortest):
    scores = np.array([score for score, _ in frames], float)
    times = np.cumsum([0, *(length for _, length in frames)]) / 10
    alarm = Alarm(merge=merge / 10, shortest=shortest / 10)
    stream = EventStream(1, alarm)
    changes = []
    for number, (score, seconds) in enumerate(zip(scores, times, strict=False)):
        changes += stream.push(number, score, seconds)
    changes += stream.finish(times[-1])
    ended = [one for one in changes if one.state == "ended"]
    assert [one.event for one in ended] == find_events(scores, times, 1, alarm)
    began = [one.number for one in changes if one.state == "began"]
    assert began == [one.number for one in ended] == list(range(1, len(ended) + 1))
