"""A stream's scores are those of the whole video at once."""

import numpy as np
import pytest
import torch

from evaluation.protocols.base import window_means
from evaluation.scoring.sliding import score_video
from evaluation.scoring.stream import DELAY, ErrorStream, MeanStream
from training.feed.reading import to_network
from training.networks.autoencoder import AutoencoderSettings, build_autoencoder
from training.networks.memory import MemorySettings


@pytest.fixture(scope="module")
def video():
    return np.random.default_rng(0).integers(0, 256, (26, 32, 32, 3)).astype(np.uint8)


def network(slots=0):
    torch.manual_seed(0)
    settings = AutoencoderSettings(channels=(2, 2, 2, 2), memory=MemorySettings(slots=slots))
    return build_autoencoder(settings).eval()


@pytest.mark.parametrize("measure", ["frame", "clip"])
@pytest.mark.parametrize("parts", [1, 5, 26])
@pytest.mark.parametrize("frames", [2, 9, 26])
def test_errors_equal_those_of_the_whole_video(video, measure, parts, frames):
    model = network(slots=4 if measure == "clip" else 0)
    expected, maps = score_video(
        model, lambda a, b: video[a:b], frames, measure=measure, batch=4, maps=4
    )
    stream = ErrorStream(model, measure, maps=4)
    shown = to_network(torch.from_numpy(video[:frames])[None])[0].movedim(1, 0)
    found, cells = [], []
    for start in range(0, frames, parts):
        part = stream.push(shown[start : start + parts])
        assert sum(map(len, found)) + len(part[0]) <= max(0, start + parts - DELAY)
        found.append(part[0])
        cells.append(part[1])
    last = stream.finish()
    found.append(last[0])
    cells.append(last[1])
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-4)
    joined = np.concatenate([part for part in cells if part is not None and len(part)])
    np.testing.assert_allclose(joined, maps, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("frames", [1, 3, 16, 40])
def test_means_equal_those_of_the_whole_video(frames):
    values = np.random.default_rng(1).random(frames)
    stream = MeanStream()
    found = [stream.push(values[start : start + 3]) for start in range(0, frames, 3)]
    found.append(stream.finish())
    np.testing.assert_allclose(np.concatenate(found), window_means(values))


def test_an_empty_stream_has_no_scores():
    assert len(ErrorStream(network()).finish()[0]) == 0
    assert len(MeanStream().finish()) == 0
