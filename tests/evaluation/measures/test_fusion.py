import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.indicators.spatial import psnr
from evaluation.measures.fusion import best, equal, fuse, imagined, simplex
from evaluation.protocols.base import Protocol, heldout_limits
from evaluation.record.scores import VideoScores
from pipeline.base.errors import ConfigurationError
from tests.evaluation.protocols.test_protocols import video


def test_fuse_is_equation_6_written_out():
    omegas = {
        "spatial": np.array([0.2, 0.4]),
        "temporal": np.array([1.0, 0.0]),
        "discriminator": np.array([0.5, 0.5]),
    }
    eta = {"spatial": 0.5, "temporal": 0.3, "discriminator": 0.2}
    np.testing.assert_allclose(
        fuse(omegas, eta), [0.5 * 0.2 + 0.3 * 1 + 0.2 * 0.5, 0.5 * 0.4 + 0.2 * 0.5]
    )
    with pytest.raises(ConfigurationError, match="temporal has a weight"):
        fuse({"spatial": np.zeros(2)}, eta)


def test_simplex_holds_every_multiple_once():
    found = simplex(("a", "b", "c"), 20)
    assert len(found) == 21 * 22 // 2
    assert len({tuple(eta.values()) for eta in found}) == len(found)
    assert all(sum(eta.values()) == pytest.approx(1) for eta in found)


def test_best_is_the_brute_force_best():
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 2, 30) for _ in range(3)]
    omegas = [
        {"a": rng.random(30) + part * 0.3, "b": rng.random(30) + part * 0.5} for part in labels
    ]
    found = best(("a", "b"), labels, omegas, "tuned-on-test", steps=10)
    areas = [
        roc_auc_score(
            np.concatenate(labels),
            np.concatenate([w / 10 * part["a"] + (1 - w / 10) * part["b"] for part in omegas]),
        )
        for w in range(11)
    ]
    assert found.auc == pytest.approx(max(areas))
    assert found.eta["a"] == pytest.approx(np.argmax(areas) / 10)
    assert found.how == "tuned-on-test"


def test_best_takes_the_middle_of_a_plateau():
    labels = [np.array([0, 0, 1, 1])]
    perfect = np.array([0.0, 0.1, 0.8, 0.9])
    found = best(("a", "b"), labels, [{"a": perfect, "b": perfect}], "label-free")
    assert found.eta == pytest.approx({"a": 0.5, "b": 0.5})


def test_best_ignores_what_does_not_separate():
    rng = np.random.default_rng(1)
    labels = [np.repeat([0, 1], 200)]
    omegas = [{"a": rng.random(400), "b": np.repeat([0.0, 1.0], 200) + rng.random(400) * 0.5}]
    assert best(("a", "b"), labels, omegas, "label-free").eta["b"] > 0.5


def test_equal():
    assert equal(("a", "b")).eta == {"a": 0.5, "b": 0.5}


def test_imagined_videos_are_normal_frames_and_then_their_pseudo_anomalies():
    one = video("train/15", frames=20, holdout=True, pa=True)
    protocol = Protocol(name="dense", normalise="none")
    labels, omegas = imagined([one], protocol, None)
    assert len(labels) == 3
    for part in labels:
        assert list(part) == [0] * 20 + [1] * 20
    normal, pseudo = -psnr(one.values["spatial"]), -psnr(one.values["spatial_pa"])
    for part, anomalous in zip(omegas, (pseudo, normal, pseudo), strict=True):
        np.testing.assert_allclose(part["spatial"], np.r_[normal, anomalous])
    np.testing.assert_allclose(omegas[1]["temporal"][20:], one.values["temporal_pa"])
    np.testing.assert_allclose(omegas[0]["temporal"][20:], one.values["temporal"])


def test_imagined_videos_are_scaled_as_test_videos_are():
    held = [video(f"train/{n}", seed=n, holdout=True, pa=True) for n in (1, 2)]
    _, per_video = imagined(held, Protocol(name="lntra"), None)
    assert all(part["temporal"].min() == 0 and part["temporal"].max() == 1 for part in per_video)
    protocol = Protocol(name="dense", normalise="heldout")
    _, by_normal = imagined(held, protocol, heldout_limits(held, protocol))
    top = max(part["temporal"][:40].max() for part in by_normal)
    assert top == pytest.approx(1)


def test_a_method_without_some_networks_imagines_what_it_can():
    one = video("train/15", holdout=True, pa=True)
    alone = VideoScores(one.video, {n: one.values[n] for n in ("spatial", "spatial_pa")})
    labels, omegas = imagined([alone], Protocol(), None)
    assert len(labels) == 2  # the kinds in which the spatial indicator sees something
    assert set(omegas[0]) == {"spatial"}


def test_label_free_needs_held_out_videos():
    for held in ([], [video("train/15", holdout=True)]):
        with pytest.raises(ConfigurationError, match="label-free: needs held-out"):
            imagined(held, Protocol(), None)
