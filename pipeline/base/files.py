"""Files that appear whole or not at all, also on network file systems."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.base.errors import ConfigurationError, DataError

#: Temporary files end so; nothing but ``gc`` ever looks at one that it did not make itself.
TEMPORARY = ".tmp"


@contextlib.contextmanager
def replacing(path: Path, *, sync_name: bool = True) -> Iterator[Path]:
    """Give a temporary path in the same folder; on success move it to ``path``, else remove it.

    The temporary file's content is on the disk before it takes its name, and so is the name,
    unless ``sync_name`` is False: where another file beside it follows, whose name counts.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex[:12]}{TEMPORARY}")
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        if sync_name:
            sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk; file systems that cannot are left to their own ways."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file for people and programs, whole or not at all."""
    write_text(path, json_text(value))


def read_json(path: Path, missing: str, remedy: str) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path
        Of the file.
    missing
        What to do where there is no such file: the rest of the message.
    remedy
        What to do where it is damaged.

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If it cannot be read, or is no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: not found{missing}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); {remedy}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: is no JSON object; {remedy}")
    return content


def json_text(value: Any) -> str:
    """Return the text of a JSON file as it is written."""
    return json.dumps(value, indent=1) + "\n"


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: sorted names, no spaces, no NaN.

    >>> canonical({"b": (1, 2), "a": 0.5})
    '{"a":0.5,"b":[1,2]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
