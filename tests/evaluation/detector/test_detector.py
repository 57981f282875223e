"""The detector against the scores of whole videos."""

import cv2
import numpy as np
import pytest

from evaluation import Detector
from evaluation.indicators.settings import Scoring
from evaluation.measures.auc_table import evaluate
from evaluation.measures.results import Fusing, apply
from evaluation.measures.threshold import Alarm
from evaluation.protocols.base import Protocol
from evaluation.record.run import open_run
from evaluation.record.scores import open_scores
from evaluation.scoring.score import score_run
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.flow.tvl1 import compute_flow


@pytest.mark.parametrize("batch", [1, 7])
def test_a_stream_scores_what_the_whole_video_scores_by_dense(run, images, batch):
    detector = Detector(run, protocol="dense", batch=batch, scoring=Scoring(maps=8))
    found = list(detector.scores(images))
    assert [one.frame for one in found] == list(range(24))
    protocol = Protocol(name="dense", normalise="heldout")
    whole = apply(open_scores(run.out / "scores"), run.dataset, protocol)
    for name in ("spatial", "temporal", "discriminator"):
        streamed = [one.omegas[name] for one in found]
        np.testing.assert_allclose(streamed, whole.omegas[0][name], rtol=1e-3, atol=1e-3)
    total = [one.total for one in found]
    np.testing.assert_allclose(total, whole.fused(detector.eta)[0], rtol=1e-3, atol=1e-3)
    assert all(one.heat.shape == (8, 8) for one in found)


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize(
    "indicators",
    [None, ["flow"], ["spatial", "discriminator"], ["flow", "spatial", "temporal"]],
)
def test_a_stream_scores_what_the_whole_video_scores_by_local(run, images, batch, indicators):
    detector = Detector(run, batch=batch, indicators=indicators)
    assert set(detector.indicators) == set(indicators or ("flow", "temporal"))
    found = list(detector.scores(images))
    assert [one.frame for one in found] == list(range(24))
    protocol = Protocol(name="local", normalise="heldout")
    whole = apply(open_scores(run.out / "scores"), run.dataset, protocol)
    for name in detector.indicators:
        streamed = [one.omegas[name] for one in found]
        # float16 maps: batches of other sizes round some of their cells to the next number.
        np.testing.assert_allclose(streamed, whole.omegas[0][name], rtol=1e-2, atol=1e-2)
    mean = np.mean([whole.omegas[0][name] for name in detector.indicators], axis=0)
    np.testing.assert_allclose([one.total for one in found], mean, rtol=1e-2, atol=1e-2)
    for one in found:
        assert one.heat.shape == (64, 64) and one.heat.min() >= 0


def test_heat_shows_how_far_a_place_goes_beyond_its_level(run, images):
    scores = open_scores(run.out / "scores")
    found = list(Detector(run, indicators=["flow"]).scores(images))
    highest = scores.load("test/01").values["flow_local"]
    for one, values in zip(found, highest, strict=True):
        # The mean over windows has no place above the mean of their highest ones.
        assert one.heat.max() <= values.mean() / 2 + 1e-3
        assert one.heat.max() > 0
    assert next(iter(Detector(run, maps=False).scores(images))).heat is None


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({"protocol": "dense"}, 9),
        ({}, 17),
        ({"indicators": ["flow"]}, 9),
        ({"indicators": ["spatial", "flow"]}, 16),
    ],
)
def test_the_delay_is_what_it_says(run, images, batch, options, frames):
    detector = Detector(run, batch=batch, **options)
    late = [
        number - one.frame for number, image in enumerate(images) for one in detector.push(image)
    ]
    assert detector.delay == frames + batch - 1
    assert max(late) <= detector.delay
    assert batch > 1 or set(late) == {frames}


@pytest.mark.parametrize("protocol", ["local", "dense"])
def test_streams_of_any_length_have_a_score_a_frame(run, images, protocol):
    detector = Detector(run, protocol=protocol, batch=4)
    for length in (2, 3, 8, 9, 16, 17, 18):
        found = list(detector.scores(images[:length]))
        assert [one.frame for one in found] == list(range(length))
        assert np.isfinite([one.total for one in found]).all()
    assert list(detector.scores([])) == []
    with pytest.raises(ConfigurationError, match="at least 2"):
        list(detector.scores(images[:1]))


def test_a_new_stream_forgets_the_last(run, images):
    detector = Detector(run, batch=3)
    first = [one.total for one in detector.scores(images)]
    assert [one.total for one in detector.scores(images)] == first


def test_wrong_frames_and_runs_are_said(run, tmp_path):
    detector = Detector(run)
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ConfigurationError, match="expected"):
            detector.push(wrong)
    with pytest.raises(ConfigurationError, match="batch"):
        Detector(run, batch=0)
    with pytest.raises(ConfigurationError, match="is no folder"):
        Detector(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="none that a stream has a scale by: local, dense"):
        Detector(run, protocol="lntra")
    with pytest.raises(ConfigurationError, match="of the protocol local"):
        Detector(run, protocol="dense", indicators=["flow"])
    with pytest.raises(ConfigurationError, match="there are flow, spatial, temporal"):
        Detector(run, indicators=["flow", "optical"])
    with pytest.raises(ConfigurationError, match="none is named"):
        Detector(run, indicators=[])
    with pytest.raises(ConfigurationError, match="scene: 'roof' has no normal videos"):
        Detector(run, scene="roof")


def test_without_levels_it_is_said_how_to_get_them(run, tmp_path):
    import shutil

    folder = tmp_path / "copy" / run.folder.name
    shutil.copytree(run.folder.parent, folder.parent)
    levels = folder / "scores/local/levels/normal.npz"
    before = levels.read_bytes()
    levels.unlink()
    with pytest.raises(ConfigurationError, match="no levels of the protocol local"):
        Detector(folder)
    assert Detector(folder, protocol="dense").threshold.value
    score_run(open_run(folder), Scoring(maps=8), lambda text: None)
    assert levels.read_bytes() == before


def test_the_threshold_is_the_heldout_highest_where_footage_is_short(run):
    detector = Detector(run, Alarm(rate=1))
    assert not detector.threshold.supported
    assert "too short" in detector.threshold.note
    assert detector.threshold.hours == pytest.approx(24 / 10 / 3600)


def test_label_free_weights_were_chosen_on_movers(run):
    scores = open_scores(run.out / "scores")
    held = scores.load("train/02")
    assert held.has("_mover") and held.has("_pa")
    assert not np.allclose(held.values["temporal_mover"], held.values["temporal"])
    own = Fusing(samples=0, steps=4, pseudo="own", protocols=(Protocol(),))
    assert {e["eta_chosen"] for e in evaluate(run, own)["results"][3:]} == {"label-free"}
    evaluate(run, Fusing(samples=0, steps=4))


def test_the_flow_of_a_stream_is_the_stages(run, images):
    from pipeline.stages.live import Live

    gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images[:3]]
    flow = Live(run.dataset).flow(images[:3])
    np.testing.assert_array_equal(flow[1], compute_flow(gray[1], gray[2]).astype(np.float16))


@pytest.mark.parametrize("protocol", ["local", "dense"])
def test_networks_that_were_trained_since_the_scoring_are_refused(run, tmp_path, protocol):
    import shutil

    from tests.evaluation.conftest import make_network

    folder = tmp_path / "copy" / run.folder.name
    shutil.copytree(run.folder.parent, folder.parent)
    shutil.rmtree(folder / "temporal")
    make_network(folder, "temporal", seed=1)
    with pytest.raises(DataError, match="other weights"):
        Detector(folder, protocol=protocol)
