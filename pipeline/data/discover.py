"""Finding the videos of a manifest: which layout is there, and what belongs to each video."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from unicodedata import normalize

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.schema import MOST_BYTES
from pipeline.data.manifest import Manifest
from pipeline.data.manifestfile import (
    Expected,
    Group,
    Layout,
    ManifestFile,
    TruthSpec,
    manifest_path,
    read_manifest,
)
from pipeline.data.path_patterns import Match, check_relative, extract, fill, find
from pipeline.data.truth.truth import Sibling, TruthFile, VideoTruth
from pipeline.data.video.folder import natural
from pipeline.data.video.video import Video


@dataclass(frozen=True)
class FoundGroup:
    """The videos of one group with their names, in natural order."""

    split: str
    group: Group
    names: tuple[str, ...]
    matches: tuple[Match, ...]


def load_manifest(path_or_name: str | Path, data: Path) -> Manifest:
    """Read a manifest and find its videos below ``data``.

    Parameters
    ----------
    path_or_name : str or Path
        ``ped2``, or the path of a YAML file.
    data : Path
        The folder of the data set.

    Raises
    ------
    ConfigurationError
        The manifest is wrong.
    DataError
        The videos are not there, or not all of them.
    """
    return find_layout(read_manifest(path_or_name), manifest_path(path_or_name), Path(data))


def find_layout(manifest: ManifestFile, path: Path, data: Path) -> Manifest:
    """Return the manifest with the videos of the first layout that is there.

    Raises
    ------
    DataError
        No layout is complete; the message says what was looked for and what was found.
    """
    if not data.is_dir():
        raise DataError(
            f"{data}: folder not found; set DATA to the folder of {manifest.title or manifest.name}"
        )
    tried: list[tuple[int, str]] = []
    for prefix in manifest.roots:
        root = data / prefix
        for layout in manifest.layouts:
            groups = _search(layout, root, path)
            missing = [found for found in groups if not found.names and not found.group.optional]
            if not missing:
                return _manifest(manifest, path, root, layout, groups)
            there = sum(len(found.names) for found in groups)
            first = missing[0]
            tried.append(
                (
                    there,
                    f"layout {layout.name!r} in {root}: {there} videos, but none of split "
                    f"{first.split} at {first.group.videos}",
                )
            )
    lines = [text for there, text in tried if there] or [text for _, text in tried]
    raise DataError(
        f"{data}: {manifest.name} is not complete there: {'; '.join(lines[:4])}. "
        f"Set DATA to its folder, or see {path} for the layouts that are read"
    )


def _search(layout: Layout, root: Path, path: Path) -> list[FoundGroup]:
    return [
        _find_group(split, group, root, path)
        for split, groups in layout.splits.items()
        for group in groups
    ]


def _find_group(split: str, group: Group, root: Path, path: Path) -> FoundGroup:
    where = f"{path}: {split}"
    named: dict[str, Match] = {}
    for match in find(group.videos, root, where):
        name = normalize("NFC", fill(group.name, match.fields, f"{where}: name: "))
        if name in named:
            raise DataError(
                f"{match.path}: has the name {name!r}, as has {named[name].path}; rename one"
            )
        named[name] = match
    if group.names and named:
        wanted = _names(path.parent / group.names)
        missing = [name for name in wanted if name not in named]
        if missing:
            raise DataError(
                f"{root}: {len(missing)} of the {len(wanted)} videos of {group.names} are not "
                f"there, the first is {missing[0]!r} at {group.videos}; get what is missing"
            )
        named = {name: named[name] for name in wanted}
    names = sorted(named, key=natural)
    return FoundGroup(split, group, tuple(names), tuple(named[name] for name in names))


def _names(path: Path) -> list[str]:
    """Read a list of names, one a line."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigurationError(f"{path}: is too large for a list of names")
        names = [
            normalize("NFC", line.strip()) for line in path.read_text(encoding="utf-8").splitlines()
        ]
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{path}: the list of names cannot be read ({error})") from error
    names = [name for name in names if name]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise ConfigurationError(
            f"{path}: {'lists ' + twice[0] + ' twice' if twice else 'is empty'}"
        )
    return names


def _manifest(
    manifest: ManifestFile, path: Path, root: Path, layout: Layout, groups: list[FoundGroup]
) -> Manifest:
    notes = [f"layout {layout.name!r} found in {root}"]
    videos: list[Video] = []
    for found in groups:
        if found.names:
            siblings = _siblings(
                manifest, [other for other in groups if other.split == found.split]
            )
            videos += _videos(manifest, path, root, found, siblings, notes)
    if not any(video.split == "train" for video in videos):
        patterns = " and ".join(found.group.videos for found in groups if found.split == "train")
        raise DataError(f"{root}: no training videos at {patterns}; put normal videos there")
    _check_apart(videos)
    expected: dict[str, Expected] = {**manifest.expected, **layout.expected}
    for split in layout.splits:
        names = [video.name for video in videos if video.split == split]
        wanted = expected[split].videos if split in expected else None
        if names and wanted is not None and wanted != len(names):
            raise DataError(
                f"{root}: split {split} of {manifest.name} has {len(names)} videos, a complete "
                f"download has {wanted}; get what is missing, or take a copy of {path} without "
                "`expected`"
            )
        notes.append(f"{split}: {len(names)} videos")
    return Manifest(
        name=manifest.name,
        title=manifest.title,
        path=path,
        root=root,
        layout=layout.name,
        videos=tuple(videos),
        evaluate=manifest.evaluate,
        settings=asdict(manifest.settings),
        expected=expected,
        source=manifest.source,
        notes=tuple(notes),
    )


def _check_apart(videos: Sequence[Video]) -> None:
    """Raise a DataError if one video is in two splits: nothing tested may be trained on."""
    seen: dict[str, Video] = {}
    for video in videos:
        other = seen.setdefault(os.path.realpath(video.path), video)
        pieces_of_one = other.piece[1] > 1 and other.split == video.split
        if other is not video and not pieces_of_one:
            raise DataError(
                f"{video.path}: is both {other.name} and {video.name}; keep each video in one place"
            )


def _siblings(manifest: ManifestFile, groups: Sequence[FoundGroup]) -> tuple[Sibling, ...]:
    """Return all videos of a split in natural order, as label files count them."""
    siblings = [
        Sibling(name, match.path, found.group.videos.endswith("/"), manifest.frame_count)
        for found in groups
        for name, match in zip(found.names, found.matches, strict=True)
    ]
    siblings.sort(key=lambda sibling: natural(sibling.name))
    for first, second in pairwise(siblings):
        if first.name == second.name:
            raise DataError(
                f"{second.path}: has the name {second.name!r}, as has {first.path}; rename one"
            )
    return tuple(siblings)


def _videos(
    manifest: ManifestFile,
    path: Path,
    root: Path,
    found: FoundGroup,
    siblings: tuple[Sibling, ...],
    notes: list[str],
) -> list[Video]:
    group, images = found.group, found.group.videos.endswith("/")
    where = f"{path}: {found.split}"
    truths = _truths(root, found, siblings, where, notes)
    return [
        Video(
            name=f"{found.split}/{name}{_suffix(piece, group.pieces)}",
            split=found.split,
            path=match.path,
            images=images,
            scene=extract(group.scene, name, "scene", f"{where}: scene")
            if group.scene
            else match.fields.get("scene", ""),
            fps=manifest.fps if images else None,
            frame_count=manifest.frame_count,
            source=truth,
            piece=(piece, group.pieces),
        )
        for name, match, truth in zip(found.names, found.matches, truths, strict=True)
        for piece in range(group.pieces)
    ]


def _suffix(piece: int, pieces: int) -> str:
    return f"-{piece + 1:0{len(str(pieces))}}" if pieces > 1 else ""


def _truths(
    root: Path, found: FoundGroup, siblings: tuple[Sibling, ...], where: str, notes: list[str]
) -> list[VideoTruth | None]:
    """Return the truth of each video: of the first labels and the first pixels that are there."""
    group = found.group
    labels = _first_there(group.labels, root, found, siblings, where)
    pixels = _first_there(group.pixels, root, found, siblings, where)
    if labels is None and pixels is None:
        specs = (*group.labels, *group.pixels)
        if specs and group.unlabelled == "error":
            wanted = root / fill(specs[0].path, _fields(found, 0), f"{where}: path: ")
            raise DataError(
                f"{wanted}: ground truth of split {found.split} not found; download it too, or "
                "take a copy of the manifest with `unlabelled: allowed`"
            )
        if specs:
            notes.append(f"{found.split}: no ground truth found, so no AUC")
        return [None] * len(found.names)
    if pixels is None:
        notes.append(f"{found.split}: no pixel masks, so no RBDC and TBDC")
    nothing = [None] * len(found.names)
    return [
        VideoTruth(labels=one, pixels=other)
        for one, other in zip(labels or nothing, pixels or nothing, strict=True)
    ]


def _fields(found: FoundGroup, place: int) -> dict[str, str]:
    return {**found.matches[place].fields, "name": found.names[place]}


def _there(path: Path) -> Path:
    """Return the path as it lies on disk: one name may be written in two ways in Unicode."""
    for form in ("NFC", "NFD"):
        other = Path(normalize(form, str(path)))  # type: ignore[arg-type]
        if not path.exists() and other.exists():
            return other
    return path


SHARED = ("npy_concatenated", "csv_intervals", "matlab_ranges")
"""Formats in which one file speaks of all videos of its split."""


def _first_there(
    specs: Sequence[TruthSpec],
    root: Path,
    found: FoundGroup,
    siblings: tuple[Sibling, ...],
    where: str,
) -> list[TruthFile] | None:
    """Return the files of the first spec of which any is there; the others must be there too."""
    places = {sibling.name: place for place, sibling in enumerate(siblings)}
    for spec in specs:
        files = []
        for place, name in enumerate(found.names):
            fields = _fields(found, place)
            text = fill(spec.path, fields, f"{where}: path: ")
            if text:
                check_relative(text, where)
            if spec.images:
                fill(spec.images, {**fields, "frame": "0"}, f"{where}: images: ")
            files.append(
                TruthFile(
                    format=spec.format,
                    path=_there(root / text),
                    variable=spec.variable,
                    first_frame=spec.first_frame,
                    past_end=spec.past_end,
                    rate=spec.rate,
                    images=spec.images,
                    root=root,
                    fields=tuple(fields.items()),
                    video=name,
                    place=places[name],
                    siblings=siblings if spec.format in SHARED else (),
                )
            )
        if spec.format == "normal" or any(file.path.exists() for file in files):
            return files
    return None
