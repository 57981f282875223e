"""Where the fields of one pyramid level of TV-L1 lie: planes of a flat float32 array.

A plane has rows of ``stride`` numbers and starts ``plane`` numbers after the one before it;
pixel (0, 0) of plane k is at ``origin + k * plane``. Around the pixels are margins that
stay 0: they are the zero border of the warps and of the dual variables.
"""

from __future__ import annotations

import numpy as np

from pipeline.models.simd.lanes import WIDTH

#: Planes: the flow; the dual variables of u and of v; normalised gradient, constant and
#: bound of the data term; the first image; the second and its gradients; a copy of what is
#: smoothed and rows of scratch for it.
U, V, UX, UY, VX, VY, GX, GY, C, M, FIRST, SECOND, SECOND_X, SECOND_Y, COPY, SCRATCH = range(16)
PLANES = 16
#: Zeros beside and above the pixels: a block displaced by a clamped flow stays inside.
SIDE, TOP = 32, 5

#: Constants that are float32, so that kernels stay in single precision.
ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)


class Level:
    """Where the pixels of one pyramid level lie in the flat workspace."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        blocks = -(-width // WIDTH)
        self.stride = blocks * WIDTH + 2 * SIDE
        # Planes that start at different places of a memory page: loads of one do not wait
        # for stores to another.
        self.plane = self.stride * (height + 2 * TOP) + 5 * WIDTH
        self.origin = TOP * self.stride + SIDE
        columns = np.arange(WIDTH) + (blocks - 1) * WIDTH
        #: Masks of the last block of a row: pixels inside, pixels with a right neighbour.
        self.tails = np.concatenate([columns < width, columns < width - 1]).astype(np.float32)

    @property
    def geometry(self) -> tuple[int, int, int, int, int]:
        """Origin, plane, stride, height and width: the arguments of every kernel."""
        return self.origin, self.plane, self.stride, self.height, self.width

    def view(self, work: np.ndarray, plane: int) -> np.ndarray:
        """Return the pixels (height, width) of a plane, shared with the workspace."""
        start = self.origin + plane * self.plane
        rows = work[start : start + self.height * self.stride]
        return rows.reshape(self.height, self.stride)[:, : self.width]
