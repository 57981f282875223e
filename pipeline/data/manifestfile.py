"""The fields of a manifest file, and what may stand in them.

``data_manifests/README.md`` explains them with examples.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base.errors import ConfigurationError
from pipeline.base.schema import build, load_yaml
from pipeline.data.path_patterns import check_relative
from pipeline.data.truth.truth import LABEL_FORMATS, PIXEL_FORMATS, RATED

FOLDER = Path(__file__).resolve().parents[2] / "data_manifests"
"""Where the manifests of this project lie."""


@dataclass(frozen=True, kw_only=True)
class TruthSpec:
    """Where one kind of ground truth lies and in which format."""

    format: str
    """See :mod:`pipeline.data.truth.truth`."""
    path: str = ""
    """Path below the data folder, filled with the fields of the video's pattern."""
    variable: str = "volLabel"
    """Name of the variable in a ``.mat`` file."""
    first_frame: int = 0
    """Number of a video's first frame in ``csv_intervals``: 0 or 1."""
    past_end: str = "error"
    """``clamp`` accepts intervals that end after the video."""
    rate: float | None = None
    """Labels a second, where labels are counted in time and not in frames that decode."""
    images: str = ""
    """For ``tracks``: path of the maps of object ids, with ``{frame:04}``."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Videos that lie and are labelled alike."""

    videos: str
    """Pattern of the video files, or of folders of images if it ends in ``/``."""
    name: str = "{name}"
    """The video's name, from the fields of the pattern."""
    names: str = ""
    """A text file beside the manifest with the names that belong to this group."""
    scene: str = ""
    """Template of the name in which ``{scene}`` is the camera."""
    labels: tuple[TruthSpec, ...] = ()
    """Frame labels; of several, the first that is there counts."""
    pixels: tuple[TruthSpec, ...] = ()
    """Pixel masks; likewise."""
    unlabelled: str = "error"
    """``allowed``: no ground truth need be there."""
    optional: bool = False
    """Whether there may be no such videos at all."""
    pieces: int = 1
    """How many videos each counts as: parts of equal length of a long recording. Training only."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Counts that a complete download has."""

    videos: int | None = None
    frames: int | None = None
    anomalous: int | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which the files of a data set lie."""

    name: str
    splits: dict[str, tuple[Group, ...]]
    expected: dict[str, Expected] = field(default_factory=dict)
    """Overrides the manifest's own, split by split."""


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file of the download."""

    url: str
    """Its address, http or https."""
    sha256: str = ""
    """Of the file; without it nothing is downloaded."""
    path: str = ""
    """Where to put it, below the data folder; by default its name."""
    unpack: str = ""
    """Folder to unpack it into, below the data folder or ``.``; by default it stays packed."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a data set comes from, and on which terms."""

    address: str = ""
    licence: str = ""
    citation: str = ""
    instructions: str = ""
    files: tuple[SourceFile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What belongs to the data set rather than to a stage or a method."""

    flow_scale: float | None = None
    """Speed (px/frame at 256 x 256) at which flow as shown to A^t is full; by default measured
    on the training videos."""


@dataclass(frozen=True, kw_only=True)
class ManifestFile:
    """The fields of a manifest file."""

    name: str
    layouts: tuple[Layout, ...]
    title: str = ""
    evaluate: str = "test"
    data: str = ""
    """The folder that `make new` found its videos below; for adding to it, not for running."""
    frame_count: str = "strict"
    fps: float | None = None
    roots: tuple[str, ...] = (".",)
    settings: Settings = field(default_factory=Settings)
    expected: dict[str, Expected] = field(default_factory=dict)
    source: Source = field(default_factory=Source)


def manifest_path(path_or_name: str | Path) -> Path:
    """Return the path of a manifest named by data set or by path.

    Raises
    ------
    ConfigurationError
        There is no such data set.
    """
    text = str(path_or_name)
    if "/" in text or text.endswith((".yaml", ".yml")):
        return Path(text)
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if text not in known:
        near = difflib.get_close_matches(text, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise ConfigurationError(
            f"data set {text[:80]!r} is not known; {hint} "
            "A manifest of your own is named by its path"
        )
    return FOLDER / f"{text}.yaml"


def read_manifest(path_or_name: str | Path) -> ManifestFile:
    """Read and check a manifest file, without looking for its videos.

    Raises
    ------
    ConfigurationError
        A field is unknown, missing, of the wrong type or has no sensible value.
    """
    path = manifest_path(path_or_name)
    manifest = build(ManifestFile, load_yaml(path), str(path))
    check(manifest, str(path))
    return manifest


def check(manifest: ManifestFile, where: str) -> None:
    """Raise a ConfigurationError for values that fit their type but make no sense."""
    _one_of(manifest.frame_count, ("strict", "decoded"), f"{where}: frame_count")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", manifest.name):
        raise ConfigurationError(
            f"{where}: name: {manifest.name[:80]!r} is used in paths; write letters, digits, . _ -"
        )
    if any(
        value is not None and value <= 0 for value in (manifest.settings.flow_scale, manifest.fps)
    ):
        raise ConfigurationError(f"{where}: fps and flow_scale must be above 0")
    for root in manifest.roots:
        check_relative(root, f"{where}: roots")
    for file in manifest.source.files:
        _check_source_file(file, f"{where}: source: files")
    for layout in manifest.layouts:
        here = f"{where}: layout {layout.name!r}"
        for split in ("train", manifest.evaluate):
            if split not in layout.splits:
                raise ConfigurationError(f"{here}: has no split {split!r}")
        for name in {*layout.expected, *manifest.expected} - set(layout.splits):
            raise ConfigurationError(f"{here}: expected: there is no split {name!r}")
        for split, groups in layout.splits.items():
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", split):
                raise ConfigurationError(
                    f"{here}: split {split[:80]!r}: write letters, digits, _ -"
                )
            for group in groups:
                _check_group(group, f"{here}: {split}", split)


def _check_source_file(file: SourceFile, where: str) -> None:
    if not file.url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{where}: url {file.url[:200]!r} is not of http or https")
    if file.sha256 and not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
        raise ConfigurationError(f"{where}: sha256 must be 64 hexadecimal digits, in lower case")
    for name in ("path", "unpack"):
        if getattr(file, name):
            check_relative(getattr(file, name), f"{where}: {name}")


def _check_group(group: Group, where: str, split: str) -> None:
    check_relative(group.videos, f"{where}: videos")
    _one_of(group.unlabelled, ("error", "allowed"), f"{where}: unlabelled")
    if group.names:
        check_relative(group.names, f"{where}: names")
    if not 1 <= group.pieces <= 10_000 or (group.pieces > 1 and split != "train"):
        raise ConfigurationError(
            f"{where}: pieces: {group.pieces}: from 1 to 10000, above 1 for the split train alone"
        )
    if split == "train" and (group.labels or group.pixels):
        raise ConfigurationError(f"{where}: training videos are normal and take no ground truth")
    for kind, specs, formats in (
        ("labels", group.labels, LABEL_FORMATS),
        ("pixels", group.pixels, PIXEL_FORMATS),
    ):
        for spec in specs:
            here = f"{where}: {kind}"
            _one_of(spec.format, formats, f"{here}: format")
            _one_of(spec.past_end, ("error", "clamp"), f"{here}: past_end")
            _one_of(spec.first_frame, (0, 1), f"{here}: first_frame")
            if spec.rate is not None and not (spec.format in RATED and 0 < spec.rate < 1e6):
                raise ConfigurationError(
                    f"{here}: rate: {spec.rate}: above 0, and for {', '.join(RATED)} alone"
                )
            if spec.format != "normal":
                check_relative(spec.path, f"{here}: path")
            if kind == "pixels" and spec.format == "tracks":
                check_relative(spec.images, f"{here}: images")


def _one_of(value: object, known: tuple[object, ...], where: str) -> None:
    if value not in known:
        near = difflib.get_close_matches(str(value)[:100], [str(item) for item in known], n=1)
        hint = f"did you mean {near[0]}?" if near else "it is none of those"
        raise ConfigurationError(f"{where}: {value!r} is not one of {known}; {hint}")
