"""Where numba keeps compiled kernels, and when it compiles them anew.

Numba looks at a kernel's own file, at the target processor and at the signature. A kernel here is
made of other modules too: the parts that are compiled into it and the lanes. So its stamp is taken
over all modules of its folder and of this one.

Numba unpickles what it finds in its cache, so the folder of last resort, in the system's folder
of temporary files, is used only if it is this user's alone.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core import caching


@cache
def stamp(folder: Path) -> str:
    """Return the digest of all modules of a folder and of this module's."""
    digest = hashlib.sha256()
    for module in sorted({*folder.glob("*.py"), *Path(__file__).parent.glob("*.py")}):
        digest.update(f"{module.name}\n".encode() + module.read_bytes())
    return digest.hexdigest()


class _Stamped:
    """Mixed into a locator of numba's: gives the stamp of a kernel's folder."""

    _py_file: str

    def get_source_stamp(self) -> str:
        return stamp(Path(self._py_file).parent)


class Named(_Stamped, caching.UserProvidedCacheLocator):
    """The folder that NUMBA_CACHE_DIR names."""


class Beside(_Stamped, caching.InTreeCacheLocator):
    """``__pycache__`` beside the kernel."""


class OfUser(_Stamped, caching.UserWideCacheLocator):
    """The user's cache folder."""


class Temporary(_Stamped, caching.UserWideCacheLocator):
    """A folder among the system's temporary files, which all of a user's processes share."""

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        super().__init__(py_func, py_file)
        root = temporary_folder()
        self._cache_path = str(root / self.get_suitable_cache_subpath(py_file))

    def ensure_cache_path(self) -> None:
        """Make the folder, or raise OSError: not this user's alone, or not writable."""
        root = temporary_folder()
        root.mkdir(mode=0o700, exist_ok=True)
        found = root.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(f"{root}: not a folder of this user alone")
        super().ensure_cache_path()
        _say_once(root)


def temporary_folder() -> Path:
    """Return the folder of last resort."""
    return Path(tempfile.gettempdir(), f"pseudo-anomaly-kernels-{os.getuid()}")


@cache
def _say_once(folder: Path) -> None:
    logging.getLogger(__name__).info("compiled kernels are kept in %s", folder)


LOCATORS = ",".join(f"{__name__}.{kind.__name__}" for kind in (Named, Beside, OfUser, Temporary))


def cached(function: Callable[..., Any], **options: Any) -> Any:
    """Compile with numba and keep the result in the first of these folders that can be written.

    Raises
    ------
    RuntimeError
        If none can.
    """
    before = config.CACHE_LOCATOR_CLASSES  # type: ignore[attr-defined]
    config.CACHE_LOCATOR_CLASSES = LOCATORS  # type: ignore[attr-defined]
    try:
        return njit(cache=True, **options)(function)
    finally:
        config.CACHE_LOCATOR_CLASSES = before  # type: ignore[attr-defined]
