import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from pipeline.base.errors import DataError
from training.networks.exemplars import (
    Exemplars,
    farthest,
    fit_space,
    load_exemplars,
    save_exemplars,
)


@pytest.fixture
def exemplars():
    rng = np.random.default_rng(0)
    patches = rng.normal(3, [1, 2, 5, 0.5], (200, 4)).astype(np.float32)
    mean, spread, axes = fit_space(patches, 3)
    points = ((patches - mean) / spread) @ axes
    return Exemplars(mean, spread, axes, points, np.repeat([0, 1], 100), ("train/a", "train/b"))


def test_farthest_is_greedy_and_covers():
    points = np.random.default_rng(1).normal(size=(80, 3)).astype(np.float32)
    chosen = farthest(points, 10)
    away = cdist(points, points)
    by_hand = [0]
    while len(by_hand) < 10:
        by_hand.append(int(away[:, by_hand].min(1).argmax()))
    assert chosen.tolist() == by_hand
    assert sorted(farthest(points, 500).tolist()) == list(range(80))


def test_the_space_is_that_of_principal_components():
    patches = np.random.default_rng(2).normal(size=(300, 5)) @ np.random.default_rng(3).normal(
        size=(5, 5)
    )
    mean, spread, axes = fit_space(patches.astype(np.float32), 2)
    standard = (patches - patches.mean(0)) / patches.std(0)
    ours, theirs = standard @ axes, PCA(2).fit_transform(standard)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(mean, patches.mean(0), rtol=1e-4)
    np.testing.assert_allclose(spread, patches.std(0), rtol=1e-3)


def test_distances_are_to_the_nearest_exemplar_of_other_videos(exemplars):
    patches = np.random.default_rng(4).normal(3, 2, (2, 3, 5, 4)).astype(np.float16)
    for one, kept in [(exemplars, slice(None)), (exemplars.without("train/a"), slice(100, None))]:
        expected = cdist(exemplars.project(patches), exemplars.points[kept]).min(1)
        np.testing.assert_allclose(one.distances(patches).ravel(), expected, rtol=1e-3, atol=1e-3)
    assert exemplars.without("test/x") is exemplars


def test_they_come_back_as_they_were_written(exemplars, tmp_path):
    path = tmp_path / "exemplars.npz"
    save_exemplars(path, exemplars)
    again = load_exemplars(path)
    assert again.videos == exemplars.videos
    np.testing.assert_array_equal(again.points, exemplars.points)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"exemplars\.npz.*training bank"):
        load_exemplars(path)
