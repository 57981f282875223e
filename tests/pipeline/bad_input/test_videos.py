"""Damaged videos: a typed error that names the file.

None may hang, crash the interpreter, run what is in the file, or be accepted in silence.
"""

from __future__ import annotations

import os
import struct
import wave
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.base.errors import DataError
from pipeline.data.video.video import Video
from tests.pipeline.data.filmed import moving, write_video


def good_mp4(path: Path) -> bytes:
    return write_video(path, moving(40), codec="mp4v").read_bytes()


def good_avi(path: Path) -> bytearray:
    return bytearray(write_video(path.with_suffix(".avi"), moving(40, 64, 96)).read_bytes())


def huge_avi(path: Path) -> None:
    raw = write_video(path.with_suffix(".avi"), moving(20, 64, 96), codec="I420").read_bytes()
    size = struct.pack("<ii", 96, 64)  # what is not compressed has its size in the header alone
    assert size in raw
    path.write_bytes(raw.replace(size, struct.pack("<ii", 60000, 60000)))


def sound(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0" * 16000)


VIDEOS: dict[str, Callable[[Path], object]] = {
    "empty": lambda p: p.touch(),
    "text": lambda p: p.write_text("this is no video\n" * 100),
    "zeros": lambda p: p.write_bytes(b"\0" * 100_000),
    "noise": lambda p: p.write_bytes(np.random.default_rng(0).bytes(100_000)),
    "truncated, no index": lambda p: p.write_bytes(good_mp4(p)[:-2000]),
    "truncated in the middle": lambda p: p.write_bytes(good_avi(p)[:20_000]),
    "only a header": lambda p: write_video(p, moving(0)),
    "one byte": lambda p: p.write_bytes(b"\0"),
    "short": lambda p: write_video(p, moving(15), codec="mp4v"),
    "one image": lambda p: p.write_bytes(cv2.imencode(".png", moving(1)[0])[1].tobytes()),
    "huge size in the header": huge_avi,
    "a folder": lambda p: p.mkdir(),
    "a pipe": lambda p: os.mkfifo(p),
    "a link to itself": lambda p: p.symlink_to(p),
    "a link to nothing": lambda p: p.symlink_to("nowhere.mp4"),
    "a link to a device": lambda p: p.symlink_to("/dev/zero"),
    "a playlist of other files": lambda p: p.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    ),
    "a list to join": lambda p: p.write_text("ffconcat version 1.0\nfile /etc/passwd\n"),
    "sound only": sound,
    "not there": lambda p: None,
}


@pytest.mark.parametrize("name", ["a.mp4", 'it\'s "odd" <b>&amp; %03d.mp4'])
@pytest.mark.parametrize("kind", VIDEOS)
def test_damaged_videos(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    VIDEOS[kind](path)
    video = Video(name="train/a", split="train", path=path)
    with pytest.raises(DataError) as caught:
        video.probe()
    assert name in str(caught.value)
    assert len(str(caught.value)) < 1000
    if kind != "short":
        with pytest.raises(DataError):
            video.read(range(40))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_video_without_permission(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", moving(20))
    path.chmod(0)
    with pytest.raises(DataError, match=r"a\.avi"):
        Video(name="train/a", split="train", path=path).probe()


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "mp4v")]
)
def test_flipped_and_cut_videos(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"a{suffix}"
    content = write_video(path, moving(20), codec=codec).read_bytes()
    rng = np.random.default_rng(0)
    raised = 0
    for turn in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 1500), 3):
            damaged[place] ^= int(rng.integers(1, 256))
        if turn % 3 == 0:
            damaged = damaged[: rng.integers(len(damaged))]
        path.write_bytes(damaged)
        os.utime(path, ns=(turn, turn))
        try:
            facts = Video(name="train/a", split="train", path=path).probe()
            assert facts.frames >= 16
        except DataError as error:
            raised += 1
            assert str(path) in str(error)
    assert raised >= 20
