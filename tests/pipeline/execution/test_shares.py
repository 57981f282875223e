import shutil
import threading

import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.execution import run as execution
from pipeline.execution.executors.array import Share, shard_ids
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.todo import Settings, check_complete
from tests.pipeline.execution.test_engine import shard_bytes
from tests.pipeline.toys import make_plan

FRAMES = (40, 17, 70, 16, 33, 20)


SERIAL = Cluster(kind="serial")


def owned(plan, share):
    numbers = share.owned(plan)
    return [
        f"{name}/{plan.video_folder(name, video)}/{number:05d}"
        for name in plan.stages
        for video in plan.videos
        for number in numbers(name, video)
    ]


def run_share(plan, share, folder, **settings):
    wanted = share.wanted(plan)
    return execution.run(plan, SERIAL, Settings(**settings), folder / "logs", wanted)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_shares_divide_all_shards_without_overlap(tmp_path, count):
    plan = make_plan(tmp_path, frames=FRAMES)
    parts = [owned(plan, Share(index, count)) for index in range(1, count + 1)]
    assert sorted(name for part in parts for name in part) == sorted(shard_ids(plan))
    if count < 8:
        assert max(map(len, parts)) <= 2 * (min(map(len, parts)) + 2)


def test_what_is_cached_does_not_change_the_division(tmp_path):
    plan = make_plan(tmp_path, frames=FRAMES)
    before = owned(plan, Share(2, 3))
    run_share(plan, Share(1, 3), tmp_path)
    assert owned(plan, Share(2, 3)) == before


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "a/b", "1/", "1/2/3", "-1/2"])
def test_a_share_that_is_none_is_refused(text):
    with pytest.raises(ConfigurationError, match="shards"):
        Share.parse(text)


def test_shares_together_make_what_one_run_makes(tmp_path):
    plan = make_plan(tmp_path / "whole", frames=FRAMES)
    execution.run(plan, Cluster(kind="threads", workers=2), Settings(), tmp_path / "logs")
    calls = tmp_path / "calls"
    plan = make_plan(tmp_path / "shares", frames=FRAMES, log_calls=str(calls))
    threads = [
        threading.Thread(target=run_share, args=(plan, Share(i, 3), tmp_path)) for i in (1, 2, 3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_complete(plan)
    whole = {path.name: data for path, data in shard_bytes(tmp_path / "whole").items()}
    assert len(shard_bytes(tmp_path / "shares")) == len(shard_bytes(tmp_path / "whole"))
    assert set(whole) == {path.name for path in shard_bytes(tmp_path / "shares")}
    lines = calls.read_text().splitlines()
    assert len(lines) == len({tuple(line.split()[:2]) for line in lines})


def test_one_share_alone_is_complete_in_itself_and_goes_on_after_a_loss(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=FRAMES)
    share = Share(3, 3)
    assert not run_share(plan, share, tmp_path).failures
    for name in plan.stages:
        for video in plan.videos:
            assert set(share.owned(plan)(name, video)) <= plan.committed(name, video)
    shutil.rmtree(next(iter((tmp_path / "cache/toy/difference").rglob("*.h5"))).parent)
    summary = run_share(plan, share, tmp_path)
    assert set(summary.computed) == {"difference"}
    assert not summary.failures


def test_a_share_begins_with_its_own_and_reads_whole_videos(tmp_path):
    plan = make_plan(tmp_path, frames=(160,))
    share, (video,) = Share(2, 4), plan.videos
    assert list(share.owned(plan)("difference", video)) == [3, 4]
    assert list(share.wanted(plan)("difference", video)) == [3, 4]
    assert list(share.wanted(plan)("noise", video)) == [3, 4, 5, 6, 7, 8, 9, 0, 1, 2]


def test_dead_and_hanging_workers_of_a_share_are_replaced_and_their_shard_given_up(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(16,) * 8, kill_on="train/02", hang_on="train/04")
    settings, two = Settings(retries=1, timeout=0.5), Cluster(kind="processes", workers=2)
    wanted = Share(1, 1).wanted(plan)
    summary = execution.run(plan, two, settings, tmp_path / "logs", wanted)
    direct = sorted(failure.name for failure in summary.failures if not failure.skipped)
    assert direct == ["noise/train/02/00000", "noise/train/04/00000"]
    skipped = sorted(failure.name for failure in summary.failures if failure.skipped)
    assert skipped == ["difference/train/02/00000", "difference/train/04/00000"]
    assert summary.computed == {"noise": 6, "difference": 2}
