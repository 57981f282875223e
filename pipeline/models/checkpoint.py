"""Read the tensors of somebody else's PyTorch checkpoint, and nothing that could run.

Published checkpoints often carry a pickled configuration or an optimizer beside their
tensors. A pickle is a program, so it is only ever given to PyTorch's restricted
unpickler (``weights_only=True``). Classes that it does not know are never imported: each
is replaced by a stand-in that keeps nothing. A pickle that *calls* something is refused.
"""

from __future__ import annotations

import _compat_pickle
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

from pipeline.base.errors import ConfigurationError, DataError

#: Objects that reach a pickle by a call, though all they are is data; they are skipped as well.
DATA_CALLS = frozenset(
    {
        "types.SimpleNamespace",
        "collections.defaultdict",
        "copyreg._reconstructor",
        "datetime.datetime",
        "datetime.timedelta",
        "numpy._core.multiarray._reconstruct",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.WindowsPath",
    }
)


class Skipped:
    """What is left of data that is no tensor: nothing."""

    def __setstate__(self, state: object) -> None:
        """Keep nothing of the state either."""


class _CallRefused(type):
    """Makes a class whose instances may be unpickled, but which cannot be called."""

    def __call__(cls, *arguments: object, **named: object) -> Any:
        raise pickle.UnpicklingError(f"it calls {cls.__name__}")


def _skip(*arguments: object) -> Skipped:
    return Skipped()


def _new_dictionary(*arguments: object) -> OrderedDict[str, object]:
    # The restricted unpickler sets items and state of plain dictionaries alone.
    return OrderedDict()


def load_tensors(path: Path) -> dict[str, Any]:
    """Load a checkpoint written by ``torch.save`` without running anything in it.

    Parameters
    ----------
    path
        A ``.ckpt``, ``.pth``, ``.pt`` or ``.bin`` file.

    Returns
    -------
    dict
        What was saved, on the CPU; instances of unknown classes are empty dictionaries.

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If it is truncated, no PyTorch checkpoint, holds no dictionary, or holds code.
    """
    import torch

    if not path.is_file():
        raise ConfigurationError(f"{path}: no such file; give the path of a PyTorch checkpoint")
    names = _pickled_names(path)
    with torch.serialization.safe_globals(_stand_ins(names)):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise DataError(
                f"{path}: refused, because it holds more than data ({_reason(error)}); "
                "nothing of it was run. Get the checkpoint from its authors"
            ) from None
        except (RuntimeError, EOFError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise _broken(path, error) from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a {type(content).__name__}, not a dictionary of tensors")
    return content


def check_finite(name: str, tensor: Any) -> None:
    """Raise DataError if a tensor that a model is filled with holds NaN or infinity."""
    import torch

    if not bool(torch.isfinite(tensor).all()):
        raise DataError(f"{name} holds NaN or infinity; get the checkpoint anew")


def tensors_only(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the tensors whose names begin with ``prefix``, under the rest of their names.

    >>> import torch
    >>> list(tensors_only({"a.b": torch.zeros(1), "a.c": 3, "d": torch.ones(1)}, "a."))
    ['b']
    """
    import torch

    return {
        name[len(prefix) :]: value
        for name, value in content.items()
        if isinstance(name, str) and name.startswith(prefix) and isinstance(value, torch.Tensor)
    }


def _pickled_names(path: Path) -> set[str]:
    """Return the ``module.name`` of everything that a checkpoint's pickles refer to."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _refuse_scripts(path, archive)
                damaged = archive.testzip()
                if damaged is not None:
                    raise ValueError(f"the checksum of {damaged} in it is wrong")
                name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
                with archive.open(name) as file:
                    return _names_in_pickle(file)
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                raise ValueError("the end of the archive is missing")
            file.seek(0)
            # The older format: magic number, version, machine, content; one pickle each.
            return set().union(*(_names_in_pickle(file) for _ in range(4)))
    except (ValueError, StopIteration, IndexError, zipfile.BadZipFile, OverflowError) as error:
        raise _broken(path, error) from None


def _refuse_scripts(path: Path, archive: zipfile.ZipFile) -> None:
    if any(name.endswith("/constants.pkl") for name in archive.namelist()):
        raise DataError(
            f"{path}: is a TorchScript program, not a checkpoint of tensors; take the model in "
            "transformers' format instead, by its Hugging Face id and revision or by path"
        )


def _names_in_pickle(file: IO[bytes]) -> set[str]:
    return {
        _modern(str(argument))
        for code, argument, _ in pickletools.genops(file)
        if code.name == "GLOBAL"
    }


def _modern(argument: str) -> str:
    """Return a global, ``module name``, under its name in Python 3, as the unpickler does."""
    module, _, name = argument.partition(" ")
    if (module, name) in _compat_pickle.NAME_MAPPING:
        module, name = _compat_pickle.NAME_MAPPING[module, name]
    return f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"


def _stand_ins(names: set[str]) -> list[Any]:
    """Return a stand-in for each name outside of PyTorch's own, for ``safe_globals``."""
    stand_ins: list[Any] = [Skipped]
    for name in names:
        if name.startswith(("torch.", "collections.OrderedDict", "collections.Counter", "_codecs")):
            continue
        if name in DATA_CALLS:
            stand_ins.append((_skip, name))
        else:
            stand_ins.append((_CallRefused(name, (), {"__new__": _new_dictionary}), name))
    return stand_ins


def _reason(error: Exception) -> str:
    """Return what the unpickler objected to, without PyTorch's advice to trust the file."""
    blocked = re.search(r"unsupported GLOBAL (\S+) whose module", str(error))
    if blocked:
        return f"it calls {blocked[1]}"
    _, _, objection = str(error).rpartition("WeightsUnpickler error: ")
    return (objection or str(error)).strip().splitlines()[0].rstrip(".")


def _broken(path: Path, error: Exception) -> DataError:
    size = path.stat().st_size
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(
        f"{path}: cannot be read as a PyTorch checkpoint ({reason}; {size} bytes); "
        "it is damaged, truncated or of another kind: compare its "
        "size and SHA-256 with the source's"
    )
