import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import uniform_filter, uniform_filter1d

from evaluation.indicators.flow import velocities
from evaluation.indicators.settings import Scoring
from evaluation.measures.results import Fusing
from evaluation.protocols.base import Protocol, heldout_limits, omegas
from evaluation.protocols.local import local
from evaluation.protocols.local.lasting import Form, LastingStream, lasting_maps
from evaluation.protocols.local.local import Calibration, Tail
from evaluation.protocols.local.scores import normal_levels, stretch_maps, stretch_values
from evaluation.record.run import open_run
from evaluation.record.scores import open_scores
from evaluation.record.stretches import normal_stretches, whole
from evaluation.scoring.score import score_run
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import Dataset, VideoInfo
from tests.evaluation.conftest import make_run

LOCAL = Protocol(name="local", normalise="heldout")


def follow(maps, reach=local.REACH):
    """The means along the way that each point came, and along the way it goes."""
    ways = [[local.along(maps, t, step, reach) for t in range(len(maps))] for step in (-1, 1)]
    return np.stack(ways[0]), np.stack(ways[1])


def blob(frames, side, speed, start=4, size=6):
    """Flow (N, side, side, 2) of a square that moves to the right over what stands still."""
    flow = np.zeros((frames, side, side, 2), np.float32)
    for t in range(frames):
        left = start + round(t * speed)
        flow[t, 8 : 8 + size, left : left + size, 0] = speed
    return flow


def test_cells_are_means_in_cells_a_frame():
    flow = np.random.default_rng(0).normal(size=(3, 32, 32, 2)).astype(np.float16)
    found = velocities(flow, 8)
    means = flow.astype(np.float64).reshape(3, 8, 4, 8, 4, 2).mean((2, 4)) / 4
    np.testing.assert_allclose(found, means, atol=1e-4)


def test_box_is_the_mean_over_a_square():
    maps = np.random.default_rng(0).normal(size=(2, 9, 11, 2)).astype(np.float32)
    expected = uniform_filter(maps, (1, 5, 5, 1), mode="reflect")
    np.testing.assert_allclose(local.box(maps, 5), expected, atol=1e-5)
    one = maps[..., :1]
    np.testing.assert_allclose(local.box(one, 5), expected[..., :1], atol=1e-5)
    assert local.box(maps, 1) is maps


def test_where_nothing_moves_following_is_a_mean_over_time():
    maps = np.random.default_rng(0).normal(size=(40, 5, 5, 3)).astype(np.float32)
    maps[..., :2] = 0
    before, after = follow(maps, 8)
    # 9 frames, the own one last or first; ends are cut off, not padded.
    inner = uniform_filter1d(maps, 9, axis=0)
    np.testing.assert_allclose(before[8:], inner[4:-4], atol=1e-5)
    np.testing.assert_allclose(after[:-8], inner[4:-4], atol=1e-5)
    np.testing.assert_allclose(before[2], maps[:3].mean(0), atol=1e-5)
    np.testing.assert_allclose(after[-1], maps[-1])


def test_what_moves_keeps_its_own_value():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(12, 80)).astype(np.float32)
    maps = np.zeros((10, 12, 32, 3), np.float32)
    maps[..., 0] = 2  # two cells to the right a frame
    for t in range(10):
        maps[t, ..., 2] = wide[:, 30 - 2 * t : 62 - 2 * t]
    before, after = follow(maps, 8)
    np.testing.assert_allclose(before, maps, atol=1e-5)
    np.testing.assert_allclose(after, maps, atol=1e-5)


def test_a_way_ends_where_it_leaves_the_picture():
    maps = np.zeros((6, 4, 8, 3), np.float32)
    maps[..., 0] = 3
    maps[..., 2] = np.arange(6)[:, None, None]
    _, after = follow(maps, 5)
    # From column 0 places 0, 3 and 6 are inside, from column 7 only itself.
    assert after[0, 0, 0, 2] == pytest.approx((0 + 1 + 2) / 3)
    assert after[0, 0, 7, 2] == 0


def test_a_reach_of_nothing_is_the_map_itself():
    maps = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype(np.float32)
    for part in follow(maps, 0):
        np.testing.assert_array_equal(part, maps)


def test_what_is_there_for_a_moment_or_comes_later_does_not_last():
    maps = np.zeros((30, 9, 9, 3), np.float32)
    maps[20:, 4, 4, 2] = 1
    maps[5, 2, 2, 2] = 1
    before, after = (part[..., 2:] for part in follow(maps, 8))
    found = local.lasting(before, after, 1)
    assert found[12:20, 4, 4].max() == 0
    assert found[28, 4, 4] == pytest.approx(1)
    assert found[5, 2, 2] == pytest.approx(1 / 9)
    assert (before[..., 0] + after[..., 0])[19, 4, 4] > 0


@pytest.mark.parametrize("push", [1, 5, 40])
def test_a_stream_of_maps_is_the_formula_written_out(push):
    rng = np.random.default_rng(0)
    maps = {
        "flow": rng.normal(0, 1, (40, 64, 64, 2)).astype(np.float32),
        "spatial": rng.random((40, 64, 64, 1), np.float32),
    }
    stream = LastingStream(Form())
    parts = [
        stream.push({name: one[t : t + push] for name, one in maps.items()})
        for t in range(0, 40, push)
    ]
    parts = [part for part in [*parts, stream.finish()] if part]
    before, after = follow(np.concatenate([maps["flow"], *maps.values()], -1))
    whole = list(lasting_maps(maps, Form()))
    for name, channels in (("flow", slice(2, 4)), ("spatial", slice(4, 5))):
        for share in local.WINDOWS:
            size = local.window(share, 64)
            expected = local.lasting(before[..., channels], after[..., channels], size)
            for found in (parts, whole):
                np.testing.assert_array_equal(
                    np.concatenate([part[name, size] for part in found]), expected
                )


def test_opposite_motion_cancels_and_steady_motion_does_not():
    steady = np.full((1, 5, 5, 2), 0.5, np.float32)
    swinging = steady.copy()
    swinging[:, ::2] *= -1
    assert local.lasting(steady, steady, 5)[0, 2, 2] == pytest.approx(np.sqrt(0.5))
    assert local.lasting(swinging, swinging, 5)[0, 2, 2] < 0.2


def test_the_fastest_thing_is_the_highest_place():
    flow = blob(20, 32, 0.5) + blob(20, 32, 1.0, start=2)[:, ::-1]
    found = local.lasting(*follow(flow), 3)
    assert found.max((1, 2)) == pytest.approx(1.0, abs=0.05)
    y, _ = np.unravel_index(found[10].argmax(), (32, 32))
    assert 32 - 8 - 6 <= y < 32 - 8  # the lower square


def test_the_level_is_what_normal_frames_reach_near_by():
    normal = np.random.default_rng(0).uniform(0, 1, (400, 64, 64)).astype(np.float32)
    normal[:, :, 32:] *= 0.1
    found = local.level(normal)
    assert found[32, 4] == pytest.approx(1, abs=0.02)
    assert found[32, 63] == pytest.approx(0.25, abs=0.02)  # the floor
    np.testing.assert_allclose(local.level(normal * 7), 7 * found, rtol=1e-5)
    assert local.level(normal, floor=3).min() == 3
    with pytest.raises(DataError, match="nothing ever moves"):
        local.level(np.zeros((4, 8, 8), np.float32))
    with pytest.raises(DataError, match="diverged"):
        local.level(np.full((4, 8, 8), np.nan, np.float32))


@given(
    arrays(np.float64, st.integers(1, 60), elements=st.floats(-5, 5, width=16)),
    arrays(np.float64, 20, elements=st.floats(-9, 9, width=16)),
)
def test_a_tail_rises_and_depends_on_no_unit(normal, values):
    tail = Tail.of(normal)
    found = tail(np.sort(values))
    assert (np.diff(found) >= -1e-12).all()
    assert np.isfinite(found).all()
    assert found.min() >= 0
    other = Tail.of(4 * normal)(4 * np.sort(values))
    np.testing.assert_allclose(other, found, rtol=1e-6, atol=1e-9)


def test_the_share_of_normal_frames_is_what_the_scale_says():
    normal = np.random.default_rng(0).normal(size=2000)
    found = Tail.of(normal)(normal)
    for score in (0.1, 0.3, 0.5, 1.0):
        assert (found >= score).mean() == pytest.approx(10**-score, abs=0.002)


def test_an_exponential_tail_goes_on_as_it_is():
    rng = np.random.default_rng(0)
    found = Tail.of(rng.exponential(3.0, 100_000))(np.array([10.0, 30.0, 90.0]))
    np.testing.assert_allclose(found, np.array([10, 30, 90]) / 3 / np.log(10), rtol=0.03)


def test_no_normal_frames_is_an_error():
    with pytest.raises(DataError, match="no held-out normal frames"):
        Tail.of(np.zeros(0))


def test_several_windows_are_one_score_of_the_same_scale():
    rng = np.random.default_rng(0)
    normal = rng.exponential(1.0, (3000, 3)) * [1, 10, 100]
    joint = Calibration.of(normal)
    assert (joint(normal) >= 1).mean() == pytest.approx(0.1, abs=0.002)
    single = Calibration.of(normal[:, :1])
    values = np.sort(rng.exponential(1.0, 50))[:, None]
    assert (np.diff(single(values)) >= 0).all()


def test_normal_stretches_are_bounded_and_even():
    videos = tuple(
        VideoInfo(f"train/{n:02d}", "train", 300, "", False, n == 0, None) for n in range(40)
    )
    dataset = Dataset(None, "many", "test", {}, {}, videos, 512, {})
    clips = normal_stretches(dataset)
    assert len(clips) == 32
    assert {clip.stop - clip.start for clip in clips} == {100}
    assert "train/00" not in {clip.video.name for clip in clips}
    assert len({clip.name for clip in clips}) == 32
    tests = tuple(VideoInfo(f"test/{n}", "test", 300, "", True, False, None) for n in range(20))
    more = dataclasses.replace(dataset, videos=(*videos, *tests))
    assert len(normal_stretches(more)) == 6000 // 128


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("local"), kinds=("spatial", "discriminator"))
    opened = open_run(folder)
    said = []
    score_run(opened, Scoring(maps=8, movers=False), said.append)
    assert any("local" in line for line in said)
    return opened


def test_the_fast_square_is_found_on_shards(run):
    scores = open_scores(run.out / "scores")
    tests = scores.select("test")
    limits = heldout_limits(
        scores.select(holdout=True), LOCAL, [scores.load(name) for name in scores.normal]
    )
    found = omegas(tests, LOCAL, limits)
    assert set(found[0]) == {"flow", "spatial", "discriminator"}
    for video in found:
        assert len(video["flow"]) == 30
        assert video["flow"][14:18].min() > 5 * max(1, video["flow"][[0, 1, 28]].max())
    normal = np.concatenate([scores.load(name).values["flow_local"] for name in scores.normal])
    assert normal.shape == (60, 3)
    assert limits["flow"](normal).mean() == pytest.approx(1 / np.log(10), abs=0.25)


def test_every_row_is_in_the_table_and_weights_are_equal(run):
    from evaluation.measures.auc_table import evaluate, table

    content = evaluate(run, Fusing(protocols=(LOCAL,), samples=0, pseudo="own"))
    found = {entry["row"]: entry for entry in content["results"]}
    known = {"flow", "spatial", "discriminator"}
    assert list(found) == [label for label, names in LOCAL.kind.rows() if set(names) <= known]
    assert found["flow alone"]["micro_auc"] > 0.9
    assert found["flow + A^s"]["eta"] == {"flow": 0.5, "spatial": 0.5}
    assert 0 <= found["flow alone"]["smoothed_micro_auc"] <= 1
    assert "flow + D" in table(content)


def test_the_parts_can_be_left_out(run):
    scores = open_scores(run.out / "scores")
    clip = whole(scores.videos["test/01"])
    form = Form(reach=0, both=False, place=False, windows=(3 / 64,))
    levels = normal_levels(run, scores, form)
    values = stretch_values(run, scores, clip, levels, form)["flow_local"][:, 0]
    flow = stretch_maps(run, scores, clip)["flow"]
    plain = np.linalg.norm(local.box(flow, 3), axis=-1).max((1, 2))
    np.testing.assert_allclose(values / values.max(), plain / plain.max(), rtol=1e-5)


def test_values_are_made_again_when_scores_change(run):
    scores = open_scores(run.out / "scores")
    other = dataclasses.replace(scores, provenance=scores.provenance | {"keys": {"flow": "x"}})
    assert "flow_local" in scores.load("test/01").values
    assert "flow_local" not in other.load("test/01").values
    with pytest.raises(ConfigurationError, match="no values of the protocol local"):
        omegas([other.load("test/01")], LOCAL, {})


def test_local_has_one_scale():
    with pytest.raises(ConfigurationError, match="normalise: heldout"):
        Protocol(name="local", normalise="video")
