"""Archives unpack whole below their folder or leave nothing behind."""

import io
import stat
import tarfile
import zipfile

import pytest

from pipeline.base.errors import DataError
from pipeline.data.archives import unpack


def make_tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            if content is None:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content or b"/etc/passwd")
    return path


MAKERS = pytest.mark.parametrize("make", [make_tar, make_zip])


@MAKERS
def test_files_arrive_beside_what_is_there(tmp_path, make):
    archive = make(tmp_path / "a", {"top/sub/1.txt": b"one", "top/2.txt": b"two"})
    into = tmp_path / "data"
    (into / "top").mkdir(parents=True)
    (into / "top/2.txt").write_bytes(b"old")
    (into / "top/3.txt").write_bytes(b"kept")
    assert unpack(archive, into) == 2
    found = {p.relative_to(into).as_posix(): p.read_bytes() for p in into.rglob("*.txt")}
    assert found == {"top/sub/1.txt": b"one", "top/2.txt": b"two", "top/3.txt": b"kept"}
    assert not list(into.glob(".unpacking-*"))


@MAKERS
@pytest.mark.parametrize("name", ["../outside.txt", "a/../../outside.txt", "link"])
def test_members_that_leave_the_folder(tmp_path, make, name):
    archive = make(tmp_path / "a", {"fine.txt": b"x", name: None if name == "link" else b"x"})
    with pytest.raises(DataError, match="damaged or unsafe"):
        unpack(archive, tmp_path / "data")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "data"]


def make_links(path, kind, target):
    with tarfile.open(path, "w") as archive:
        for name, content in (("a/1.txt", b"one"), ("a/2.txt", None), ("a/3.txt", b"three")):
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = kind, target
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content or b""))
    return path


@pytest.mark.parametrize("kind, target", [(tarfile.SYMTYPE, "1.txt"), (tarfile.LNKTYPE, "a/1.txt")])
def test_a_link_inside_a_tar_becomes_the_file_it_names(tmp_path, kind, target):
    into = tmp_path / "data"
    assert unpack(make_links(tmp_path / "a", kind, target), into) == 3
    assert (into / "a/2.txt").read_bytes() == b"one"
    assert not any(path.is_symlink() for path in into.rglob("*"))


@pytest.mark.parametrize(
    "kind, target",
    [
        (tarfile.SYMTYPE, "../../outside"),
        (tarfile.SYMTYPE, "/etc"),
        (tarfile.SYMTYPE, "2.txt"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.CHRTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_other_members_of_a_tar_are_refused(tmp_path, kind, target):
    with pytest.raises(DataError, match="damaged or unsafe"):
        unpack(make_links(tmp_path / "a", kind, target), tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


@MAKERS
def test_damaged(tmp_path, make):
    content = bytes(range(256)) * 400
    archive = make(tmp_path / "a", {f"{n}.bin": content + bytes([n]) for n in range(5)})
    whole = archive.read_bytes()
    middle = len(whole) // 2
    archive.write_bytes(whole[:middle] + b"\xff" * 64 + whole[middle + 64 :])
    with pytest.raises(DataError, match="a: is damaged"):
        unpack(archive, tmp_path / "data")
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="a: is"):
        unpack(archive, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_another_kind(tmp_path):
    (tmp_path / "a").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="neither a tar nor a zip"):
        unpack(tmp_path / "a", tmp_path / "data")
