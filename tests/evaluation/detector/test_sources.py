"""Recordings and cameras as sources of frames."""

import itertools
import time

import numpy as np
import pytest

from evaluation.detector.sources import QUEUE, Camera, Recording, open_source
from pipeline.base.errors import ConfigurationError, DataError


class FakeCapture:
    """A camera of 200 frames a second whose pictures carry their number."""

    def __init__(self, frames):
        self.frames, self.number, self.released = frames, 0, False

    def read(self):
        if self.number == self.frames:
            return False, None
        time.sleep(0.005)
        self.number += 1
        return True, np.full((32, 32, 3), self.number, np.uint8)

    def release(self):
        self.released = True


def test_bad_sources_are_said(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(DataError, match="empty"):
        open_source(str(tmp_path / "empty.mp4"))
    with pytest.raises(DataError, match="not found"):
        open_source(str(tmp_path / "no.mp4"))


def test_a_camera_drops_what_is_too_late_and_counts_it():
    capture = FakeCapture(60)
    camera = Camera("0", 200.0, capture=capture)
    seen = []
    for arrival in camera:
        time.sleep(0.02)  # slower than the camera
        seen.append(int(arrival.image[0, 0, 0]))
    assert seen == sorted(seen)
    assert camera.dropped > 0
    assert len(seen) + camera.dropped == 60
    assert max(b - a for a, b in itertools.pairwise(seen)) <= 3 * QUEUE
    assert seen[-1] == 60
    assert capture.released


def test_a_fast_reader_gets_every_frame():
    camera = Camera("0", 200.0, capture=FakeCapture(30))
    assert [int(a.image[0, 0, 0]) for a in camera] == list(range(1, 31))
    assert camera.dropped == 0


def test_every_nth_frame(video, images, tmp_path):
    source = Recording(video, every=5)
    assert (source.total, source.fps) == (5, 2)
    whole = [arrival.image for arrival in Recording(video)]
    for arrival, expected in zip(source, whole[::5], strict=True):
        np.testing.assert_array_equal(arrival.image, expected)
    camera = Camera("0", 200.0, 4, FakeCapture(10))
    assert camera.fps == 50
    assert [int(a.image[0, 0, 0]) for a in camera] == [1, 5, 9]
    with pytest.raises(ConfigurationError, match="every"):
        open_source(str(video), every=0)


def test_long_recordings_are_read_frame_by_frame(video):
    source = Recording(video)
    assert (source.total, source.fps) == (24, 10)
    frames = iter(source)
    assert next(frames).image.shape == (48, 64, 3)
