"""A manifest for a user's own folders: ``make new NAME=gate NORMAL=/videos/normal``.

Normal videos and test videos may be files, folders of numbered images, or one of them;
labels may be a CSV of intervals, ``.npy`` files or mask images. What is found is checked
from end to end and told.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.progress import progress_bar
from pipeline.base.schema import build
from pipeline.data.discover import find_layout
from pipeline.data.manifest import Manifest
from pipeline.data.manifestfile import ManifestFile, check
from pipeline.data.truth.labels import load_array
from pipeline.data.video.folder import IMAGE_SUFFIXES, unreadable
from pipeline.data.video.video import VIDEO_SUFFIXES, Video, VideoFacts

#: What a single normal video is cut into, and what a part must have to be worth it.
PIECES = 8
PIECE_FRAMES = 64


@dataclass(frozen=True)
class NewManifest:
    """A manifest that was made.

    Attributes
    ----------
    text : str
        The YAML file.
    data : Path
        The folder to give as DATA.
    findings : tuple of str
        What was found, line by line.
    commands : tuple of str
        What to run next.
    """

    text: str
    data: Path
    findings: tuple[str, ...]
    commands: tuple[str, ...]


def new_manifest(
    name: str,
    normal: Path,
    test: Path | None = None,
    labels: Path | None = None,
    label_rate: float | None = None,
) -> NewManifest:
    """Describe a user's folders as a manifest, reading every video to its end.

    Parameters
    ----------
    name : str
        Of the data set.
    normal : Path
        A video, a folder of videos, a folder of image folders, or a folder of images, in
        which all is normal.
    test : Path, optional
        Likewise, to be scored.
    labels : Path, optional
        Ground truth of the test videos: a ``.csv`` (video, first, last; from 0), a ``.npy``
        for all of them, or a folder of ``NAME.npy`` or of mask folders ``NAME/``.
    label_rate : float, optional
        Labels a second, where they are counted in time and not in frames that decode.

    Raises
    ------
    ConfigurationError
        The request makes no sense.
    DataError
        A video or label file is damaged, or they do not fit.
    """
    if labels is not None and test is None:
        raise ConfigurationError("labels: there are no test videos for them; give TEST too")
    given = [path.absolute() for path in (normal, test, labels) if path is not None]
    for path in given:
        if not path.exists():
            raise DataError(f"{path}: not found; check NORMAL, TEST and LABELS")
    folders = [path if path.is_dir() else path.parent for path in given]
    data = Path(os.path.commonpath(folders))
    splits: dict[str, Any] = {"train": groups(given[0], data), "test": []}
    if test is not None:
        splits["test"] = groups(given[1], data)
        labelling = truth(given[2], data, label_rate) if labels is not None else {}
        for group in splits["test"]:
            group.update(labelling)
    else:
        splits["test"] = [{"videos": "test/{name}.{video}", "optional": True}]
    content: dict[str, Any] = {
        "name": name,
        "title": f"own videos {name}",
        "evaluate": "test",
        "data": str(data),
        "layouts": [{"name": "own", "splits": splits}],
    }
    file = build(ManifestFile, content, name)
    check(file, name)
    manifest = find_layout(file, Path(f"{name}.yaml"), data)
    return describe(content, manifest, data, labels is not None, (normal, test, labels))


def describe(
    content: dict[str, Any],
    manifest: Manifest,
    data: Path,
    labelled: bool,
    given: tuple[Path | None, Path | None, Path | None],
) -> NewManifest:
    """Read every video of a manifest to its end, and say what was found.

    Parameters
    ----------
    content : dict
        The manifest's fields; those that what was found asks for are added.
    manifest : Manifest
        What they find below ``data``.
    labelled : bool
        Whether there are labels.
    given : tuple
        NORMAL, TEST and LABELS as they were given.
    """
    facts, loose = _probe(manifest.videos)
    if loose:
        content["frame_count"] = "decoded"
    left = [line for path in given[:2] if path for line in _left_out(path.absolute(), set(given))]
    cut = _cut(manifest, facts, content["layouts"][0]["splits"]["train"])
    told = dict.fromkeys(
        f"warning: {video.path}: {one}"
        for video in manifest.videos
        for one in facts[video.name].remarks()
    )
    findings = (*_findings(manifest, facts, labelled), *cut, *left, *loose, *told)
    commands = (f"make {content['name']} DATA={_quoted(data)} PRESET=quick",)
    return NewManifest(_text(content, findings, commands), data, findings, commands)


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))


def _relative(path: Path, data: Path) -> str:
    text = path.relative_to(data).as_posix()
    if "{" in text or "}" in text:
        raise DataError(f"{path}: braces in a path stand for fields of a manifest; rename it")
    return text


def _list(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise unreadable(folder, error) from error


def _has(folder: Path, suffixes: tuple[str, ...]) -> bool:
    return any(path.suffix.lower() in suffixes for path in _list(folder))


def groups(path: Path, data: Path) -> list[dict[str, Any]]:
    """Describe where videos lie: one file, one image folder, files, image folders, or both."""
    where = _relative(path, data)
    if path.is_file():
        return [{"videos": where, "name": path.stem}]
    if _is_image_folder(path):
        return [{"videos": f"{where}/", "name": path.name}]
    prefix = "" if where == "." else f"{where}/"
    groups: list[dict[str, Any]] = []
    if _has(path, VIDEO_SUFFIXES):
        groups.append({"videos": prefix + "{name}.{video}"})
    holding = [child for child in _list(path) if child.is_dir() and _has(child, IMAGE_SUFFIXES)]
    folders = [child for child in holding if _is_image_folder(child)]
    if folders and folders == holding:
        groups.append({"videos": prefix + "{name}/"})
    else:  # name them one by one: a folder of videos with snapshots beside them is none
        groups += [{"videos": f"{_relative(one, data)}/", "name": one.name} for one in folders]
    if not groups:
        raise DataError(
            f"{path}: holds neither videos ({', '.join(VIDEO_SUFFIXES[:4])} ...) nor folders of "
            f"images ({', '.join(IMAGE_SUFFIXES)}); check NORMAL and TEST"
        )
    return groups


def _is_image_folder(path: Path) -> bool:
    """Return whether its images are the frames of one video: where videos are, they win."""
    return _has(path, IMAGE_SUFFIXES) and not _has(path, VIDEO_SUFFIXES)


def _left_out(path: Path, known: set[Path | None]) -> list[str]:
    """Say which entries of a folder are neither videos nor folders of images."""
    if path.is_file() or _is_image_folder(path):
        return []
    named = {other.absolute() for other in known if other is not None}
    left = [
        child.name
        for child in _list(path)
        if child not in named
        and child.suffix.lower() not in VIDEO_SUFFIXES
        and not (child.is_dir() and _is_image_folder(child))
    ]
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    return [f"left out of {path}: {', '.join(left[:3])}{more}"] if left else []


def truth(path: Path, data: Path, rate: float | None = None) -> dict[str, Any]:
    """Describe labels: their kind, format and place, and how many a second if by time."""
    kind, spec = _truth(path, data)
    return {kind: spec if rate is None else spec | {"rate": rate}}


def _truth(path: Path, data: Path) -> tuple[str, dict[str, Any]]:
    where = _relative(path, data)
    if path.is_dir():
        arrays = [child for child in _list(path) if child.suffix == ".npy"]
        if arrays:
            kind = "pixels" if load_array(arrays[0]).ndim == 3 else "labels"
            return kind, {"format": "npy", "path": where + "/{name}.npy"}
        if any(child.is_dir() for child in _list(path)):
            return "pixels", {"format": "mask_images", "path": where + "/{name}/"}
    elif path.suffix.lower() == ".csv":
        return "labels", {"format": "csv_intervals", "path": where}
    elif path.suffix == ".npy":
        return "labels", {"format": "npy_concatenated", "path": where}
    raise DataError(
        f"{path}: is no label format that is read: a .csv of video,first,last, a .npy, a folder "
        "of NAME.npy, or a folder of mask folders NAME/"
    )


def _probe(videos: Iterable[Video]) -> tuple[dict[str, VideoFacts], list[str]]:
    """Probe each video; where only the header's count is wrong, say so and go on."""
    facts: dict[str, VideoFacts] = {}
    loose = []
    videos = list(videos)
    with progress_bar(len(videos), "probe") as bar:
        for video in videos:
            try:
                facts[video.name] = video.probe()
            except DataError as error:
                if "frame_count: decoded" not in str(error):
                    raise
                facts[video.name] = _decoded(video).probe()
                loose.append(f"taken as it decodes: {str(error).split(': it is')[0]}")
            bar.update()
    return facts, loose


def _decoded(video: Video) -> Video:
    from dataclasses import replace

    return replace(video, frame_count="decoded")


def _findings(manifest: Manifest, facts: dict[str, VideoFacts], labelled: bool) -> tuple[str, ...]:
    lines = []
    for split in ("train", "test"):
        found = [facts[video.name] for video in manifest.select(split)]
        if not found:
            lines.append(f"{split}: no videos; score some later with python -m evaluation detect")
            continue
        sizes = Counter(f"{one.width}x{one.height}" for one in found)
        rates = Counter("unknown" if one.fps is None else f"{one.fps:g}" for one in found)
        lines.append(
            f"{split}: {len(found)} video{'s' * (len(found) > 1)}, "
            f"{sum(one.frames for one in found)} frames, {', '.join(sizes)} pixels, "
            f"{', '.join(rates)} frames a second"
        )
    anomalous = [one.anomalous for one in facts.values() if one.anomalous is not None]
    total = sum(one.frames for one in facts.values() if one.anomalous is not None)
    if not labelled:
        lines.append("labels: none, so scores and events but no AUC")
    else:
        lines.append(f"labels: {sum(anomalous)} of {total} frames anomalous")
        if sum(anomalous) in (0, total):
            lines.append("labels are of one class only: the AUC is undefined")
    return tuple(lines)


def _cut(
    manifest: Manifest, facts: dict[str, VideoFacts], described: list[dict[str, Any]]
) -> list[str]:
    """Let a single normal video count as several, so that a part of it can be held out."""
    found = manifest.select("train")
    if len(found) > 1:
        return []
    pieces = min(PIECES, facts[found[0].name].frames // PIECE_FRAMES)
    if pieces < 2:
        return [
            "train: of one video this short none can be held out to set scales and thresholds on; "
            f"record more: {2 * PIECE_FRAMES} frames at least, better an hour"
        ]
    described[0]["pieces"] = pieces
    return [f"train: the one video counts as {pieces}, parts of equal length: some are held out"]


def _text(content: dict[str, Any], findings: Iterable[str], commands: Iterable[str]) -> str:
    comment = ["found when this was written:", *findings, "", "run:", *commands]
    lines = [f"# {line}".rstrip() for text in comment for line in text.splitlines() or [""]]
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return "\n".join(lines) + "\n\n" + body
