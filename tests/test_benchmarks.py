"""`make bench` finds its topics, and every one of them has rows."""

from __future__ import annotations

import importlib

from benchmarks.__main__ import line, topics
from benchmarks.common import Row, in_pairs


def test_every_topic_can_be_asked_for_rows():
    found = topics()
    assert {"autoencoder", "detection", "engine", "flow", "inpaint", "scoring", "shards"} <= set(
        found
    )
    for name in found:
        assert callable(importlib.import_module(f"benchmarks.{name}").rows)


def test_sides_take_turns_and_the_ratio_is_that_of_pairs():
    called = []
    ours, peer, ratio = in_pairs(lambda: called.append("a"), lambda: called.append("b"), runs=2)
    assert called == ["a", "b"] * 3
    assert ours > 0
    assert peer > 0
    assert ratio > 0


def test_a_row_says_its_goal():
    assert " 25  s a pair" in line(Row("tvl1", 0.1, 3.0, 30.0, 25.0, "s a pair"))
