"""A store: a folder of shards at any address that fsspec opens, for others to take.

It is laid out as a cache is, but for one thing::

    STORE/ped2/inpaint/3f9c2a1b77d0/recipe.json
                                   /train/01-8d0c1f3a/00000.4be1c09d2f61a7d3.h5   00000.json

A shard's file carries the beginning of its SHA-256 in its name. So two who push the same shard at
once, whose bytes may differ where a network computed it, never mix the file of one with the
record of the other. The record goes last: without it there is no shard.

How a store is entered (keys, passwords) is the business of its own library and of environment
variables, never of an address.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.base.errors import ConfigurationError, MachineError
from pipeline.base.files import TEMPORARY

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

#: A shard's place below a cache: data set, stage, key, split, video and number.
Place = PurePosixPath
RECORD = re.compile(r"(?:[^/]+/){5}\d{5}\.json")
FILE = re.compile(r"(?:[^/]+/){5}\d{5}\.[0-9a-f]{16}\.h5")
#: Kinds of store where a file that is being written has its name already.
NAMED_AT_ONCE = {"file", "local", "sftp", "ssh", "smb"}


@dataclass(frozen=True)
class Store:
    """A folder at an fsspec address."""

    files: AbstractFileSystem
    root: str
    address: str

    def path(self, place: Place | str) -> str:
        """Return the store's own name of a file."""
        return f"{self.root}/{place}"

    def listing(self, below: Iterable[str] = ("",)) -> dict[Place, int]:
        """Return the files of some folders (all of the store by default), and their bytes."""
        sizes: dict[Place, int] = {}
        for folder in below:
            where = self.path(folder).rstrip("/")
            for name, facts in self.files.find(where, detail=True).items():
                place = Place(name[name.index(self.root) + len(self.root) :].strip("/"))
                if ".." not in place.parts:
                    sizes[place] = int(facts["size"])
        return sizes

    def write(self, place: Place, content: bytes) -> None:
        """Write a small file, whole or not at all: object stores do that, others rename."""
        kinds = self.files.protocol
        if NAMED_AT_ONCE.isdisjoint((kinds,) if isinstance(kinds, str) else kinds):
            self.files.pipe_file(self.path(place), content)
            return
        temporary = self.path(place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}{TEMPORARY}"))
        self.files.pipe_file(temporary, content)
        self.files.mv(temporary, self.path(place))


def open_store(address: str) -> Store:
    """Open a store.

    Raises
    ------
    ConfigurationError
        If the address holds a password, or fsspec does not know its kind or lacks its library.
    """
    parts = urlsplit(address) if "://" in address else None
    if parts is not None and parts.password is not None:
        raise ConfigurationError(
            f"remote: {parts.scheme}://{parts.hostname}: a password in an address ends up in logs; "
            "leave it out, and give it by the store's own means (docs/sharing.md)"
        )
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"remote: {address}: {error}; `pip install 'pseudo-anomaly[remote]'` brings s3, gs and "
            "ssh"
        ) from error
    except OSError as error:
        raise MachineError(f"remote: {address}: cannot be reached ({error})") from error
    return Store(files, str(root).rstrip("/"), address)


def committed(listing: Iterable[Place]) -> set[Place]:
    """Return the shards of a listing that have a record and a file."""
    names = [str(place) for place in listing]
    files = {name[: -len(".0123456789abcdef.h5")] for name in names if FILE.fullmatch(name)}
    return {Place(n[:-5]) for n in names if RECORD.fullmatch(n) and n[:-5] in files}


@contextlib.contextmanager
def reaching(store: Store) -> Iterator[None]:
    """Say plainly that a store cannot be reached, whatever its library raises."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ImportError) as error:
        raise MachineError(f"remote: {store.address}: cannot be reached ({error})") from error
