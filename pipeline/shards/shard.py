"""Shards: write once, read in sequence. The only file of the project that opens cached HDF5.

A shard holds consecutive frames of one video: one HDF5 dataset for each array, one frame
a chunk. It is committed in this order, so that a death at any moment leaves either
nothing or the whole: temporary file, fsync, read back and compare, rename, then the JSON
record, itself by rename. A shard without a record does not exist.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import canonical, json_text, replacing, sha256_of_file, write_json

#: Frames smaller than this share chunks; a chunk a frame would cost more than the frame.
SMALL_FRAME = 4096
COMPRESSIONS: dict[str, dict[str, Any]] = {
    "auto": {},
    "none": {},
    "lzf": {"compression": "lzf", "shuffle": True},
    "gzip": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
}


class MissingShard(DataError):
    """A shard that should be there is not, or a network file system does not show it yet."""

    def __init__(self, message: str, path: Path):
        super().__init__(message, path)
        self.path = path

    def __str__(self) -> str:
        return str(self.args[0])


def write_shard(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    compression: str = "auto",
) -> dict[str, Any]:
    """Commit a shard and its record.

    Parameters
    ----------
    path
        The shard's ``.h5``; the record lies beside it as ``.json``.
    arrays
        Arrays of the same first length, the frames.
    facts
        What else the record holds (key, video, frame range, seconds, ...).
    compression
        ``auto`` (gzip for label maps, none for the rest), ``none``, ``lzf`` or ``gzip``.

    Returns
    -------
    dict
        The record as written.

    Raises
    ------
    DataError
        If what is read back differs from what was written.
    """
    if compression not in COMPRESSIONS:
        raise ConfigurationError(
            f"compression: {compression!r} is none of {', '.join(COMPRESSIONS)}"
        )
    image = _hdf5_image(arrays, compression)
    checksum = hashlib.sha256(image).hexdigest()
    with replacing(path, sync_name=False) as temporary:
        temporary.write_bytes(image)
        if sha256_of_file(temporary) != checksum:
            raise DataError(
                f"{path}: what is read back differs from what was written; "
                "the disk or memory of this machine is failing"
            )
    record = dict(facts) | {
        "arrays": {
            name: {"dtype": array.dtype.name, "shape": list(array.shape), "sha256": _digest(array)}
            for name, array in arrays.items()
        },
        "bytes": len(image),
        "sha256": checksum,
    }
    record["record_sha256"] = _record_digest(record)
    write_json(path.with_suffix(".json"), record)
    return record


def read_record(path: Path) -> dict[str, Any]:
    """Read and check the record beside a shard's ``.h5``.

    Raises
    ------
    DataError
        If the record is missing, is no JSON, or was changed since it was written.
    """
    remedy = "run `python -m pipeline verify --repair` to compute this shard again"
    file = path.with_suffix(".json")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingShard(
            f"{path}: there is no record {file.name} beside it; {remedy}", path
        ) from None
    except ValueError as error:
        raise DataError(f"{file}: the record cannot be read ({error}); {remedy}") from None
    return check_record(record, str(file), remedy)


def check_record(record: Any, name: str, remedy: str) -> dict[str, Any]:
    """Return a record if it bears out its own digest.

    Raises
    ------
    DataError
        If it does not: it was changed since it was written.
    """
    if not isinstance(record, dict) or record.get("record_sha256") != _record_digest(record):
        raise DataError(f"{name}: the record was changed since it was written; {remedy}")
    return record


def check_shard(path: Path) -> dict[str, Any]:
    """Compare every byte of a shard with its record, and return the record.

    Raises
    ------
    DataError
        If anything differs.
    """
    record = read_record(path)
    file = path.with_suffix(".json")
    if file.read_text(encoding="utf-8") != json_text(record):
        raise DataError(f"{file}: its bytes are not those that were committed")
    if not path.exists():
        raise DataError(f"{path}: the record is there, the shard is not")
    size = path.stat().st_size
    if size != record["bytes"]:
        raise DataError(f"{path}: {size} bytes, its record says {record['bytes']}")
    if sha256_of_file(path) != record["sha256"]:
        raise DataError(f"{path}: its bytes are not those that were committed")
    return record


@dataclass(frozen=True)
class FrameArray:
    """One array of a whole video, read lazily across its shards; picklable.

    Attributes
    ----------
    folder
        Where the shards lie, ``00000.h5`` and on; all but the last hold ``shard_frames`` frames.
    name
        The array's name inside them.
    shape
        Shape of the whole, frames first.
    dtype
        NumPy's name of the dtype.
    """

    folder: Path
    name: str
    shape: tuple[int, ...]
    dtype: str
    shard_frames: int

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice) -> np.ndarray:
        """Return frame ``[i]`` or consecutive frames ``[a:b]`` as a new array."""
        if not isinstance(index, slice):
            position = index + len(self) if index < 0 else index
            if not 0 <= position < len(self):
                raise IndexError(f"frame {index} of {len(self)}")
            return self[position : position + 1][0]
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise IndexError("shards are read in sequence: [a:b] without a step")
        out = np.empty((max(stop - start, 0), *self.shape[1:]), np.dtype(self.dtype))
        at = start
        while at < stop:
            number, offset = divmod(at, self.shard_frames)
            upto = min(stop, (number + 1) * self.shard_frames)
            dataset = open_shard(self.folder / f"{number:05d}.h5")[self.name]
            dataset.read_direct(
                out, np.s_[offset : offset + upto - at], np.s_[at - start : upto - start]
            )
            at = upto
        return out


def open_shard(path: Path) -> h5py.File:
    """Return a committed shard, opened once a process, and anew where it was repaired since."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise MissingShard(
            f"{path}: not found; run `python -m pipeline verify --repair` to compute it again", path
        ) from None
    return _open(path, os.getpid(), (facts.st_ino, facts.st_mtime_ns))


@functools.lru_cache(maxsize=64)
def _open(path: Path, process: int, version: tuple[int, int]) -> h5py.File:
    """Open a shard; a handle must not cross a fork, nor outlive the file of its name."""
    record = read_record(path)
    try:
        if path.stat().st_size != record["bytes"]:
            raise OSError("its size is not the one recorded")
        file = h5py.File(path, "r", locking=False, rdcc_nbytes=0)
        found = {
            name: {"dtype": data.dtype.name, "shape": list(data.shape)}
            for name, data in file.items()
        }
    except FileNotFoundError:
        raise MissingShard(
            f"{path}: not found, only its record; run `python -m pipeline verify --repair` to "
            "compute this shard again",
            path,
        ) from None
    except (OSError, RuntimeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: does not match its record ({error}); run "
            "`python -m pipeline verify --repair` to compute this shard again"
        ) from error
    wanted = {
        name: {"dtype": entry["dtype"], "shape": entry["shape"]}
        for name, entry in record["arrays"].items()
    }
    if found != wanted:
        raise DataError(
            f"{path}: holds {found}, its record says {wanted}; run "
            "`python -m pipeline verify --repair` to compute this shard again"
        )
    return file


def _hdf5_image(arrays: Mapping[str, np.ndarray], compression: str) -> memoryview:
    """Return the bytes of the HDF5 file; made in memory, since HDF5 cannot survive a full disk."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="v110") as file:
        for name, array in arrays.items():
            kind = "gzip" if compression == "auto" and is_label_map(array) else compression
            file.create_dataset(name, data=array, chunks=_chunks(array), **COMPRESSIONS[kind])
            file.flush()  # else where chunks lie depends on when HDF5 closes each data set
    return buffer.getbuffer()


def is_label_map(array: np.ndarray) -> bool:
    """Whether these are masks or labels, (N, H, W) uint8: gzip makes them 50 times smaller."""
    return array.ndim == 3 and array.dtype == np.uint8


def _chunks(array: np.ndarray) -> tuple[int, ...] | None:
    if array.size == 0:
        return None
    frame_bytes = array[:1].nbytes
    frames = len(array) if frame_bytes < SMALL_FRAME else 1
    return (frames, *array.shape[1:])


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _record_digest(record: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in record.items() if name != "record_sha256"}
    return hashlib.sha256(canonical(rest).encode()).hexdigest()
