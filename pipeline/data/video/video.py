"""The frames of one video, from a file or a folder of images, in order.

A range that begins where the last one ended goes on from there, so reading a video shard by
shard decodes each frame once. Another range is reached from the nearest key frame that an
earlier reading from end to end has noted with its number, or by decoding all before it:
frame numbers are counted, never computed from times.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.base.errors import DataError
from pipeline.data.video.facts import FileFacts, Key, check_whole, read_facts, shortage, woven
from pipeline.data.video.file import VIDEO_SUFFIXES, FileReader, file_frames, stamp
from pipeline.data.video.folder import (
    decode_image,
    list_images,
    read_bytes,
    rgb_frames,
    same_size,
    unreadable,
)
from pipeline.data.video.frame import Gap

if TYPE_CHECKING:
    from pipeline.data.truth.truth import Truth, VideoTruth

__all__ = ["MIN_FRAMES", "VIDEO_SUFFIXES", "Video", "VideoFacts"]

_one_probe = threading.Lock()

MIN_FRAMES = 16
"""Frames of one clip: shorter videos cannot be used."""


@dataclass(frozen=True)
class VideoFacts:
    """What reading a video from end to end shows.

    Attributes
    ----------
    frames : int
        Frames that decode.
    width, height : int
        Pixels.
    fps : float or None
        Frames a second on average; None where neither the file nor the manifest says.
    digest : str
        SHA-256 of the file, or of the sorted names and contents of an image folder; another
        for files from which earlier versions read other frames.
    anomalous : int or None
        Frames labelled anomalous; None without ground truth.
    times : tuple of float
        Seconds of each frame since the first; empty where frames are ``1 / fps`` apart.
    gaps : tuple of Gap
        Packets that did not decode.
    interlaced : int
        Frames that are two fields of different moments.
    declared, missing : int or None, float
        Frames that the file says it has; seconds that it is shorter than it says.
    whole : int
        Frames of the file that decode; more than ``frames`` for a piece of it.
    keys : tuple of (int, int)
        Key frames of the file: number and time stamp.
    """

    frames: int
    width: int
    height: int
    fps: float | None
    digest: str
    anomalous: int | None = None
    times: tuple[float, ...] = ()
    gaps: tuple[Gap, ...] = ()
    interlaced: int = 0
    declared: int | None = None
    missing: float = 0.0
    whole: int = 0
    keys: tuple[Key, ...] = ()

    def remarks(self) -> list[str]:
        """Say what a person should know of the file: what is missing, and interlaced frames."""
        told = [
            shortage(self.whole, self.declared, self.gaps, self.missing),
            woven(self.interlaced),
        ]
        return [one for one in told if one]

    def seconds(self) -> np.ndarray | None:
        """Return when each frame is seen, (frames,) from 0; None where nobody said."""
        if self.times:
            return np.array(self.times)
        return np.arange(self.frames) / self.fps if self.fps else None


@dataclass(frozen=True, kw_only=True)
class Video:
    """One video of a data set: where it lies and what the manifest says of it.

    Attributes
    ----------
    name : str
        With its split, ``train/01``.
    path : Path
        A video file, or a folder of images if ``images``.
    scene : str
        The camera, where the data set has several.
    fps : float or None
        Overrides what the file says; the only source for image folders.
    frame_count : {"strict", "decoded"}
        ``strict``: the count in the file's header must equal the frames that decode.
    source : VideoTruth or None
        Where its ground truth lies.
    piece : (int, int)
        Which of how many parts of equal length this video is of its file, counted from 0.
    whole, keys : int, tuple of (int, int)
        From its :class:`VideoFacts`, where known: reading need not count and may begin at keys.
    """

    name: str
    split: str
    path: Path
    images: bool = False
    scene: str = ""
    fps: float | None = None
    frame_count: str = "strict"
    source: VideoTruth | None = None
    piece: tuple[int, int] = (0, 1)
    whole: int = 0
    keys: tuple[Key, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether it has frame labels."""
        return self.source is not None

    @property
    def pixel_truth(self) -> bool:
        """Whether it has pixel masks."""
        return self.source is not None and self.source.pixels is not None

    def frames(self, wanted: range) -> Iterator[np.ndarray]:
        """Yield frames one by one, each (H, W, 3) uint8 RGB, in constant memory.

        Raises
        ------
        DataError
            A frame is missing, or of another size than those before it.
        ValueError
            ``wanted`` does not count up by one from 0 or more.
        """
        if wanted.step != 1 or wanted.start < 0:
            raise ValueError(f"{wanted}: frames are read in order, step 1, from 0 on")
        if self.piece[1] > 1:
            part = self._part(self._whole())
            if wanted.stop > len(part):
                raise DataError(
                    f"{self.name}: frame {wanted.stop - 1} was asked for, this piece of "
                    f"{self.path} has {len(part)}; change `pieces` in the manifest"
                )
            wanted = range(part.start + wanted.start, part.start + wanted.stop)
        if self.images:
            return rgb_frames(_images(self.path, stamp(self.path)), wanted)
        return file_frames(self.path, wanted, self.keys)

    def read(self, frames: range) -> np.ndarray:
        """Return frames as one array (N, H, W, 3) uint8 RGB; see :meth:`frames`."""
        found = list(self.frames(frames))
        return np.stack(found) if found else np.empty((0, 0, 0, 3), np.uint8)

    def count(self) -> int:
        """Return the number of frames, decoding the file unless its header is known right."""
        return len(self._part(self._whole()))

    def _whole(self) -> int:
        if self.whole:
            return self.whole
        if self.images:
            return len(_images(self.path, stamp(self.path)))
        return _count_file(self.path, self.frame_count, stamp(self.path))

    def _part(self, whole: int) -> range:
        number, pieces = self.piece
        return range(whole * number // pieces, whole * (number + 1) // pieces)

    def probe(self) -> VideoFacts:
        """Read the video from end to end, check it and its labels, and return its facts.

        Raises
        ------
        DataError
            Unreadable, truncated, too short, of changing size, or labels that do not fit.
        """
        facts = self._unlabelled()
        if facts.frames < MIN_FRAMES:
            what = self.path if self.piece[1] == 1 else f"{self.name}, a piece of {self.path}"
            raise DataError(
                f"{what}: has {facts.frames} frames, a clip needs {MIN_FRAMES}; leave it out"
            )
        if self.source is None:
            return facts
        self._check_numbers(self.source, facts)
        truth = self.source.read(facts.frames, (facts.height, facts.width), facts.seconds())
        return replace(facts, anomalous=int(truth.labels.sum()))

    def _unlabelled(self) -> VideoFacts:
        whole = self._probe_whole()
        part = self._part(whole.frames)
        times, digest = whole.times[part.start : part.stop], whole.digest
        if self.piece[1] > 1:
            digest = hashlib.sha256(f"{digest} {part.start} {part.stop}".encode()).hexdigest()
        return VideoFacts(
            frames=len(part),
            width=whole.width,
            height=whole.height,
            fps=self.fps or whole.rate,
            digest=digest,
            times=tuple(round(time - times[0], 6) for time in times),
            gaps=tuple(_gaps_in(part, whole.gaps)),
            interlaced=whole.interlaced,
            declared=whole.declared,
            missing=whole.missing,
            whole=whole.frames,
            keys=whole.keys,
        )

    def _check_numbers(self, source: VideoTruth, facts: VideoFacts) -> None:
        """Raise a DataError where a label's frame number may count what does not decode."""
        fault = shortage(facts.whole, facts.declared, facts.gaps, facts.missing)
        if not fault or not source.intervals or source.rate is not None:
            return
        file = source.labels or source.pixels
        assert file is not None
        if file.format == "tracks" and not facts.gaps:
            return
        rate = f"{facts.fps:g}" if facts.fps and not facts.times else "25"
        raise DataError(
            f"{file.path}: gives frame numbers of {self.path}, of which {fault}: which of them the "
            f"numbers count is not known. Re-encode the video and label that; or set, say, "
            f"`rate: {rate}` in the manifest's labels (make new: LABEL_RATE={rate}) if number n is "
            f"the moment n / {rate} s"
        )

    def _probe_whole(self) -> FileFacts:
        timed = self.source is not None and self.source.rate is not None
        if self.piece[1] == 1 and not timed:
            return _probe_now(self.path, self.images, self.frame_count)
        with _one_probe:  # whoever asks first reads the file to its end for all
            return _probe_once(self.path, self.images, self.frame_count, stamp(self.path))

    def truth(self) -> Truth:
        """Return the frame labels and, where there are, a reader of pixel masks.

        Raises
        ------
        DataError
            Labels are missing, damaged, or not one for each frame.
        """
        if self.source is None:
            raise DataError(f"{self.name}: has no labels; its manifest names none")
        first = next(iter(self.frames(range(1))))
        return self.source.read(self.count(), first.shape[:2], self._label_times())

    def _label_times(self) -> np.ndarray | None:
        """Return when each frame is seen, where the labels are counted in time."""
        if self.source is None or self.source.rate is None:
            return None
        return self._unlabelled().seconds()

    def signature(self) -> str:
        """Return what changes when a file of this video or its truth does: names, sizes, times."""
        parts = [repr((self.fps, self.frame_count))]
        if self.piece[1] > 1:
            parts.append(repr(self.piece))
        paths = _entries(self.path) if self.images else [self.path]
        parts += [f"{path.name}|{stamp(path)}" for path in paths]
        if self.source is not None:
            parts += self.source.signature()
        return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()

    def truth_digest(self) -> str:
        """Return the SHA-256 of the ground truth, empty without any."""
        if self.source is None:
            return ""
        return self.source.digest(self.count(), self._label_times())


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise unreadable(folder, error) from error


@lru_cache(maxsize=8)
def _images(folder: Path, _stamp: tuple[int, int]) -> list[Path]:
    return list_images(folder)


@lru_cache(maxsize=4096)
def _count_file(path: Path, frame_count: str, _stamp: tuple[int, int]) -> int:
    """Return the number of frames, from the header if ``strict``; remembered by its stamp."""
    reader = FileReader(path)
    reader.close()
    if frame_count == "strict" and reader.declared:
        return reader.declared  # probe() raises if this is not what decodes
    return read_facts(path).frames


def _gaps_in(part: range, gaps: Iterable[Gap]) -> Iterator[Gap]:
    """Yield the gaps of a piece, with its own frame numbers."""
    for gap in gaps:
        if part.start < gap.frame <= part.stop or gap.frame == part.start == 0:
            yield replace(gap, frame=gap.frame - part.start)


def _probe_now(path: Path, images: bool, frame_count: str) -> FileFacts:
    if images:
        return _probe_images(path)
    facts = read_facts(path)
    if frame_count == "strict":
        check_whole(path, facts)
    return facts


@lru_cache(maxsize=16)
def _probe_once(path: Path, images: bool, frame_count: str, _stamp: tuple[int, int]) -> FileFacts:
    return _probe_now(path, images, frame_count)


def _probe_images(folder: Path) -> FileFacts:
    paths = list_images(folder)
    digest = hashlib.sha256()
    shape: tuple[int, ...] | None = None
    order = {path: number for number, path in enumerate(paths)}
    for path in sorted(paths):
        content = read_bytes(path)
        digest.update(f"{path.name}\0{len(content)}\0".encode(errors="surrogateescape"))
        digest.update(content)
        image = decode_image(content, path)
        shape = shape or image.shape
        same_size(image.shape, shape, path, order[path])
    assert shape is not None  # list_images returns at least one
    return FileFacts(len(paths), shape[1], shape[0], None, digest.hexdigest())
