from __future__ import annotations

import hashlib
import os
import threading
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import DataError
from pipeline.data.video import file as videofile
from pipeline.data.video.folder import list_images, natural
from pipeline.data.video.video import Video
from tests.pipeline.data.filmed import all_frames, moving, write_images, write_video


def file_video(path: Path, **fields) -> Video:
    return Video(name="train/a", split="train", path=path, **fields)


def folder_video(path: Path, **fields) -> Video:
    return Video(name="train/a", split="train", path=path, images=True, **fields)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    write_video(path, moving(60), codec="mp4v")
    return path, all_frames(path)


@settings(max_examples=20, deadline=None)
@given(ranges=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6))
def test_any_order_of_ranges_equals_the_plain_loop(clip, ranges) -> None:
    path, frames = clip
    video = file_video(path)
    for start, stop in ranges:
        if start < stop:
            assert np.array_equal(video.read(range(start, stop)), frames[start:stop])


def test_reading_on_decodes_each_frame_once(clip, monkeypatch) -> None:
    path, frames = clip
    opened = []
    plain = videofile.Decoder
    monkeypatch.setattr(videofile, "Decoder", lambda path: (opened.append(1), plain(path))[1])
    videofile._last.reader = None
    video = file_video(path)
    shards = [video.read(range(start, start + 15)) for start in range(0, 60, 15)]
    assert np.array_equal(np.concatenate(shards), frames)
    assert len(opened) == 1


def test_two_readers_of_one_video_in_turn(clip) -> None:
    path, frames = clip
    video = file_video(path)
    for number, (one, two) in enumerate(
        zip(video.frames(range(5, 9)), video.frames(range(30, 34)), strict=True)
    ):
        assert np.array_equal(one, frames[5 + number])
        assert np.array_equal(two, frames[30 + number])


def test_threads_read_apart(clip) -> None:
    path, frames = clip
    wrong = []

    def read(start: int) -> None:
        parts = [file_video(path).read(range(at, at + 5)) for at in range(start, start + 20, 5)]
        if not np.array_equal(np.concatenate(parts), frames[start : start + 20]):
            wrong.append(start)

    threads = [threading.Thread(target=read, args=(start,)) for start in (0, 20, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_file_that_changes_is_opened_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", moving(20))
    before = file_video(path).read(range(3))
    write_video(path, moving(20, seed=9))
    os.utime(path, ns=(1, 1))
    after = file_video(path).read(range(3, 6))
    assert np.array_equal(after, all_frames(path)[3:6])
    assert before.shape == after.shape


def test_facts_of_a_file(clip) -> None:
    path, frames = clip
    facts = file_video(path).probe()
    assert (facts.frames, facts.height, facts.width) == frames.shape[:3]
    assert facts.fps == 25
    assert facts.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert file_video(path).count() == len(frames)


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.avi", moving(600, 64, 96))
    video = file_video(path)

    def peak(frames: int) -> int:
        tracemalloc.start()
        for _ in video.frames(range(frames)):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(5)
    assert peak(600) < 1.1 * peak(60) + 20_000


def test_natural_order_and_gray_images(tmp_path: Path) -> None:
    gray = moving(20)[..., 0]
    folder = write_images(tmp_path / "f", gray, "frame{}.tif", first=1)
    (folder / "._frame1.tif").write_bytes(b"rubbish of another system")
    (folder / "notes.txt").write_text("no image")
    assert [path.stem for path in list_images(folder)] == [f"frame{n}" for n in range(1, 21)]
    frames = folder_video(folder, fps=10.0).read(range(5, 20))
    assert np.array_equal(frames, gray[5:, ..., None].repeat(3, -1))
    facts = folder_video(folder, fps=10.0).probe()
    assert (facts.frames, facts.width, facts.height, facts.fps) == (20, 48, 32, 10)


def test_colours_are_rgb(tmp_path: Path) -> None:
    images = moving(16)
    folder = write_images(tmp_path / "f", images)
    assert np.array_equal(folder_video(folder).read(range(16)), images)
    decoded = file_video(write_video(tmp_path / "a.avi", images)).read(range(16))
    assert cv2.PSNR(decoded, images) > 25
    assert cv2.PSNR(decoded, images[..., ::-1].copy()) < 25


def test_folder_digest_sees_names_and_content(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a", moving(16))
    first = folder_video(folder).probe().digest
    again = write_images(tmp_path / "b", moving(16))
    assert folder_video(again).probe().digest == first
    for path in list_images(again):
        path.rename(path.with_name("x" + path.name))
    assert folder_video(again).probe().digest != first
    write_images(folder, moving(16, seed=3))
    assert folder_video(folder).probe().digest != first


def test_signature_changes_with_the_files(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a", moving(16))
    video = folder_video(folder)
    first = video.signature()
    assert video.signature() == first
    os.utime(folder / "003.png", ns=(1, 1))
    assert video.signature() != first


def test_missing_number_is_named(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "f", moving(20))
    (folder / "007.png").unlink()
    with pytest.raises(DataError, match=r"frame number 7 is missing, between 006.png and 008.png"):
        folder_video(folder).probe()


def test_sizes_that_change_are_named(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "f", moving(18))
    cv2.imwrite(str(folder / "011.png"), moving(1, 40, 48)[0])
    for act in (lambda v: v.probe(), lambda v: v.read(range(18))):
        with pytest.raises(DataError, match=r"011.png: frame 11 is 48x40, those before .* 48x32"):
            act(folder_video(folder))


def test_two_videos_glued_into_one_file(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{n}.avi", moving(20, 64 // n, 96 // n)) for n in (1, 2)]
    path = tmp_path / "glued.avi"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(DataError, match=r"glued.avi: frame 20 is 48x32, those before it"):
        file_video(path).probe()


def test_header_count_against_decoded_count(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", moving(40, 64, 96))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(DataError, match=r"a.avi: its header says 40 frames, \d+ decode.*decoded"):
        file_video(path).probe()
    facts = file_video(path, frame_count="decoded").probe()
    assert 16 <= facts.frames < 40
    assert file_video(path, frame_count="decoded").count() == facts.frames
    with pytest.raises(DataError, match=rf"frame {facts.frames} was asked for"):
        file_video(path).read(range(40))


def test_short_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", moving(15))
    with pytest.raises(DataError, match=r"a.avi: has 15 frames, a clip needs 16"):
        file_video(path).probe()
    assert file_video(write_video(tmp_path / "b.avi", moving(16))).probe().frames == 16


def test_only_rising_ranges(clip) -> None:
    with pytest.raises(ValueError, match="in order"):
        file_video(clip[0]).read(range(10, 0, -1))


@given(st.lists(st.text("0123456789ab._", min_size=1, max_size=8), unique=True), st.randoms())
def test_natural_order_is_total_and_counts(names: list[str], random) -> None:
    ordered = sorted(names, key=natural)
    random.shuffle(names)
    assert sorted(names, key=natural) == ordered
    digits = [name for name in ordered if name.isdigit()]
    assert [int(name) for name in digits] == sorted(int(name) for name in digits)
