"""A data set as it was found: its videos with their splits, ground truth and settings.

A manifest is a YAML file (:mod:`pipeline.data.manifestfile`). It names its files by patterns
(:mod:`pipeline.data.path_patterns`) in one or several layouts; the first layout of which every part
is found is used (:mod:`pipeline.data.discover`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import DataError
from pipeline.data.manifestfile import Expected, Source
from pipeline.data.video.video import Video

ManifestVideo = Video


@dataclass(frozen=True)
class Manifest:
    """A data set that was found.

    Attributes
    ----------
    name, title : str
        Of the data set.
    path, root : Path
        The manifest file, and the folder below which its files were found.
    layout : str
        Name of the layout that was found.
    videos : tuple of Video
        In natural order, split by split.
    evaluate : str
        The split that is evaluated by default.
    settings : mapping
        What belongs to the data set, such as ``flow_scale``.
    expected : mapping
        Counts of a complete download, by split.
    source : Source
        Address, licence, citation.
    notes : tuple of str
        What was found and what was not, for people.
    """

    name: str
    title: str
    path: Path
    root: Path
    layout: str
    videos: tuple[Video, ...]
    evaluate: str
    settings: Mapping[str, float | None]
    expected: Mapping[str, Expected]
    source: Source
    notes: tuple[str, ...]

    def select(self, split: str) -> list[Video]:
        """Return the videos of a split."""
        return [video for video in self.videos if video.split == split]

    def check_counts(
        self, frames: Mapping[str, int], anomalous: Mapping[str, int | None] | None = None
    ) -> None:
        """Check the frames, and the anomalous ones, of each split against what is expected.

        Parameters
        ----------
        frames : mapping
            Frames of each video, by its name.
        anomalous : mapping, optional
            Anomalous frames of each labelled video, by its name.

        Raises
        ------
        DataError
            Another count, with both numbers.
        """
        for split, expected in self.expected.items():
            names = [video.name for video in self.select(split)]
            counts = {
                "frames": (expected.frames, sum(frames[name] for name in names)),
                "anomalous frames": (
                    expected.anomalous if anomalous else None,
                    sum((anomalous or {}).get(name) or 0 for name in names),
                ),
            }
            for what, (wanted, found) in counts.items():
                if names and wanted is not None and wanted != found:
                    raise DataError(_wrong_count(self, split, what, wanted, found))


def _wrong_count(manifest: Manifest, split: str, what: str, wanted: int, found: int) -> str:
    return (
        f"{manifest.root}: split {split} of {manifest.name} has {found} {what}, a complete "
        f"download has {wanted}; get what is missing, or take a copy of {manifest.path} "
        "without `expected`"
    )
