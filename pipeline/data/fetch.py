"""``python -m pipeline fetch ped2``: get a data set, or say where to get it, and check it.

What may be downloaded stands in the manifest's ``source``: addresses with the SHA-256
that the files must have. Where that is not known, the instructions are printed and what
was put there by hand is checked. Licence and citation are always printed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.base.environment import cores
from pipeline.base.errors import DataError, MachineError
from pipeline.base.files import sha256_of_file
from pipeline.base.progress import progress_bar
from pipeline.data.archives import unpack
from pipeline.data.discover import load_manifest
from pipeline.data.manifest import Manifest
from pipeline.data.manifestfile import ManifestFile, Source, SourceFile, read_manifest
from pipeline.data.video.video import Video, VideoFacts

#: Bytes at once; pooch's own 1024 makes a fast network slow.
CHUNK = 2**20


def fetch(dataset: str, data: Path | None = None) -> None:
    """Download a data set where its address and hash are known, else say where to get it.

    What is in the folder is checked in any case: layout, every video, every label, counts.

    Args:
        dataset: ped2, avenue, shanghaitech, ubnormal, or a manifest's path.
        data: Its folder, the DATA of the other commands; by default data/NAME.
    """
    manifest = read_manifest(dataset)
    folder = Path("data") / manifest.name if data is None else data
    print(terms(manifest))
    problem = problem_with(dataset, folder)
    if problem is not None:
        if not downloadable(manifest.source):
            raise DataError(_by_hand(manifest, folder, problem))
        for file in manifest.source.files:
            obtain(file, folder)
        problem = problem_with(dataset, folder)
    if problem is not None:
        raise DataError(f"{problem} (downloaded from {manifest.source.address})")
    print(f"{folder} is complete; run next: make {manifest.name} DATA={folder}")


def terms(manifest: ManifestFile) -> str:
    """Return a data set's name, licence, citation and address, for people."""
    source = manifest.source
    return "\n".join(
        [
            manifest.title or manifest.name,
            f"  licence:  {source.licence or 'not stated'}",
            f"  cite:     {source.citation or 'nothing stated'}",
            f"  from:     {source.address or 'no address'}",
        ]
    )


def downloadable(source: Source) -> bool:
    """Tell whether every file of a data set has an address and a hash."""
    return bool(source.files) and all(file.url and file.sha256 for file in source.files)


def problem_with(dataset: str, folder: Path) -> str | None:
    """Check a data set from end to end; return what is wrong with it, or None.

    Every video is decoded, every label read, and the counts compared with the manifest's.
    """
    try:
        manifest = load_manifest(dataset, folder)
        facts = _probe(manifest.videos)
        manifest.check_counts(
            {name: fact.frames for name, fact in facts.items()},
            {name: fact.anomalous for name, fact in facts.items()},
        )
    except DataError as error:
        return str(error)
    print(_found(manifest, facts))
    return None


def _probe(videos: Sequence[Video]) -> dict[str, VideoFacts]:
    with (
        progress_bar(len(videos), "check") as bar,
        ThreadPoolExecutor(cores()) as pool,
    ):

        def probe(video: Video) -> VideoFacts:
            facts = video.probe()
            bar.update()
            return facts

        return dict(zip((v.name for v in videos), pool.map(probe, videos), strict=True))


def _found(manifest: Manifest, facts: dict[str, VideoFacts]) -> str:
    lines = [f"{manifest.root}: layout {manifest.layout}"]
    for split in dict.fromkeys(video.split for video in manifest.videos):
        names = [video.name for video in manifest.select(split)]
        frames = sum(facts[name].frames for name in names)
        anomalous = [facts[name].anomalous for name in names]
        labels = "" if None in anomalous else f", {sum(filter(None, anomalous))} anomalous"
        lines.append(f"  {split}: {len(names)} videos, {frames} frames{labels}")
    return "\n".join(lines)


def obtain(file: SourceFile, folder: Path) -> Path:
    """Download one file unless it is there with the right hash, unpack it, return its path.

    Raises
    ------
    DataError
        What the address gave has another hash, or cannot be unpacked.
    MachineError
        The address did not answer.
    """
    path = folder / (file.path or file.url.rpartition("/")[2])
    if not path.is_file() or sha256_of_file(path) != file.sha256:
        _download(file, path)
    if file.unpack:
        count = unpack(path, folder / file.unpack)
        print(f"{path}: {count} files unpacked; it may be removed")
    return path


def _download(file: SourceFile, path: Path) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        with progress_bar(0, path.name) as bar:
            bar.unit, bar.unit_scale = "B", True
            pooch.retrieve(
                file.url,
                f"sha256:{file.sha256}",
                fname=path.name,
                path=path.parent,
                downloader=pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK),
            )
    except requests.exceptions.RequestException as error:
        raise MachineError(
            f"{file.url}: cannot be downloaded ({_reason(error)}); try again later, or download "
            f"it by other means to {path} and run the same command"
        ) from None
    except ValueError:
        raise DataError(
            f"{file.url}: gave a file whose SHA-256 is not {file.sha256}; it was damaged on its "
            "way or changed at its source, and was not kept. Try again; if that gives the same, "
            "compare with the data set's page"
        ) from None


def _reason(error: Exception) -> str:
    """Return a short reason; what requests says of a missing name is five lines long."""
    response = getattr(error, "response", None)
    return type(error).__name__ if response is None else f"HTTP status {response.status_code}"


def _by_hand(manifest: ManifestFile, folder: Path, problem: str) -> str:
    return (
        f"{problem}. It cannot be downloaded by itself, since no file with a known hash is "
        f"published. {manifest.source.instructions or 'Its manifest has no instructions'} "
        f"(address: {manifest.source.address or 'none'}; here DATA={folder}). Then run the same "
        "command again to check it"
    )
