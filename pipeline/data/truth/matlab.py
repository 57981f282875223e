"""Label volumes in MATLAB files, of version 5 and of version 7.3 (HDF5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import DataError
from pipeline.data.truth import matlab5
from pipeline.data.video.folder import read_bytes


@lru_cache(maxsize=1)
def read_volume(
    path: Path, variable: str, _stamp: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return a label volume packed to bits, and its (height, width).

    A volume is a cell array of N masks, as Avenue's ``volLabel``, or one array (H, W, N).

    Parameters
    ----------
    path : Path
        The file; ``_stamp`` is its size and time, so that a changed file is read again.
    variable : str
        Name of the variable.

    Returns
    -------
    packed : ndarray, (N, ceil(H W / 8)) uint8
        Rows of :func:`numpy.packbits`; 1 where the mask is not 0.
    size : (int, int)
        Height and width.

    Raises
    ------
    DataError
        Damaged, without the variable, or with another kind of content.
    """
    import h5py

    try:
        masks = _hdf5 if h5py.is_hdf5(path) else _version5
        packed: list[np.ndarray] = []
        size: tuple[int, ...] | None = None
        for mask in masks(path, variable):
            size = size or mask.shape
            if mask.ndim != 2 or mask.shape != size:
                raise DataError(
                    f"{path}: mask {len(packed)} of {variable} is of shape {mask.shape}, the first "
                    f"is of {size}; copy the file again"
                )
            packed.append(np.packbits(_as_bool(mask, path, variable)))
    except DataError:
        raise
    # A damaged file makes the readers raise almost anything; all of it means this.
    except (Exception, MemoryError) as error:
        raise DataError(
            f"{path}: is no MATLAB file that can be read ({type(error).__name__}: {error}); "
            "download it again"
        ) from error
    if size is None:
        raise DataError(f"{path}: {variable} is empty; download the file again")
    return np.stack(packed), (size[0], size[1])


def _as_bool(mask: np.ndarray, path: Path, variable: str) -> np.ndarray:
    if mask.dtype.kind not in "bui" and not (mask.dtype.kind == "f" and np.isfinite(mask).all()):
        raise DataError(f"{path}: {variable} holds {mask.dtype} or NaN, not masks of 0 and 1")
    return mask != 0


def _missing(path: Path, variable: str, found: Any) -> DataError:
    names = ", ".join(sorted(str(name) for name in found if not str(name).startswith("_")))
    return DataError(f"{path}: has no variable {variable}, but {names or 'none at all'}; name it")


def _version5(path: Path, variable: str) -> Iterator[np.ndarray]:
    found = []
    for matrix in matlab5.matrices(read_bytes(path)):
        found.append(matrix.name)
        if matrix.name != variable:
            continue
        if matrix.kind == matlab5.CELL:
            yield from matlab5.cells(matrix)
        elif len(matrix.shape) == 3:
            yield from np.moveaxis(matlab5.array(matrix), 2, 0)
        else:
            raise DataError(
                f"{path}: {variable} is of shape {matrix.shape}; a cell array of masks or an "
                "array (height, width, frames) was expected"
            )
        return
    raise _missing(path, variable, found)


def _hdf5(path: Path, variable: str) -> Iterator[np.ndarray]:
    """MATLAB stores arrays column by column, so HDF5 shows every shape reversed."""
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        if variable not in file:
            raise _missing(path, variable, file)
        volume = file[variable]
        if not isinstance(volume, h5py.Dataset) or volume.external:
            raise DataError(f"{path}: {variable} is no array in this file; download it again")
        if h5py.check_ref_dtype(volume.dtype) is not None:
            read: Callable[[Any], Any] = lambda reference: file[reference][()]  # noqa: E731
            for reference in volume[()].ravel():
                yield np.asarray(read(reference)).T
        elif volume.ndim == 3:
            for index in range(volume.shape[0]):
                yield np.asarray(volume[index]).T
        else:
            raise DataError(f"{path}: {variable} is of shape {volume.shape}, not 3-D; check it")
