"""What the tests of damaged input have in common."""

from __future__ import annotations

import numpy as np

LABELS = np.array([0] * 5 + [1] * 6 + [0] * 9, np.uint8)
"""Of a video of 20 frames."""

TOUCHED = "touched by a file"
"""An environment variable that code in a damaged file would set."""
