"""`make bench` finds its topics, and every one of them has rows."""

from __future__ import annotations

import importlib
import json

from benchmarks import losses
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


def test_loss_curves_are_compared_at_the_steps_that_all_logged(tmp_path):
    curves = {"one": [4.0, 3.0, 2.0, 1.0, 0.5], "two": [4.0, 3.5, 2.0, 1.0, 0.5]}
    curves["seed"] = [6.0, 3.5, 2.5, 1.0, 0.5, 0.1]
    for name, values in curves.items():
        (tmp_path / name).mkdir()
        events = [{"type": "step", "step": 10 * n, "loss": v} for n, v in enumerate(values, 1)]
        lines = [json.dumps(event) for event in [*events, {"type": "epoch", "loss": 9.0}]]
        (tmp_path / name / "metrics.jsonl").write_text("\n".join(lines))
    rows = losses.table(tmp_path / "one", [tmp_path / "two", tmp_path / "seed"]).splitlines()[2:]
    assert rows[0] == "| 10 to 10 | 4.000000 | 4.000000 | 0.0e+00 | 2.0e+00 |"
    assert rows[1] == "| 20 to 20 | 3.000000 | 3.500000 | 5.0e-01 | 0.0e+00 |"
    assert len(rows) == 5


def test_the_gpus_rows_are_steps_and_stages_that_run(monkeypatch):
    """On the processor at a small size: that each way of a step and each stage can be taken."""
    import torch

    from benchmarks import gpu

    monkeypatch.setattr(gpu, "STEPS", 1)
    monkeypatch.setattr(gpu, "WARM_UP", 0)
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        for way in (gpu.PEER, gpu.WAYS[0]):
            assert gpu.step_milliseconds(way, "cpu", 1, 32) > 0
    finally:
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = tf32
    assert gpu.stage_call("features", 2, 64)().shape == (2, 1280)
    assert gpu.stage_call("inpaint", 1, 64)().shape == (1, 64, 64, 3)
    if not torch.cuda.is_available():
        assert gpu.rows() == []
