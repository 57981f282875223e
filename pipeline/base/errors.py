"""The four kinds of errors, as users meet them, and the exit status of each.

=====================  ====  =====================================================
class                  exit  meaning
=====================  ====  =====================================================
ShardError             1     some shards failed; the rest of the run is done
ConfigurationError     2     the request is wrong: a setting, a preset, a path
DataError              3     the data is wrong: which file, which frame, what was expected
MachineError           4     the machine failed: disk full, read-only, out of memory
=====================  ====  =====================================================

Success is 0, Ctrl-C is 130.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import ClassVar, NoReturn


class ProjectError(Exception):
    """Base of every error that is meant to be read by a user: what, where, what to do."""

    exit_status: ClassVar[int] = 1


class ShardError(ProjectError):
    """Some shards could not be computed; all others are committed."""

    exit_status = 1


class ConfigurationError(ProjectError, ValueError):
    """The request cannot be carried out as it is written."""

    exit_status = 2


class DataError(ProjectError):
    """A video, label file, shard, record or checkpoint is not what it should be."""

    exit_status = 3


class MachineError(ProjectError):
    """The machine, not the request or the data, failed; the same call may work later."""

    exit_status = 4


MACHINE_ERRNOS = {
    errno.ENOSPC: "the disk is full; free space or set CACHE or RUNS to another disk",
    errno.EDQUOT: "the quota is used up; free space or set CACHE or RUNS to another disk",
    errno.EROFS: "the file system is read-only; set CACHE or RUNS to a folder you may write",
    errno.EACCES: "no permission; set CACHE or RUNS to a folder you may write",
    errno.EPERM: "no permission; set CACHE or RUNS to a folder you may write",
    errno.EIO: "the disk or network file system reported an error; try again or move the folder",
    errno.ESTALE: "the network file system lost the file; try again",
}


def machine_error(error: OSError, doing: str) -> ProjectError:
    """Turn an OSError met while ``doing`` something into a MachineError with its remedy."""
    remedy = MACHINE_ERRNOS.get(error.errno or 0, "check the path and try again")
    return MachineError(f"{doing}: {error.strerror or error}: {remedy}")


def import_error(error: ImportError) -> MachineError | None:
    """Turn a failed import into a MachineError where a library of the system is missing.

    OpenCV's wheel needs those of a desktop, which a container or a cluster's node may lack.
    """
    text = str(error)
    if ".so" not in text and ".dylib" not in text:
        return None
    if error.name is not None and error.name.partition(".")[0] != "cv2":
        return MachineError(f"{error.name} cannot be loaded: {text}; install what holds it")
    return MachineError(
        f"OpenCV cannot be loaded: {text}; `make setup` mends it, and so does either of: "
        "apt-get install libgl1 libglib2.0-0 (or what holds them on this system), or: "
        "pip uninstall -y opencv-contrib-python && pip install opencv-contrib-python-headless"
    )


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """Run a command line's ``main`` and exit with the documented status.

    A ProjectError prints one ``error:`` line and no traceback, unless ``--debug`` is
    among the arguments.
    """
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        status = main() or 0
    except ProjectError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        status = error.exit_status
    except ImportError as error:
        said = import_error(error)
        if debug or said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        status = said.exit_status
    except OSError as error:
        if debug or error.errno not in MACHINE_ERRNOS:
            raise
        where = f"{error.filename}" if error.filename else "writing"
        print(f"error: {machine_error(error, where)}", file=sys.stderr)
        status = MachineError.exit_status
    except KeyboardInterrupt:
        print(
            "interrupted; what was committed stays valid, the same command goes on", file=sys.stderr
        )
        status = 130
    sys.exit(status)
