"""Let the C library keep large freed buffers, so that each step does not fault them in anew.

glibc gives every tensor above 32 MiB back to the kernel when it is freed and asks for fresh,
zeroed pages at the next one. A training step frees and takes some gigabytes: at 256 px that
is a third of its time.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_MAX = -4
"""Options of glibc's ``mallopt(3)``."""


@cache
def keep_freed_memory() -> bool:
    """Keep freed memory in this process for its next tensors; return whether that worked.

    The process then stays at its peak size until it ends. Nothing happens, and False is
    returned, where the C library is not glibc. Results do not depend on it.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    largest = 2**31 - 1
    return all(
        mallopt(option, value) == 1
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, largest), (M_TOP_PAD, 64 << 20))
    )
