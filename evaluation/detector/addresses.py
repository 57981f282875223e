"""What a detector is told to score: files, folders, cameras, addresses; and what of it is shown.

An address may hold a password. Only :attr:`Address.shown` is ever printed or written.
"""

from __future__ import annotations

import os
import re
import unicodedata
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.data.video.folder import IMAGE_SUFFIXES, natural, unreadable
from pipeline.data.video.video import VIDEO_SUFFIXES

HIDDEN = "..."
"""Stands for what is not shown of an address."""


@dataclass(frozen=True)
class Address:
    """One thing to score.

    Attributes
    ----------
    given
        As it was given; for opening it alone.
    shown
        The same without passwords and tokens: for people, files and errors.
    path
        Of a file or a folder of images; None for a camera and a network address.
    label
        What it is called, where its own name does not tell it apart.
    """

    given: str = field(repr=False)
    shown: str
    path: Path | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """A short name for people: a file's, or the address."""
        if self.label:
            return self.label
        return printable(self.path.name or str(self.path)) if self.path else self.shown

    @property
    def folder_name(self) -> str:
        """The name of its folder of results: letters, digits, ``_`` and ``-``."""
        if self.path is not None:
            name = self.path.name if self.path.is_dir() else self.path.stem
        else:
            name = self.shown.rpartition("://")[2]
        name = unicodedata.normalize("NFC", printable(name))
        safe = re.sub(r"[^\w-]+", "-", name).strip("-")
        return safe.encode()[:80].decode(errors="ignore") or "video"

    @property
    def identity(self) -> str | None:
        """What says that two addresses are one recording; None where that cannot be told."""
        if self.path is not None:
            return printable(os.path.realpath(self.path))
        return None


def find_addresses(given: Sequence[str]) -> list[Address]:
    """Return what is to be scored; a folder of videos, or of folders of images, is all of them.

    A file or folder that is there wins over a camera of the same number.

    Raises
    ------
    ConfigurationError
        If nothing is named.
    """
    if not given:
        raise ConfigurationError("videos: none is named")
    return [address for text in given for address in _find(text)]


def _find(text: str) -> list[Address]:
    if text.lower().startswith("file:"):
        text = _path_of(text)
    path = Path(text)
    if os.path.lexists(path):
        inside = _inside(path) if path.is_dir() else []
        return [Address(str(one), printable(one), one) for one in inside or [path]]
    if re.fullmatch("[0-9]+", text):
        return [Address(text, f"camera-{int(text)}")]
    if "://" in text:
        return [Address(text, redacted(text))]
    return [Address(text, printable(text), path)]  # not there: opening it says so


def _path_of(url: str) -> str:
    """Return the path of a ``file:`` URL.

    >>> _path_of("file:///videos/a%20b.mp4")
    '/videos/a b.mp4'
    """
    parts = urllib.parse.urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise ConfigurationError(f"{url}: a file of another machine; copy it here")
    return urllib.parse.unquote(url.partition(":")[2].removeprefix(f"//{parts.netloc}"))


def _inside(folder: Path) -> list[Path]:
    """Return the videos and the folders of images in a folder; none if it holds images itself."""
    found = _children(folder)
    videos = [path for path in found if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    if not videos and _holds_images(folder):
        return []
    return sorted([*videos, *filter(_holds_images, found)], key=lambda path: natural(path.name))


def _children(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise unreadable(folder, error) from error


def _holds_images(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        return any(path.suffix.lower() in IMAGE_SUFFIXES for path in _children(folder))
    except DataError:
        return False


def printable(text: str | Path) -> str:
    """Return a path as text that any file and terminal takes, whatever bytes its name has."""
    return os.fsencode(text).decode("utf-8", "replace")


def redacted(url: str) -> str:
    """Return a network address without user, password, query and values within its path.

    A password may hold any sign, so all before the last @ goes.

    >>> redacted("rtsp://admin:pa#s@s/w?rd@gate:554/live/1?token=x")
    'rtsp://gate:554/live/1?...'
    >>> redacted("rtsp://gate/user=admin_password=x_channel=1.sdp")
    'rtsp://gate/user=...'
    """
    scheme, _, rest = url.partition("://")
    path, *query = re.split("[?#]", rest.rpartition("@")[2], maxsplit=1)
    path = re.sub("=[^/]*", f"={HIDDEN}", path)
    return f"{scheme}://{path}{f'?{HIDDEN}' if query else ''}"
