"""Clips: what a step holds, whoever reads it."""

import multiprocessing
import os
import shutil
import signal

import numpy as np
import pytest
import torch

from pipeline.base.errors import DataError
from pipeline.shards.reader import open_dataset
from tests.training.toys import write_dataset
from training.feed.clips import TrainingClips, load_steps, training_videos
from training.feed.order import Schedule, clip_rng
from training.feed.pseudo_anomalies import load_intruders


def clips_of(path, settings, intruders=None):
    dataset = open_dataset(path)
    return TrainingClips(dataset, settings, training_videos(dataset, holdout=False), intruders)


def schedule_of(clips):
    s = clips.settings
    return Schedule(tuple(v.frames for v in clips.videos), s.stride, s.batch, s.epochs, s.seed)


def batches(clips, workers=0, rank=0, processes=1, epoch=0, done=0):
    return list(
        load_steps(
            clips,
            schedule_of(clips),
            epoch,
            done,
            rank=rank,
            processes=processes,
            workers=workers,
            pin=False,
        )
    )


def same(one, two):
    return (
        torch.equal(one.target, two.target)
        and torch.equal(one.pseudo, two.pseudo)
        and torch.equal(one.replaced, two.replaced)
    )


def test_held_out_and_test_videos_are_never_trained_on(shards):
    dataset = open_dataset(shards)
    assert [v.name for v in training_videos(dataset, holdout=False)] == ["train/01", "train/02"]
    assert [v.name for v in training_videos(dataset, holdout=True)] == ["train/03"]


@pytest.mark.parametrize("network", ["spatial", "temporal"])
def test_a_pair_is_normal_and_pseudo_anomaly_of_the_same_frames(shards, small, network):
    clips = clips_of(shards, small(network=network, p=1.0, size=None))
    normal, pseudo = clips.pair(0, 1, 3)
    stages, array = (
        (("frames", "inpaint"), "image")
        if network == "spatial"
        else (("flow", "mixed_flow"), "flow")
    )
    dataset = open_dataset(shards)
    for found, stage in zip((normal, pseudo), stages, strict=True):
        assert (found == dataset.arrays(stage, "train/02")[array][3:19]).all()


def test_pseudo_anomalies_come_with_probability_p(shards, small):
    clips = clips_of(shards, small(p=0.3, stride=1, epochs=60))
    drawn = [
        clip_rng(0, epoch, video, start).random() < 0.3
        for epoch in range(60)
        for video in range(2)
        for start in range(6)
    ]
    assert 0.25 < np.mean(drawn) < 0.35
    for video, start in [(0, 2), (1, 5), (0, 7)]:
        expected = clip_rng(0, 4, video, start).random() < 0.3
        assert (clips.pair(4, video, start)[1] is not None) == expected


def test_p_0_draws_none_and_p_1_draws_all(shards, small):
    for p in (0.0, 1.0):
        pseudo = torch.cat([b.pseudo for b in batches(clips_of(shards, small(p=p)))])
        assert pseudo.float().mean() == p


@pytest.mark.parametrize("changes", [
    {}, {"network": "temporal"}, {"pseudo_anomaly": "patch"}, {"pseudo_anomaly": "skip-frame"},
])  # fmt: skip
def test_workers_change_nothing(shards, small, changes):
    intruders = load_intruders("samples") if changes.get("pseudo_anomaly") == "patch" else None
    clips = clips_of(shards, small(epochs=2, **changes), intruders)
    alone, helped = batches(clips, workers=0), batches(clips, workers=2)
    assert len(alone) == len(helped) == schedule_of(clips).total_steps
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))
    assert any(b.pseudo.any() for b in alone)


def test_processes_together_read_what_one_reads(shards, small):
    clips = clips_of(shards, small())
    alone = batches(clips)
    parts = [batches(clips, rank=rank, processes=2) for rank in range(2)]
    for whole, first, second in zip(alone, *parts, strict=True):
        assert torch.equal(whole.target[0::2], first.target)
        assert torch.equal(whole.target[1::2], second.target)
        assert torch.equal(whole.pseudo[1::2], second.pseudo)


def test_going_on_in_the_middle_reads_what_was_left(shards, small):
    clips = clips_of(shards, small())
    whole, rest = batches(clips), batches(clips, epoch=1, done=1)
    assert len(rest) < len(whole)
    assert all(same(a, b) for a, b in zip(whole[-len(rest) :], rest, strict=True))


def test_skip_frame_reads_every_kth_frame_and_targets_consecutive_ones(shards, small):
    clips = clips_of(shards, small(p=1.0, pseudo_anomaly="skip-frame", skip=(5,), size=None))
    whole = open_dataset(shards).arrays("frames", "train/01")["image"][:]
    normal, pseudo = clips.pair(0, 0, 2)
    start = next(s for s in range(11) if (normal == whole[s : s + 16]).all())
    picked = np.minimum(start + 5 * np.arange(16), 25)
    assert (pseudo == whole[picked]).all()


def test_a_video_shorter_than_a_clip_is_named(tmp_path):
    path = write_dataset(tmp_path, {"train/short": 15}, stages=("frames",))
    with pytest.raises(DataError, match="train/short has 15 frames"):
        training_videos(open_dataset(path), holdout=False)


def test_no_training_video_is_an_error(tmp_path):
    path = write_dataset(tmp_path, {"test/01": 20}, stages=("frames",))
    with pytest.raises(DataError, match="no training video"):
        training_videos(open_dataset(path), holdout=False)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_lost_shard_is_named_without_a_workers_traceback(tmp_path, small, workers):
    path = write_dataset(tmp_path, {"train/01": 30})
    shutil.rmtree(tmp_path / "frames")
    with pytest.raises(DataError) as error:
        batches(clips_of(path, small(p=0)), workers=workers)
    assert "frames/train/01/0000" in str(error.value)
    assert "Traceback" not in str(error.value)


def test_workers_leave_a_signal_to_their_job_to_the_main_process(shards, small):
    """SIGTERM and Ctrl-C go to every process of a job; only the main one may stop it."""
    clips = clips_of(shards, small())
    expected = batches(clips)
    others = multiprocessing.active_children()  # what tests before this one left to end
    steps = load_steps(clips, schedule_of(clips), 0, 0, rank=0, processes=1, workers=1, pin=False)
    found = [next(steps)]
    (worker,) = [one for one in multiprocessing.active_children() if one not in others]
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker.pid, number)
    found += steps
    assert len(found) == len(expected)
    assert all(same(one, two) for one, two in zip(found, expected, strict=True))
