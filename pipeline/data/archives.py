"""Unpacking archives that somebody else made: below the given folder, or not at all."""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

from pipeline.base.errors import DataError

DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
)


def unpack(archive: Path, into: Path) -> int:
    """Unpack a tar (of any compression) or zip archive and return the number of files.

    It is unpacked beside its place first and moved there when it is whole, so that an
    interrupted or damaged archive leaves nothing half done. Files that are there already
    are replaced, others stay.

    Raises
    ------
    DataError
        The archive is damaged, of another kind, or has members that leave the folder, are
        links out of it, or are no files.
    """
    into.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=into))
    try:
        _extract(archive, temporary)
        files = [path for path in temporary.rglob("*") if not path.is_dir()]
        for path in files:
            target = into / path.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        return len(files)
    except DAMAGED as error:
        raise DataError(
            f"{archive}: is damaged or unsafe ({error}); nothing of it was kept. Remove it and "
            "download it again"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _extract(archive: Path, into: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as content:
            for member in content.infolist():
                _check_zip_member(member)
            content.extractall(into)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as content:
            for entry in content:
                _extract_tar_member(content, entry, into)
            # The checksum of a compressed archive is compared only at its very end.
            while content.fileobj is not None and content.fileobj.read(2**20):
                pass
    else:
        raise DataError(f"{archive}: is neither a tar nor a zip archive; download it again")


def _check_name(name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise tarfile.TarError(f"member {name!r} leaves the folder")


def _extract_tar_member(content: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    """Write a member as a plain file or folder, never as a link.

    Python before 3.11.4 cannot be told to refuse what is unsafe. Here nothing unsafe can arise:
    no link is made, so that no later member can be written through one. A link to a file of the
    archive becomes that file's content.
    """
    _check_name(member.name)
    target = into / member.name
    try:
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            return
        source = content.extractfile(member)
        target.parent.mkdir(parents=True, exist_ok=True)
    except (KeyError, RecursionError):  # a link to nothing, or to itself
        source = None
    except (FileExistsError, NotADirectoryError):
        raise tarfile.TarError(f"member {member.name!r} is both a file and a folder") from None
    if source is None:
        raise tarfile.TarError(f"member {member.name!r} is a link to elsewhere, or no file")
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 2**20)


def _check_zip_member(member: zipfile.ZipInfo) -> None:
    # zipfile strips what leaves the folder in silence; such an archive is refused instead.
    _check_name(member.filename)
    if stat.S_ISLNK(member.external_attr >> 16):
        raise zipfile.BadZipFile(f"member {member.filename!r} is a link")
