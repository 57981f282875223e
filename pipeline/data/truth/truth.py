"""The ground truth of one video, in whichever format its data set gives it.

====================  ======  ======  ====================================================
format                labels  pixels  where
====================  ======  ======  ====================================================
npy                   yes     yes     ``.npy``: labels (N,) or (1, N); masks (N, H, W)
npy_concatenated      yes             one ``.npy`` for all videos, in their natural order
csv_intervals         yes             rows ``video,first,last``, last inclusive
matlab_ranges         yes             UCSD's ``.m``: ``gt_frame = [61:180];``, from 1
mat_volume            yes     yes     Avenue's ``.mat``: ``volLabel``, v5 or v7.3
mask_images           yes     yes     a folder of mask images, one a frame
tracks                yes     yes     UBnormal: object id, first, last; maps of object ids
normal                yes     yes     all frames are normal; no file
====================  ======  ======  ====================================================

Labels that come from masks are 1 where any pixel is. Nothing is padded, cut or guessed:
what does not fit the video is a DataError.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.data.truth import labels as labelformats
from pipeline.data.truth import pixels as pixelformats
from pipeline.data.truth.pixels import Pixels
from pipeline.data.video.file import stamp
from pipeline.data.video.folder import list_images, read_bytes

LABEL_FORMATS = (
    "npy", "npy_concatenated", "csv_intervals", "matlab_ranges", "mat_volume", "mask_images",
    "tracks", "normal",
)  # fmt: skip
RATED = ("npy", "csv_intervals", "matlab_ranges")
"""Formats of frame labels that may be counted in time, by a ``rate``."""
EARLY = 0.25
"""By so many labels a frame may be early and get that of its moment: stamps are rounded."""
PIXEL_FORMATS = ("npy", "mat_volume", "mask_images", "tracks", "normal")


@dataclass(frozen=True)
class Sibling:
    """A video of the same split, where a label file speaks of all of them."""

    name: str
    path: Path
    images: bool
    frame_count: str

    def count(self) -> int:
        """Return its number of frames."""
        from pipeline.data.video.video import Video

        video = Video(
            name=self.name,
            split="",
            path=self.path,
            images=self.images,
            frame_count=self.frame_count,
        )
        return video.count()


@dataclass(frozen=True, kw_only=True)
class TruthFile:
    """One source of truth of one video, resolved to its paths.

    Attributes
    ----------
    format : str
        One of :data:`LABEL_FORMATS` or :data:`PIXEL_FORMATS`.
    path : Path
        File or folder; unused for ``normal``.
    variable : str
        Name of the variable in a ``.mat`` file.
    first_frame : int
        Number of the first frame in ``csv_intervals``.
    past_end : {"error", "clamp"}
        What to do with intervals that end after the video.
    rate : float or None
        Labels a second: label n is of the moment n / rate seconds after the first frame.
        None: label n is of frame n, of those that decode.
    images : str
        For ``tracks``: path of the maps of object ids below ``root``, a template of
        ``fields`` and ``frame``.
    video, place, siblings
        The video's bare name, its place in the split and the split, for shared files.
    """

    format: str
    path: Path
    variable: str = "volLabel"
    first_frame: int = 0
    past_end: str = "error"
    rate: float | None = None
    images: str = ""
    root: Path = Path()
    fields: tuple[tuple[str, str], ...] = ()
    video: str = ""
    place: int = 0
    siblings: tuple[Sibling, ...] = ()

    def image(self, frame: int) -> Path:
        """Return the path of the map of object ids of a frame."""
        from pipeline.data.path_patterns import fill

        return self.root / fill(self.images, {**dict(self.fields), "frame": str(frame)})

    def files(self, frames: int | None = None) -> list[Path]:
        """Return the files that this truth is made of."""
        if self.format == "normal":
            return []
        if self.format == "mask_images":
            return list_images(self.path)
        if self.format == "tracks" and self.images:
            rows = labelformats.tracks(self.path)
            numbers = {n for _, first, last in rows for n in range(first, last + 1)}
            kept = sorted(n for n in numbers if frames is None or n < frames)
            return [self.path, *(self.image(number) for number in kept)]
        return [self.path]


@dataclass(frozen=True)
class Truth:
    """Ground truth of one video.

    Attributes
    ----------
    labels : ndarray, (N,) uint8
        1 = anomalous.
    pixels : Pixels or None
        Reader of pixel masks.
    """

    labels: np.ndarray
    pixels: Pixels | None


@dataclass(frozen=True)
class VideoTruth:
    """Where the truth of a video lies; without ``labels`` they come from ``pixels``."""

    labels: TruthFile | None = None
    pixels: TruthFile | None = None

    @property
    def rate(self) -> float | None:
        """Labels a second, None where labels are counted in frames."""
        return self.labels.rate if self.labels is not None else None

    @property
    def intervals(self) -> bool:
        """Whether labels are frame numbers that no count can be checked against."""
        file = self.labels or self.pixels
        return file is not None and file.format in ("csv_intervals", "matlab_ranges", "tracks")

    def read(self, frames: int, size: tuple[int, int], seconds: np.ndarray | None = None) -> Truth:
        """Read and check the truth of a video of ``frames`` frames of ``size`` (H, W).

        ``seconds`` is when each frame is seen, needed where the labels have a ``rate``.

        Raises
        ------
        DataError
            Missing, damaged, or not fitting the video.
        """
        pixels = None if self.pixels is None else read_pixels(self.pixels, frames, size)
        if (
            pixels is not None
            and abs(pixels.size[1] / pixels.size[0] * size[0] / size[1] - 1) > 0.02
        ):
            assert self.pixels is not None
            raise DataError(
                f"{self.pixels.path}: masks are {pixels.size[1]}x{pixels.size[0]}, the video is "
                f"{size[1]}x{size[0]}: not of one shape; check that they belong together"
            )
        return Truth(self._labels(frames, size, seconds), pixels)

    def _labels(
        self, frames: int, size: tuple[int, int], seconds: np.ndarray | None = None
    ) -> np.ndarray:
        if self.labels is not None:
            return read_labels(self.labels, frames, size, seconds)
        assert self.pixels is not None
        return read_labels(self.pixels, frames, size)

    def signature(self) -> list[str]:
        """Return what changes when a file of the truth does."""
        parts = []
        for file in (self.labels, self.pixels):
            if file is None:
                continue
            parts.append(_settings(file))
            parts += [f"{path.name}|{stamp(path)}" for path in file.files()]
            if file.format == "npy_concatenated":
                parts += [f"{other.name}|{stamp(other.path)}" for other in file.siblings]
        return parts

    def digest(self, frames: int, seconds: np.ndarray | None = None) -> str:
        """Return the SHA-256 of the labels and of the files that pixel masks come from."""
        digest = hashlib.sha256(self._labels(frames, (1, 1), seconds).tobytes())
        if self.pixels is not None:
            digest.update(_settings(self.pixels).encode())
            for path in self.pixels.files(frames):
                digest.update(f"\0{path.name}\0".encode(errors="surrogateescape"))
                digest.update(read_bytes(path))
        return digest.hexdigest()


def _settings(file: TruthFile) -> str:
    settings = (file.format, file.variable, file.first_frame, file.past_end)
    return repr(settings if file.rate is None else (*settings, file.rate))


def read_labels(
    file: TruthFile,
    frames: int,
    size: tuple[int, int] = (1, 1),
    seconds: np.ndarray | None = None,
) -> np.ndarray:
    """Return frame labels (frames,) uint8 from any format.

    ``seconds`` is when each frame is seen, (frames,), needed where the labels have a ``rate``.

    Raises
    ------
    DataError
        Missing, damaged, or not fitting the video.
    """
    if file.format == "normal":
        return np.zeros(frames, np.uint8)
    if file.rate is not None:
        return _by_time(file, file.rate, frames, seconds)
    if file.format == "npy" and labelformats.load_array(file.path).ndim < 3:
        return labelformats.npy(file.path, frames)
    if file.format == "npy_concatenated":
        lengths = [other.count() for other in file.siblings]
        lengths[file.place] = frames
        return labelformats.npy_concatenated(file.path, lengths, file.place)
    if file.format in ("npy", "mat_volume", "mask_images"):
        pixels = read_pixels(file, frames, size)
        return np.array([pixels.mask(number).any() for number in range(frames)], np.uint8)
    return labelformats.fill(_intervals(file), frames, file.path, file.video, file.past_end)


def _by_time(file: TruthFile, rate: float, frames: int, seconds: np.ndarray | None) -> np.ndarray:
    """Return for each frame the label of its moment, counted at a rate."""
    if seconds is None:
        raise DataError(
            f"{file.path}: `rate` needs to know when each frame of {file.video} is seen; set `fps`"
        )
    numbers = np.floor(seconds * rate + EARLY).astype(int)
    if file.format == "npy":
        return labelformats.npy_by_number(file.path, numbers, rate)
    labels = labelformats.fill(
        _intervals(file), int(numbers.max()) + 1, file.path, file.video, file.past_end
    )
    return labels[numbers]


def _intervals(file: TruthFile) -> list[labelformats.Interval]:
    names = [other.name for other in file.siblings]
    files = [other.path.name for other in file.siblings]
    readers: dict[str, Callable[[], list[labelformats.Interval]]] = {
        "csv_intervals": lambda: labelformats.csv_intervals(
            file.path, file.video, names, file.first_frame, files
        ),
        "matlab_ranges": lambda: labelformats.matlab_ranges(file.path, len(names), file.place),
        "tracks": lambda: [(first, last) for _, first, last in labelformats.tracks(file.path)],
    }
    if file.format not in readers:
        raise ConfigurationError(
            f"labels: format {file.format!r} is none of {', '.join(LABEL_FORMATS)}"
        )
    return readers[file.format]()


def read_pixels(file: TruthFile, frames: int, size: tuple[int, int]) -> Pixels:
    """Return a reader of pixel masks from any format; see :func:`read_labels`."""
    readers: dict[str, Callable[[], Pixels]] = {
        "npy": lambda: pixelformats.npy_volume(file.path, frames),
        "mat_volume": lambda: pixelformats.mat_volume(file.path, file.variable, frames),
        "mask_images": lambda: pixelformats.mask_images(file.path, frames),
        "tracks": lambda: pixelformats.track_images(file.path, file.image, frames),
        "normal": lambda: pixelformats.normal(frames, size),
    }
    if file.format not in readers:
        raise ConfigurationError(
            f"pixels: format {file.format!r} is none of {', '.join(PIXEL_FORMATS)}"
        )
    return readers[file.format]()
