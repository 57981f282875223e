"""Raw scores on disk: what the indicators said of every frame, before any protocol.

::

    scores/scores.json       provenance, settings, and the videos; written last
    scores/test/01.npz       the arrays of one video (no pickles)
    scores/train/15.npz      a held-out normal video, with its own pseudo-anomalies
    scores/normal/...        error maps of stretches of normal training videos
    scores/local/test/01.npz what :mod:`evaluation.protocols.local.scores` made of them

Arrays, each with one entry a frame of the video:

===================== ================ ==================================================
name                  shape            meaning
===================== ================ ==================================================
an indicator's name   (N,) float64     what its stream said of each frame (``spatial``: the mean
                                       squared error of A^s on [-1, 1])
``*_pa``              (N,) float64     the same of the video's pseudo-anomalies
``*_mover``           (N,) float64     the same of the video with movers in it
``*_map``, ``*_pa_map``, (N, h, w) float16 squared error, mean over channels and cells
``*_mover_map``
``flow_mover_map``    (N, h, w, 2)     flow with movers in it, in cells a frame
``*_local``,          (N, windows)     the protocol ``local``, of ``flow`` as well: how far a
``*_mover_local``     float64          frame goes beyond what is normal at a place
===================== ================ ==================================================
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import read_json, replacing, write_json
from pipeline.shards.reader import VideoInfo, read_video

FORMAT = 1

MADE_UP = ("_pa", "_mover")
"""What the names of a video's scores end in when something was put into it."""

LOCAL_VERSION = 2
"""Raised when the values of the protocol ``local`` change."""


@dataclass(frozen=True)
class VideoScores:
    """The raw scores of one video.

    Attributes
    ----------
    video
        Which video.
    values
        (N,) arrays by name, as in the module's table.
    measures
        Indicator to ``frame`` (squared error of the frame, the default) or ``clip`` (MemAE's).
    """

    video: VideoInfo
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    measures: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in self.values.items():
            if len(array) != self.video.frames:
                raise DataError(
                    f"scores of {self.video.name}: {name} has {len(array)} entries for "
                    f"{self.video.frames} frames; score the run again"
                )

    @property
    def named(self) -> tuple[str, ...]:
        """The indicators that have a number a frame."""
        ends = (*MADE_UP, "_map", "_local")
        return tuple(name for name in self.values if not name.endswith(ends))

    def has(self, suffix: str) -> bool:
        """Whether each of these was also scored on ``_pa`` or ``_mover`` versions."""
        return bool(self.named) and all(name + suffix in self.values for name in self.named)


@dataclass(frozen=True)
class RunScores:
    """All raw scores of a run, read lazily.

    Attributes
    ----------
    folder
        ``RUN/scores``.
    provenance
        Settings, shard keys, networks and versions.
    videos
        Name to video; :meth:`load` reads one.
    normal
        The same of stretches of normal training videos.
    """

    folder: Path
    provenance: dict[str, Any]
    videos: dict[str, VideoInfo]
    normal: dict[str, VideoInfo] = field(default_factory=dict)

    def load(self, name: str, maps: bool = False) -> VideoScores:
        """Read a video's scores, without its error maps unless they are asked for."""
        video = self.videos.get(name) or self.normal[name]
        path = self.folder / file_name(name)
        with open_arrays(path) as archive:
            names = [n for n in archive.files if n != "fingerprint" and (maps or "_map" not in n)]
            values = {n: archive[n] for n in names}
        if is_saved(self.local, name, self.local_mark(name)):
            with open_arrays(self.local / file_name(name)) as archive:
                values |= {n: archive[n] for n in archive.files if n != "fingerprint"}
        return VideoScores(video, values, self.provenance.get("measures", {}))

    @property
    def local(self) -> Path:
        """Where the values of the protocol ``local`` lie."""
        return self.folder / "local"

    def local_mark(self, name: str = "") -> str:
        """What a video's values of the protocol ``local`` are to be made from, as text.

        Every one is judged by what the training videos show; the levels are of those alone.
        """
        made = {key: self.provenance.get(key) for key in ("scoring", "keys", "fingerprints")}
        contents = self.provenance.get("contents", {})
        made["contents"] = {
            video: content
            for video, content in contents.items()
            if video == name or video.startswith("train/")
        }
        return json.dumps({**made, "local": LOCAL_VERSION}, sort_keys=True)

    def select(self, split: str | None = None, holdout: bool | None = None) -> list[VideoScores]:
        """Read, without maps, the scores of a split and of held-out videos, or of others."""
        return [
            self.load(video.name)
            for video in self.videos.values()
            if split in (None, video.split) and holdout in (None, video.holdout)
        ]


def file_name(video: str) -> str:
    """Return the relative path of a video's scores, the name's odd characters escaped.

    >>> file_name("test/a b/../c")
    'test/a%20b%2F..%2Fc.npz'
    """
    split, _, rest = (urllib.parse.quote(part, safe="-_") for part in video.partition("/"))
    if split in ("", ".", "..") or not rest:
        raise DataError(f"video name {video!r}: needs a split and a name, such as test/01")
    if len(rest) > 180:
        rest = f"{rest[:150]}~{hashlib.sha256(rest.encode()).hexdigest()[:16]}"
    return f"{split}/{rest}.npz"


def open_arrays(path: Path) -> Any:
    """Open an npz of plain arrays.

    Raises
    ------
    ConfigurationError
        If there is none.
    DataError
        If it is none, or holds anything but arrays.
    """
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: not found; `python -m evaluation score` writes it"
        ) from None
    except Exception as error:
        raise DataError(
            f"{path}: is no archive of plain arrays ({error}); remove it and score again"
        ) from None


def save_video(folder: Path, name: str, values: Mapping[str, np.ndarray], fingerprint: str) -> None:
    """Write one video's arrays, whole or not at all, with the fingerprint of what made them."""
    with replacing(folder / file_name(name)) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {"fingerprint": np.array(fingerprint), **values}
        np.savez(file, **arrays)


def is_saved(folder: Path, name: str, fingerprint: str) -> bool:
    """Whether a video's scores are there and were made by the very same settings and networks."""
    try:
        with np.load(folder / file_name(name), allow_pickle=False) as archive:
            return bool(str(archive["fingerprint"]) == fingerprint)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False  # missing, cut off or of other settings: to be computed


def save_index(
    folder: Path,
    provenance: Mapping[str, Any],
    videos: Sequence[VideoInfo],
    normal: Sequence[VideoInfo] = (),
) -> None:
    """Write scores.json, which makes the scores of a run complete."""
    names = {"videos": videos, "normal": normal}
    listed = {key: [asdict(video) for video in part] for key, part in names.items()}
    write_json(folder / "scores.json", {"format": FORMAT, **provenance, **listed})


def open_scores(folder: str | Path) -> RunScores:
    """Open the scores of a run.

    Raises
    ------
    ConfigurationError
        If the run was not scored to its end.
    DataError
        If scores.json is not one that this version wrote.
    """
    path = Path(folder) / "scores.json"
    hint = f"; `python -m evaluation score --run {Path(folder).parent}` writes it"
    content = read_json(path, hint, "score the run again")
    if content.get("format") != FORMAT:
        raise DataError(f"{path}: is not of format {FORMAT}; score the run again")
    videos, normal = (
        {video["name"]: read_video(video) for video in content.pop(key, [])}
        for key in ("videos", "normal")
    )
    return RunScores(Path(folder), content, videos, normal)
