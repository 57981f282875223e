"""Numeric and cell arrays of MATLAB files of version 5, read defensively.

``scipy.io.loadmat`` crashes the interpreter on some damaged files; label files come from
anywhere, so this reads the small part of the format that they use, every length checked
against what is there. Format: "MAT-File Format", The MathWorks, Level 5.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MATRIX, COMPRESSED = 14, 15
CELL, NUMERIC = 1, range(6, 16)
NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
MOST_BYTES = 1 << 32
"""More than this in one variable, unpacked, is taken for damage."""


@dataclass(frozen=True)
class Matrix:
    """One array: its class, shape, name, and the elements that hold its content."""

    kind: int
    shape: tuple[int, ...]
    name: str
    content: memoryview
    order: str


def matrices(data: bytes) -> Iterator[Matrix]:
    """Yield the variables of a file.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ValueError
        It is no file of version 5, or is damaged.
    """
    marks = {b"IM": "<", b"MI": ">"}
    if len(data) < 128 or data[126:128] not in marks:
        raise ValueError("not a MATLAB file of version 5 or 7.3")
    order = marks[data[126:128]]
    rest = memoryview(data)[128:]
    while len(rest):
        kind, content, rest = _element(rest, order, padded=False)
        if kind == COMPRESSED:
            unpack = zlib.decompressobj()
            unpacked = unpack.decompress(content, MOST_BYTES)
            if not unpack.eof:
                raise ValueError("a compressed variable is truncated or too large")
            kind, content, _ = _element(memoryview(unpacked), order)
        if kind == MATRIX:
            yield _matrix(content, order)


def array(matrix: Matrix) -> np.ndarray:
    """Return a numeric matrix as an array, without copying."""
    if matrix.kind not in NUMERIC:
        raise ValueError(f"an array of class {matrix.kind} is not numeric")
    kind, content, _ = _element(matrix.content, matrix.order)
    if kind not in NUMBERS:
        raise ValueError(f"numbers of unknown type {kind}")
    dtype = np.dtype(matrix.order + NUMBERS[kind])
    if len(content) != math.prod(matrix.shape) * dtype.itemsize:
        raise ValueError(f"an array of shape {matrix.shape} holds {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(matrix.shape, order="F")


def cells(matrix: Matrix) -> Iterator[np.ndarray]:
    """Yield the numeric arrays of a cell array, column by column."""
    rest = matrix.content
    for _ in range(math.prod(matrix.shape)):
        kind, content, rest = _element(rest, matrix.order)
        if kind != MATRIX:
            raise ValueError("a cell holds no array")
        yield array(_matrix(content, matrix.order))


def _element(
    data: memoryview, order: str, padded: bool = True
) -> tuple[int, memoryview, memoryview]:
    """Split off one element: its type, its content, and what follows."""
    if len(data) < 8:
        raise ValueError("truncated")
    kind, size = struct.unpack(f"{order}II", data[:8])
    if kind >> 16:  # a small element: size and type in four bytes, content in the next four
        kind, size, start, end = kind & 0xFFFF, kind >> 16, 4, 8
    else:
        start, end = 8, 8 + size + (-size % 8 if padded else 0)
    if start + size > len(data):
        raise ValueError(f"truncated: an element of {size} bytes, {len(data)} are left")
    return kind, data[start : start + size], data[end:]


def _matrix(data: memoryview, order: str) -> Matrix:
    _, flags, data = _element(data, order)
    _, shape, data = _element(data, order)
    _, name, data = _element(data, order)
    if len(flags) < 4 or len(shape) % 4 or len(shape) < 8:
        raise ValueError("an array without flags or shape")
    sizes = struct.unpack(f"{order}{len(shape) // 4}i", shape)
    if min(sizes) < 0 or len(sizes) > 8:
        raise ValueError(f"an array of shape {sizes[:8]}")
    kind = struct.unpack(f"{order}I", flags[:4])[0] & 0xFF
    return Matrix(kind, sizes, bytes(name).decode("latin-1"), data, order)
