"""The formats in which data sets give frame labels, each one function to (N,) uint8."""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.base.errors import DataError
from pipeline.data.video.file import VIDEO_SUFFIXES
from pipeline.data.video.folder import read_bytes

Interval = tuple[int, int]
"""First and last anomalous frame, both from 0 and inclusive."""


def fill(
    intervals: Iterable[Interval], frames: int, where: Path, video: str, past_end: str = "error"
) -> np.ndarray:
    """Return labels that are 1 inside the intervals.

    Parameters
    ----------
    intervals : iterable of (int, int)
        First and last frame, from 0, inclusive.
    frames : int
        Length of the video.
    where, video : Path, str
        What messages name.
    past_end : {"error", "clamp"}
        What to do with an interval that ends after the video.

    Returns
    -------
    ndarray, (frames,) uint8
    """
    labels = np.zeros(frames, np.uint8)
    for first, last in intervals:
        if first < 0 or last < first:
            raise DataError(
                f"{where}: video {video}: frames {first} to {last} (counted from 0) are no "
                "interval; put the first frame before the last, and check `first_frame`"
            )
        if first >= frames or (last >= frames and past_end == "error"):
            raise DataError(
                f"{where}: video {video}: labels up to frame {last} (counted from 0), the video "
                f"has {frames} frames; check that they belong together, or set "
                "`past_end: clamp` if only the end is too long"
            )
        labels[first : last + 1] = 1
    return labels


def load_array(path: Path) -> np.ndarray:
    """Memory-map a ``.npy`` file; its header is believed only as far as the file is long.

    Raises
    ------
    DataError
        Missing, damaged, truncated, or an array of Python objects (never unpickled).
    """
    if not path.is_file():
        read_bytes(path)  # says what is wrong with it
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (Exception, MemoryError) as error:
        raise DataError(
            f"{path}: is no complete .npy file of numbers ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:150]}); write it again with numpy.save"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(f"{path}: is an archive of arrays; write one array with numpy.save")
    return array


def binary(values: np.ndarray, path: Path, what: str) -> np.ndarray:
    """Return ``values`` as uint8 if each is exactly 0 or 1, else raise a DataError."""
    if values.dtype.kind not in "buif":
        raise DataError(f"{path}: {what} of type {values.dtype}; write numbers 0 and 1")
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        place = np.argwhere(wrong)[0].tolist()
        value = values[tuple(place)]
        raise DataError(
            f"{path}: {what} at {place[0] if len(place) == 1 else place} is {value}; "
            "every value must be 0 (normal) or 1 (anomalous)"
        )
    return values.astype(np.uint8)


def npy(path: Path, frames: int) -> np.ndarray:
    """Labels of one video: an array (N,) or (1, N)."""
    return _exactly(_flat(path), frames, path)


def npy_by_number(path: Path, numbers: np.ndarray, rate: float) -> np.ndarray:
    """Labels of one video, those of the given numbers: labels counted at a rate in time."""
    labels = _flat(path)
    if numbers.max() >= len(labels):
        raise DataError(
            f"{path}: holds {len(labels)} labels, that is {len(labels) / rate:.2f} s at "
            f"`rate: {rate:g}`, the video needs {numbers.max() + 1}; check `rate`"
        )
    return labels[numbers]


def npy_concatenated(path: Path, lengths: Sequence[int], place: int) -> np.ndarray:
    """Labels of all videos of the split one after the other; those of video ``place``."""
    labels = _flat(path)
    if len(labels) != sum(lengths):
        raise DataError(
            f"{path}: holds {len(labels)} labels, the split's {len(lengths)} videos have "
            f"{sum(lengths)} frames; check that all videos are there and no others"
        )
    start = sum(lengths[:place])
    return labels[start : start + lengths[place]]


def _flat(path: Path) -> np.ndarray:
    labels = load_array(path)
    if labels.ndim == 2 and labels.shape[0] == 1:
        labels = labels[0]
    if labels.ndim != 1:
        raise DataError(f"{path}: is of shape {labels.shape}; (frames,) or (1, frames) is needed")
    return binary(np.asarray(labels), path, "label")


def _exactly(labels: np.ndarray, frames: int, path: Path) -> np.ndarray:
    if len(labels) != frames:
        raise DataError(
            f"{path}: holds {len(labels)} labels, the video has {frames} frames; "
            "make one label for each frame that decodes, nothing is trimmed or padded; or say by "
            "`rate` in the manifest how many labels a second there are"
        )
    return labels


def text_of(path: Path) -> str:
    """Return the text of a small label file."""
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no text ({error.reason} at byte {error.start})") from error


def matlab_ranges(path: Path, videos: int, place: int) -> list[Interval]:
    """Read ``TestVideoFile{end+1}.gt_frame = [61:180];``, one statement a video, from 1.

    Raises
    ------
    DataError
        Another statement, or not one for each of the ``videos`` of the split.
    """
    entries: list[list[Interval]] = []
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        statement = line.split("%")[0].strip().rstrip(";").strip()
        if not statement or re.fullmatch(r"\w+\s*=\s*\{\s*\}", statement):
            continue
        found = re.fullmatch(r"\w+\s*\{[^{}]*\}\s*\.gt_frame\s*=\s*\[([^\[\]]*)\]", statement)
        if found is None:
            raise DataError(
                f"{path}: line {number}: {line.strip()[:80]!r} is not of the form "
                "`TestVideoFile{end+1}.gt_frame = [61:180];`"
            )
        entries.append(_matlab_list(found[1], path, number))
    if len(entries) != videos:
        raise DataError(
            f"{path}: has ranges for {len(entries)} videos, the split has {videos}; "
            "check that all are there"
        )
    return entries[place]


def _matlab_list(text: str, path: Path, line: int) -> list[Interval]:
    intervals = []
    for item in re.sub(r"\s*:\s*", ":", text).replace(",", " ").split():
        found = re.fullmatch(r"([0-9]{1,9})(?::([0-9]{1,9}))?", item)
        if found is None:
            raise DataError(f"{path}: line {line}: {item[:40]!r} is no range such as 61:180")
        first = int(found[1])
        intervals.append((first - 1, int(found[2] or first) - 1))
    return intervals


def csv_intervals(
    path: Path, video: str, videos: Sequence[str], first_frame: int, files: Sequence[str] = ()
) -> list[Interval]:
    """Read rows ``video,first,last``; a video without rows, or with a bare name, is normal.

    Parameters
    ----------
    path : Path
        The file; a first row ``video,first,last`` is its header.
    video : str
        The video whose intervals are wanted; rows may name it with or without its suffix.
    videos : sequence of str
        All names that may occur, so that a misspelt one is found.
    first_frame : int
        The number of a video's first frame.
    files : sequence of str
        The file name of each of ``videos``: a row that names a file means that file alone.
    """
    intervals: list[Interval] = []
    try:
        rows = list(csv.reader(io.StringIO(text_of(path), newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: is no CSV file ({error})") from error
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        header = number == 1 and [cell.lower() for cell in cells] == ["video", "first", "last"]
        if not any(cells) or header:
            continue
        named = _named(cells[0], videos, files)
        if named not in videos:
            near = difflib.get_close_matches(named[:200], videos, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(videos)[:200]}"
            raise DataError(f"{path}: row {number}: the split has no video {cells[0][:80]!r}{hint}")
        numbers = [cell for cell in cells[1:] if cell]
        if named != video or not numbers:
            continue
        if len(numbers) != 2 or not all(re.fullmatch("[0-9]{1,12}", cell) for cell in numbers):
            raise DataError(
                f"{path}: row {number}: {','.join(row)[:80]!r} is not `video,first,last` with "
                "whole frame numbers"
            )
        intervals.append((int(numbers[0]) - first_frame, int(numbers[1]) - first_frame))
    return intervals


def _named(cell: str, videos: Sequence[str], files: Sequence[str]) -> str:
    """Return the video that a row names: exactly, by its file, or without its suffix.

    >>> _named("a.mov", ["a", "a.mov"], ["a.mp4", "a.mov"]), _named("a.MOV", ["a"], ["a.mp4"])
    ('a.mov', 'a')
    """
    name = unicodedata.normalize("NFC", cell)
    if name in videos:
        return name
    places = [n for n, file in enumerate(files) if unicodedata.normalize("NFC", file) == name]
    return videos[places[0]] if len(places) == 1 else _bare(name)


def _bare(name: str) -> str:
    """Return a video's name without its suffix.

    >>> _bare("01.mp4"), _bare("gate.1")
    ('01', 'gate.1')
    """
    path = Path(name)
    return name[: -len(path.suffix)] if path.suffix.lower() in VIDEO_SUFFIXES else name


def tracks(path: Path) -> list[tuple[int, int, int]]:
    """Read UBnormal's rows ``object id, first frame, last frame`` (from 0, last inclusive)."""
    rows = []
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        cells = line.replace(",", " ").split()
        if not cells:
            continue
        try:
            values = [float(cell) for cell in cells]
            identity, first, last = (int(value) for value in values)
            if [identity, first, last] != values:
                raise ValueError
        except (ValueError, OverflowError):
            raise DataError(
                f"{path}: line {number}: {line[:80]!r} is not `object id, first frame, last frame`"
            ) from None
        rows.append((identity, first, last))
    if not rows:
        raise DataError(f"{path}: names no anomalous object; download it again")
    return rows
