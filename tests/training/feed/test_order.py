"""Order: every clip once, nothing twice, the same from any starting point."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import ConfigurationError
from training.feed.order import Schedule, clip_order, clip_rng, clip_starts, shuffle_buffer


def brute_force_starts(frames, stride, epoch):
    everything = [s for s in range(frames) if s + 16 <= frames]
    if not everything:
        return []
    first = epoch % min(stride, len(everything))
    return [s for s in everything if s >= first and (s - first) % stride == 0]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 30))
def test_starts_are_those_of_a_brute_force_search(frames, stride, epoch):
    assert list(clip_starts(frames, stride, epoch)) == brute_force_starts(frames, stride, epoch)


def test_as_many_epochs_as_the_stride_visit_every_start():
    seen = [s for epoch in range(4) for s in clip_starts(41, 4, epoch)]
    assert sorted(seen) == list(range(26))


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=5),
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(1, 30),
    st.integers(0, 3),
)
@settings(max_examples=50, deadline=None)
def test_an_epoch_holds_every_clip_once(frames, stride, block, buffer, epoch):
    order = clip_order(frames, 7, epoch, stride=stride, block=block, buffer=buffer)
    wanted = [(v, s) for v, n in enumerate(frames) for s in brute_force_starts(n, stride, epoch)]
    assert sorted(map(tuple, order.tolist())) == wanted


def test_order_depends_on_seed_and_epoch_and_on_nothing_else():
    def order(seed, epoch):
        return clip_order((40, 50), seed, epoch, stride=1, block=8, buffer=16).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(2, 2)
    assert order(1, 2) != order(1, 3)


def test_a_small_buffer_keeps_reading_local():
    order = clip_order((1000,), 0, 0, stride=1, block=1000, buffer=10)
    # An item leaves the buffer once at least all but ten of those before it have come in.
    assert all(start <= at + 10 for at, (_, start) in enumerate(order.tolist()))


def test_a_large_buffer_is_a_uniform_shuffle():
    rng = np.random.default_rng(0)
    first = Counter(int(shuffle_buffer(5, 100, rng)[0]) for _ in range(2000))
    assert all(300 < first[i] < 500 for i in range(5))


def test_shuffle_buffer_of_one_changes_nothing():
    assert shuffle_buffer(6, 1, np.random.default_rng(0)).tolist() == [0, 1, 2, 3, 4, 5]


def schedule(**changes):
    given = {"frames": (40, 33, 20), "stride": 2, "batch": 4, "epochs": 3, "seed": 3}
    return Schedule(**(given | changes))


def flat(steps):
    return [(s.epoch, s.number, s.total, s.clips.tolist()) for s in steps]


@pytest.mark.parametrize("epoch, done", [(0, 0), (0, 3), (1, 1), (2, 2)])
def test_remaining_is_the_tail_of_the_whole(epoch, done):
    whole = flat(schedule().remaining(0, 0))
    tail = flat(schedule().remaining(epoch, done))
    assert tail == whole[len(whole) - len(tail) :]
    assert whole[len(whole) - len(tail)][:2] == (epoch, done)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_every_step_without_overlap_or_loss(processes):
    alone = list(schedule().remaining(0, 0))
    shared = [list(schedule().remaining(0, 0, rank, processes)) for rank in range(processes)]
    for whole, *parts in zip(alone, *shared, strict=True):
        together = sorted(tuple(c) for part in parts for c in part.clips.tolist())
        assert together == sorted(map(tuple, whole.clips.tolist()))
        assert all(part.total == len(whole.clips) for part in parts)


def test_no_step_is_left_with_a_handful_of_clips():
    sizes = [len(clips) for clips in schedule(batch=10).epoch(0)]
    assert sum(sizes) == schedule().clips(0)
    assert max(sizes) <= 10 and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("limit", [1, 11, 24, 25, 40])
def test_max_clips_cuts_the_stream_at_that_clip(limit):
    cut = schedule(max_clips=limit)
    seen = sum(s.total for s in cut.remaining(0, 0))
    assert seen == min(limit, sum(s.total for s in schedule().remaining(0, 0)))
    assert cut.total_steps == len(list(cut.remaining(0, 0)))


def test_steps_that_not_every_process_shares_are_refused():
    with pytest.raises(ConfigurationError, match="fewer than the 5 processes"):
        schedule().check(processes=5)


def test_an_epoch_without_clips_is_refused():
    with pytest.raises(ConfigurationError, match="no clips"):
        schedule(frames=(10,)).check()


def test_each_clip_has_its_own_randomness():
    draws = {
        clip_rng(*key).random()
        for key in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    }
    assert len(draws) == 5
    assert clip_rng(0, 0, 0, 0).random() in draws
