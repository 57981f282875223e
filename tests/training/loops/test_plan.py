"""The plan: what a step is made of, before the network sees it."""

import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import open_dataset
from training.loops.plan import plan_training, prepare
from training.record.processes import Group

ALONE = Group(0, 1, torch.device("cpu"))


def one_batch(shards, settings):
    plan = plan_training(open_dataset(shards), settings, ALONE)
    step = next(plan.schedule.remaining(0, 0))
    return plan.clips[step], plan


def test_inputs_are_pseudo_anomalies_and_targets_are_normal(shards, small):
    batch, plan = one_batch(shards, small())
    clips, target, signs = prepare(batch, plan, torch.device("cpu"))
    assert batch.pseudo.any() and not batch.pseudo.all()
    assert torch.equal(clips[~batch.pseudo], target[~batch.pseudo])
    assert not torch.equal(clips[batch.pseudo], target[batch.pseudo])
    stored = torch.from_numpy(
        np.stack([plan.clips.pair(0, int(v), int(s))[0] for v, s in batch.step.clips])
    )
    assert torch.allclose(target, stored.permute(0, 4, 1, 2, 3) / 127.5 - 1)
    assert signs.tolist() == [1.0] * len(signs)


def test_steal_pushes_away_from_the_pseudo_anomaly_itself(shards, small):
    batch, plan = one_batch(shards, small(pseudo_anomaly="skip-frame", negative=True))
    clips, target, signs = prepare(batch, plan, torch.device("cpu"))
    assert batch.pseudo.any()
    assert torch.equal(clips, target)
    assert signs.tolist() == [-1.0 if pseudo else 1.0 for pseudo in batch.pseudo]


def test_temporal_clips_are_flow_by_the_data_sets_scale(shards, small):
    batch, plan = one_batch(shards, small(network="temporal"))
    _, target, _ = prepare(batch, plan, torch.device("cpu"))
    u = batch.target[..., 0]
    assert torch.allclose(target[:, 0], (u / 2.0).clamp(-1, 1))


def test_the_intruders_are_part_of_the_recipe(shards, small):
    dataset = open_dataset(shards)
    patch = plan_training(dataset, small(pseudo_anomaly="patch"), ALONE).recipe
    assert len(patch["data"]["intruders_sha256"]) == 64
    assert "intruders_sha256" not in plan_training(dataset, small(), ALONE).recipe["data"]


def test_too_many_processes_are_refused(shards, small):
    with pytest.raises(ConfigurationError, match="fewer than the 9 processes"):
        plan_training(open_dataset(shards), small(), Group(0, 9, torch.device("cpu")))
