"""Data sets are downloaded from known addresses with known hashes, and always checked."""

import functools
import hashlib
import http.server
import tarfile
import threading

import numpy as np
import pytest
import yaml

from pipeline.base.errors import ConfigurationError, DataError, MachineError
from pipeline.data import fetch as fetching
from pipeline.data.manifestfile import FOLDER, read_manifest
from tests.pipeline.data.filmed import moving, write_images


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        self.server.requested.append(self.path)


@pytest.fixture
def server(tmp_path):
    """A server on loopback with one archive of a data set like Ped2; (address, requests)."""
    content, root = tmp_path / "content/Tiny/v1", tmp_path / "www"
    root.mkdir()
    for number in range(2):
        write_images(content / f"Train/Train{number:03d}", moving(20, seed=number))
    write_images(content / "Test/Test001", moving(18, seed=9))
    labels = np.zeros(18, np.uint8)
    labels[5:9] = 1
    np.save(content / "Test/labels.npy", labels)
    with tarfile.open(root / "tiny.tar.gz", "w:gz") as archive:
        archive.add(content.parent, "Tiny")
    handler = functools.partial(Handler, directory=str(root))
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    web.requested = []
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{web.server_port}", web.requested, root / "tiny.tar.gz"
    web.shutdown()
    web.server_close()
    thread.join()


def write_manifest(tmp_path, files=(), **changes):
    manifest = {
        "name": "tiny",
        "title": "Tiny Pedestrian",
        "roots": [".", "Tiny/v1"],
        "layouts": [
            {
                "name": "original download",
                "splits": {
                    "train": {"videos": "Train/Train{name:d}/"},
                    "test": {
                        "videos": "Test/Test{name:d}/",
                        "labels": {"format": "npy", "path": "Test/labels.npy"},
                    },
                },
            }
        ],
        "expected": {
            "train": {"videos": 2, "frames": 40},
            "test": {"videos": 1, "frames": 18, "anomalous": 4},
        },
        "source": {
            "address": "http://example.org/tiny",
            "licence": "CC BY 4.0",
            "citation": "T. Iny, Small Things, 2020",
            "instructions": "Fill in the form on that page, unpack tiny.tar.gz.",
            "files": list(files),
        },
    }
    manifest |= changes
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(manifest))
    return str(path)


def entry(address, archive, **changes):
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return {"url": f"{address}/tiny.tar.gz", "sha256": digest, "unpack": "."} | changes


def test_downloads_unpacks_checks_and_does_nothing_twice(tmp_path, server, capsys):
    address, requests, archive = server
    manifest, data = write_manifest(tmp_path, [entry(address, archive)]), tmp_path / "data/tiny"
    fetching.fetch(manifest, data)
    out = capsys.readouterr().out
    for part in ("CC BY 4.0", "T. Iny", "http://example.org/tiny", "layout original download"):
        assert part in out
    assert "train: 2 videos, 40 frames" in out
    assert "test: 1 videos, 18 frames, 4 anomalous" in out
    assert "make tiny DATA=" in out
    assert len(requests) == 1
    fetching.fetch(manifest, data)
    assert len(requests) == 1
    assert "is complete" in capsys.readouterr().out


def test_a_damaged_copy_is_made_whole_from_the_archive(tmp_path, server):
    address, requests, archive = server
    manifest, data = write_manifest(tmp_path, [entry(address, archive)]), tmp_path / "data"
    fetching.fetch(manifest, data)
    (data / "Tiny/v1/Train/Train001/004.png").unlink()
    assert "number 4 is missing" in fetching.problem_with(manifest, data)
    fetching.fetch(manifest, data)
    assert len(requests) == 1, "the archive that is there has the right hash"
    assert fetching.problem_with(manifest, data) is None


def test_another_file_than_promised_is_not_kept(tmp_path, server):
    address, _, archive = server
    wrong = entry(address, archive, sha256="0" * 64)
    data = tmp_path / "data"
    with pytest.raises(DataError, match=r"tiny\.tar\.gz: gave a file whose SHA-256 is not 0000"):
        fetching.fetch(write_manifest(tmp_path, [wrong]), data)
    assert not list(data.rglob("*.png"))
    assert not list(data.glob("tiny*"))


def test_address_that_does_not_answer(tmp_path, server):
    address, _, archive = server
    for url in (f"{address}/gone.tar.gz", "http://127.0.0.1:9/tiny.tar.gz"):
        manifest = write_manifest(tmp_path, [entry(address, archive, url=url)])
        with pytest.raises(MachineError, match=r"download it by other means to .*data/"):
            fetching.fetch(manifest, tmp_path / "data")


def test_a_file_put_there_by_other_means_is_taken(tmp_path, server):
    address, requests, archive = server
    data = tmp_path / "data"
    data.mkdir()
    (data / "tiny.tar.gz").write_bytes(archive.read_bytes())
    gone = entry(address, archive, url="http://127.0.0.1:9/tiny.tar.gz")
    fetching.fetch(write_manifest(tmp_path, [gone]), data)
    assert requests == []


@pytest.mark.parametrize("known", ["nothing", "address alone"])
def test_without_a_known_hash_it_says_where_to_get_it(tmp_path, server, known, capsys):
    address, requests, archive = server
    files = [] if known == "nothing" else [entry(address, archive, sha256="")]
    manifest, data = write_manifest(tmp_path, files), tmp_path / "data"
    with pytest.raises(DataError) as caught:
        fetching.fetch(manifest, data)
    for part in ("Fill in the form", "http://example.org/tiny", str(data)):
        assert part in str(caught.value)
    assert "CC BY 4.0" in capsys.readouterr().out
    assert requests == []
    with tarfile.open(archive) as content:
        content.extractall(data, filter="data")
    fetching.fetch(manifest, data)
    assert "is complete" in capsys.readouterr().out


def test_wrong_counts_are_told(tmp_path, server):
    address, _, archive = server
    expected = {"train": {"videos": 2, "frames": 41}}
    manifest = write_manifest(tmp_path, [entry(address, archive)], expected=expected)
    with pytest.raises(DataError, match="has 40 frames, a complete download has 41"):
        fetching.fetch(manifest, tmp_path / "data")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "file:///etc/passwd"}, "not of http or https"),
        ({"sha256": "abc"}, "64 hexadecimal"),
        ({"path": "../x.zip"}, "leaves the data folder"),
        ({"unpack": "/tmp"}, "leaves the data folder"),
    ],
)
def test_manifests_that_reach_too_far(tmp_path, server, changes, message):
    address, _, archive = server
    manifest = write_manifest(tmp_path, [entry(address, archive, **changes)])
    with pytest.raises(ConfigurationError, match=message):
        fetching.fetch(manifest, tmp_path / "data")


def test_every_manifest_says_its_terms():
    for path in FOLDER.glob("*.yaml"):
        manifest = read_manifest(path.stem)
        if path.stem == "custom":
            continue
        text = fetching.terms(manifest)
        assert manifest.title in text
        assert manifest.source.licence
        assert manifest.source.instructions
        for file in manifest.source.files:
            assert len(file.sha256) == 64
            assert file.unpack
    assert fetching.downloadable(read_manifest("ped2").source)
    assert not fetching.downloadable(read_manifest("ubnormal").source)
