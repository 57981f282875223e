import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import peak_signal_noise_ratio
from sklearn.metrics import roc_auc_score

from evaluation.indicators.base import whole_omega
from evaluation.indicators.registry import by_name
from evaluation.indicators.spatial import psnr
from evaluation.measures.auc_table import evaluate, table
from evaluation.measures.results import Fusing
from evaluation.protocols import registry
from evaluation.protocols.base import (
    Protocol,
    constant,
    heldout_limits,
    omegas,
)
from evaluation.protocols.dense import Dense
from evaluation.record.scores import VideoScores, open_scores
from evaluation.report.page import Page
from evaluation.report.report import write_report
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import VideoInfo


def video(name="test/01", frames=40, seed=0, holdout=False, pa=False):
    rng = np.random.default_rng(seed)
    values = {
        "spatial": rng.uniform(1e-4, 1e-2, frames),
        "temporal": rng.uniform(0, 1, frames),
        "discriminator": rng.uniform(0, 1, frames),
    }
    if pa:
        values |= {f"{name}_pa": array * 2 for name, array in values.items()}
    split = name.split("/")[0]
    return VideoScores(VideoInfo(name, split, frames, "", split == "test", holdout, 10.0), values)


def test_psnr_is_scikit_images_for_a_peak_of_one():
    rng = np.random.default_rng(0)
    one, two = rng.uniform(-1, 1, (2, 8, 8, 3))
    expected = peak_signal_noise_ratio(one, two, data_range=1)
    assert psnr(np.array([((one - two) ** 2).mean()]))[0] == pytest.approx(expected)
    assert math.isfinite(psnr(np.array([0.0]))[0])


def test_lntra_scores_the_ninth_frame_of_each_window():
    for frames in (16, 17, 180):
        scored = range(frames)[Protocol(name="lntra").scored(frames)]
        assert list(scored) == [start + 8 for start in range(frames - 15)]
    lengths = [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]  # Ped2's test videos
    scored = [len(range(n)[Protocol(name="lntra").scored(n)]) for n in lengths]
    assert (sum(lengths), sum(scored)) == (2010, 1830)
    assert range(50)[Protocol(name="dense").scored(50)] == range(50)


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1)))
def test_window_means_by_brute_force(values):
    last = len(values) - 1
    expected = [
        np.mean([values[min(max(t, 0), last)] for t in range(frame - 8, frame + 8)])
        for frame in range(len(values))
    ]
    np.testing.assert_allclose(whole_omega(by_name("discriminator"), values), expected, atol=1e-12)


def test_video_scale_inverts_psnr_and_spans_zero_to_one():
    one = video()
    found = omegas([one], Protocol(name="lntra"))[0]
    decibel = psnr(one.values["spatial"])[8:-7]
    normalised = (decibel - decibel.min()) / (decibel.max() - decibel.min())
    np.testing.assert_allclose(found["spatial"], 1 - normalised)
    error = one.values["temporal"][8:-7]
    np.testing.assert_allclose(
        found["temporal"], (error - error.min()) / (error.max() - error.min())
    )
    np.testing.assert_allclose(
        found["discriminator"],
        whole_omega(by_name("discriminator"), one.values["discriminator"])[8:-7],
    )


def test_dataset_heldout_and_no_scale():
    videos = [video("test/01", seed=1), video("test/02", frames=30, seed=2)]
    both = omegas(videos, Protocol(name="dense", normalise="dataset"))
    everything = np.concatenate([one["temporal"] for one in both])
    assert (everything.min(), everything.max()) == (0, 1)
    assert both[0]["temporal"].shape == (40,)

    held = [video("train/09", seed=3, holdout=True)]
    protocol = Protocol(name="dense", normalise="heldout")
    limits = heldout_limits(held, protocol)
    scaled = omegas(held, protocol, limits)[0]
    assert (scaled["spatial"].min(), scaled["spatial"].max()) == pytest.approx((0, 1))
    low, high = limits["temporal"]
    np.testing.assert_allclose(
        omegas(videos, protocol, limits)[1]["temporal"],
        (videos[1].values["temporal"] - low) / (high - low),
    )

    raw = omegas(videos, Protocol(name="dense", normalise="none"))[0]
    np.testing.assert_allclose(raw["spatial"], -psnr(videos[0].values["spatial"]))
    np.testing.assert_allclose(raw["temporal"], videos[0].values["temporal"])


def test_constant_scores_are_zero_and_said():
    one = video()
    flat = VideoScores(one.video, one.values | {"temporal": np.full(40, 0.25)})
    assert not omegas([flat], Protocol())[0]["temporal"].any()
    assert constant([flat, one], Protocol()) == [
        "test/01: temporal is the same in every scored frame; its scaled value is 0"
    ]


def test_only_what_was_scored_is_there():
    one = video()
    alone = VideoScores(one.video, {"spatial": one.values["spatial"]})
    assert set(omegas([alone], Protocol())[0]) == {"spatial"}
    with pytest.raises(ConfigurationError, match="no temporal"):
        Protocol().kind.raw(alone, "temporal")


def test_memae_is_judged_by_its_own_error():
    one = video()
    memae = VideoScores(one.video, one.values, {"spatial": "clip"})
    np.testing.assert_array_equal(Protocol().kind.raw(memae, "spatial"), one.values["spatial"])


def test_bad_input_is_said():
    with pytest.raises(ConfigurationError, match="none of lntra, dense, local"):
        Protocol(name="best")
    with pytest.raises(ConfigurationError, match="none of video"):
        Protocol(normalise="max")
    with pytest.raises(ConfigurationError, match="no normal video was held out"):
        heldout_limits([], Protocol(normalise="heldout"))
    with pytest.raises(DataError, match="has 15 frames"):
        omegas([video(frames=15)], Protocol())
    broken = video()
    broken.values["temporal"][3] = np.nan
    with pytest.raises(DataError, match="frame 3 is nan: the network diverged"):
        omegas([broken], Protocol())


class Half(Dense):
    """Every frame of the first half of a video."""

    NAME = "half"
    SCALES = ("video", "none")

    def scored(self, frames):
        return slice(0, frames // 2)

    def rows(self):
        return (("A^t of the half", ("temporal",)),)


def test_a_protocol_is_a_class_and_a_line(scored_run, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "PROTOCOLS", (*registry.PROTOCOLS, Half()))
    run = dataclasses.replace(scored_run, out=tmp_path)
    (tmp_path / "scores").symlink_to(scored_run.out / "scores")
    half = Protocol(name="half", normalise="none")
    content = evaluate(run, Fusing(protocols=(half,), samples=0, pseudo="own"))
    (row,) = content["results"]
    assert (row["row"], content["scored_frames"]) == ("A^t of the half", {"half/none": 30})
    labels, values = [], []
    for name in ("test/01", "test/02"):
        labels.append(run.dataset.arrays("labels", name)["label"][0:15])
        values.append(open_scores(tmp_path / "scores").load(name).values["temporal"][:15])
    assert row["micro_auc"] == pytest.approx(
        roc_auc_score(np.concatenate(labels), np.concatenate(values))
    )
    assert "half/none" in table(content)
    assert "A^t of the half" in write_report(run, Page(thumbnails=0, figures=False)).read_text()
    with pytest.raises(ConfigurationError, match="half has no scale by 'dataset'"):
        Protocol(name="half", normalise="dataset")
