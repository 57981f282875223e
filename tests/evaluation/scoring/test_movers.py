import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.measures.fusion import imagined
from evaluation.protocols.base import Protocol
from evaluation.record.scores import VideoScores
from evaluation.scoring.movers import Mover, Movers, reflect, soft
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import open_dataset
from tests.evaluation.conftest import make_shards
from tests.evaluation.protocols.test_protocols import video as scored_video


class FakeLive:
    """Flow that says which frames it was given."""

    def flow(self, images):
        means = images.reshape(len(images), -1).mean(1)
        flow = np.zeros((len(images) - 1, *images.shape[1:3], 2), np.float16)
        flow += np.diff(means)[:, None, None, None].astype(np.float16)
        return flow

    def features(self, images):
        return images.reshape(len(images), -1)[:, :5].astype(np.float32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return open_dataset(make_shards(tmp_path_factory.mktemp("movers"), frames=90))


def movers(dataset):
    video = next(v for v in dataset.videos if v.holdout)
    return Movers(dataset, video, FakeLive())


def test_every_frame_has_one_object_and_is_else_itself(dataset):
    made = movers(dataset)
    frames = made.images(0, 90)
    original = dataset.arrays("frames", "train/02")["image"][0:90]
    changed = (frames != original).any(-1)
    assert 0 < changed.mean() < 0.1
    for one in changed:
        ys, xs = np.nonzero(one)
        assert len(ys) and np.ptp(ys) <= 8 and np.ptp(xs) <= 8  # the fixture's square is 8 x 8


def test_parts_equal_the_whole_and_are_the_same_again(dataset):
    whole = movers(dataset).images(0, 90)
    parts = movers(dataset)
    joined = np.concatenate([parts.images(t, min(t + 13, 90)) for t in range(0, 90, 13)])
    np.testing.assert_array_equal(whole, joined)


def test_flow_is_that_of_the_frames_and_its_last_is_repeated(dataset):
    made = movers(dataset)
    whole = made.flow(0, 90)
    assert whole.shape == (90, 32, 32, 2)
    np.testing.assert_array_equal(whole[-1], whole[-2])
    joined = np.concatenate([made.flow(t, min(t + 16, 90)) for t in range(0, 90, 16)])
    np.testing.assert_array_equal(whole, joined)
    assert made.features(3, 8).shape == (5, 5)


@pytest.mark.parametrize("frames", [16, 41, 81])
def test_a_last_part_of_one_frame_has_the_last_flow(tmp_path, frames):
    opened = open_dataset(make_shards(tmp_path, frames=frames))
    last = movers(opened).flow(frames - 1, frames)
    assert last.shape == (1, 32, 32, 2)
    np.testing.assert_array_equal(last, movers(opened).flow(0, frames)[-1:])


def test_objects_are_as_fast_as_the_fastest_and_twice_that(dataset):
    made = movers(dataset)
    assert made._speed == pytest.approx(1.0, abs=0.15)  # the fixture's square moves 1 px a frame
    for segment in range(20):
        assert 0.99 <= np.linalg.norm(made._mover(segment).step) / made._speed <= 2.01


@given(st.floats(-500, 500), st.floats(0, 50))
def test_reflection_is_a_triangle_wave(place, room):
    folded = reflect(np.array([place]), np.array([room]))[0]
    assert 0 <= folded <= room
    if 0 <= place <= room and room > 1e-6:
        assert folded == pytest.approx(place, abs=1e-6)
    mirrored = reflect(np.array([-place]), np.array([room]))[0]
    assert mirrored == pytest.approx(folded, abs=1e-6)


def test_an_object_as_large_as_the_frame_stays_where_it_is():
    image = np.full((8, 8, 3), 200.0, np.float32)
    one = Mover(image, np.ones((8, 8, 1), np.float32), np.zeros(2), np.array([3.0, 3.0]))
    assert (one.place(np.zeros((8, 8, 3), np.uint8), 5) == 200).all()


def test_edges_are_soft_inwards():
    mask = np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 1
    alpha = soft(mask)[..., 0]
    assert (alpha[mask == 0] == 0).all()
    assert alpha[4, 4] == pytest.approx(1)
    assert 0.2 < alpha[2, 4] < 0.9


def test_masks_of_no_use_are_said(dataset):
    made = movers(dataset)
    made._masks = np.ones((90, 32, 32), np.uint8)
    with pytest.raises(DataError, match=r"none covers 0\.05%"):
        made.images(0, 4)


def test_movers_are_seen_by_all_indicators_at_once():
    one = scored_video("train/15", frames=20, holdout=True)
    moved = VideoScores(
        one.video, dict(one.values) | {f"{n}_mover": a * 3 for n, a in one.values.items()}
    )
    labels, omegas = imagined([moved], Protocol(name="dense", normalise="none"), None, "movers")
    assert len(labels) == 1
    np.testing.assert_allclose(omegas[0]["temporal"][20:], 3 * one.values["temporal"])
    assert omegas[0]["discriminator"][20:].mean() > omegas[0]["discriminator"][:20].mean()
    with pytest.raises(ConfigurationError, match=r"\(movers\)"):
        imagined([one], Protocol(), None, "movers")
