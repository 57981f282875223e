"""``make new``: write a manifest for a user's own folders, or add to the one that is there."""

from __future__ import annotations

import copy
import difflib
import os
import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import write_text
from pipeline.base.schema import build, load_yaml
from pipeline.data.discover import find_layout
from pipeline.data.manifestfile import FOLDER, ManifestFile, check
from pipeline.data.new import NewManifest, describe, groups, new_manifest, truth

#: A test split that nothing is in yet.
EMPTY_TEST = {"videos": "test/{name}.{video}", "optional": True}


def new(
    name: str,
    normal: Path | None = None,
    test: Path | None = None,
    labels: Path | None = None,
    out: Path = FOLDER,
    label_rate: float | None = None,
) -> None:
    """Write a manifest for your own videos, check it, and say what to run next.

        python -m pipeline new gate --normal /videos/normal --test /videos/test
        python -m pipeline new gate --labels /videos/labels.csv

    Where there is one of that name, what is given is added to it: more folders of videos, or
    labels. The difference is shown first; what is in it stays, and the file as it was is kept
    beside it as NAME.yaml.old.

    Args:
        name: Name of the data set; `make NAME` runs it.
        normal: A video, a folder of videos or of image folders, in which all is normal.
        test: Videos to score, likewise.
        labels: Ground truth of the test videos: CSV (video,first,last), .npy, or masks.
        out: Folder of the manifest.
        label_rate: Labels a second, where they are counted in time, not in decoded frames.
    """
    check_name(name, out)
    path = out / f"{name}.yaml"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if before:
        made = extended(path, name, normal, test, labels, label_rate)
        _show_difference(path, before, made.text)
        if yaml.safe_load(before) != yaml.safe_load(made.text):
            write_text(path.with_name(f"{path.name}.old"), before)
            write_text(path, made.text)
    elif normal is None:
        raise ConfigurationError(
            f"normal: {path} is not there yet; give NORMAL, the folder of normal videos"
        )
    else:
        made = new_manifest(name, normal, test, labels, label_rate)
        write_text(path, made.text)
        print(f"{_here(path)} written")
    print("\n".join([*made.findings, "run next:", *made.commands]))


def check_name(name: str, folder: Path = FOLDER) -> None:
    """Refuse a name that ``make`` could not tell from something else.

    Parameters
    ----------
    folder
        Of the manifests; the Makefile is looked for beside it.

    Raises
    ------
    ConfigurationError
        For a target of the Makefile, a manifest that ships with this program, or a name that
        is not of letters, digits, ``_`` and ``-``; the message says which.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise ConfigurationError(
            f"name: {name[:80]!r}: write letters, digits, _ and -, 64 at most; a dot parts a data "
            "set from what is made of it, such as gate.report"
        )
    if name in _others():
        raise ConfigurationError(
            f"name: {name!r} is a data set of data_manifests that `make new` did not write, such "
            "as those that ship with this program; choose another"
        )
    if name.lower() in {target.lower() for target in _targets(FOLDER.parent)}:
        raise ConfigurationError(
            f"name: {name!r} is a target of the Makefile: `make {name}` does something else; "
            "choose another"
        )


def _others() -> set[str]:
    """Return the names of the manifests that were not made by ``make new``."""
    found = set()
    for path in FOLDER.glob("*.yaml"):
        try:
            own = _is_own(load_yaml(path))
        except ConfigurationError:
            own = True  # a user's that is being edited
        found |= set() if own else {path.stem}
    return found


def _is_own(content: dict[str, Any]) -> bool:
    layouts = content.get("layouts")
    return isinstance(layouts, list) and [
        layout.get("name") for layout in layouts if isinstance(layout, dict)
    ] == ["own"]


def _targets(folder: Path) -> set[str]:
    """Return the Makefile's targets, the first part of those with a slash, and the file itself."""
    found = {"Makefile", "tables.mk"}
    for name in ("Makefile", "tables.mk"):
        if (folder / name).exists():
            text = (folder / name).read_text(encoding="utf-8").replace("\\\n", " ")
            for line in re.findall(r"^([\w./% -]+):(?!=)", text, re.MULTILINE):
                found.update(word.partition("/")[0] for word in line.split())
            for line in re.findall(r"^TARGETS\s*:?=(.*)", text, re.MULTILINE):
                found.update(line.split())
    return found


def extended(
    path: Path,
    name: str,
    normal: Path | None,
    test: Path | None,
    labels: Path | None,
    label_rate: float | None = None,
) -> NewManifest:
    """Return the manifest that is there, with what is given added.

    Parameters
    ----------
    path
        Of the manifest, one that ``make new`` wrote.
    normal, test, labels, label_rate
        As for :func:`pipeline.data.new.new_manifest`. Labels are those of ``test``, without it
        those of all test videos; they count before labels that are there already.

    Raises
    ------
    ConfigurationError
        The manifest was written by hand for something else.
    DataError
        A video or label file is damaged, or they do not fit.
    """
    content = copy.deepcopy(load_yaml(path))
    if not _is_own(content):
        raise ConfigurationError(
            f"{path}: was not written by `make new`; add to it by hand (data_manifests/README.md)"
        )
    given = [one.absolute() for one in (normal, test, labels) if one is not None]
    for one in given:
        if not one.exists():
            raise DataError(f"{one}: not found; check NORMAL, TEST and LABELS")
    root = _root(path, content, given)
    top = Path(os.path.commonpath([root, *(one if one.is_dir() else one.parent for one in given)]))
    splits = content["layouts"][0]["splits"]
    if test is not None:
        splits["test"] = [group for group in splits["test"] if group != EMPTY_TEST]
    if top != root:
        _lower(splits, root.relative_to(top).as_posix())
    content["data"] = str(top)
    if normal is not None:
        _add(splits["train"], groups(normal.absolute(), top))
    if test is not None:
        _add(splits["test"], groups(test.absolute(), top))
    if labels is not None:
        of = [group["videos"] for group in groups(test.absolute(), top)] if test else None
        for group in splits["test"]:
            if of is None or group["videos"] in of:
                _label(group, truth(labels.absolute(), top, label_rate))
    file = build(ManifestFile, content, str(path))
    check(file, str(path))
    labelled = any(group.get("labels") or group.get("pixels") for group in splits["test"])
    return describe(content, find_layout(file, path, top), top, labelled, (normal, test, labels))


def _root(path: Path, content: dict[str, Any], given: list[Path]) -> Path:
    """Return the folder that the manifest's patterns are below."""
    if content.get("data"):
        return Path(content["data"])
    file = build(ManifestFile, content, str(path))
    for one in given:
        for folder in (one, *one.parents):
            try:
                find_layout(file, path, folder)
            except DataError:
                continue
            return folder
    raise ConfigurationError(
        f"{path}: its videos are not found above what is given; add `data: FOLDER` to it, the "
        "folder that was DATA"
    )


def _lower(splits: dict[str, Any], prefix: str) -> None:
    """Put a folder before every path of a manifest, whose data folder moves up."""
    for split in splits.values():
        for group in split:
            group["videos"] = f"{prefix}/{group['videos']}"
            for kind in ("labels", "pixels"):
                for spec in _listed(group.get(kind)):
                    for field in {"path", "images"} & set(spec):
                        spec[field] = f"{prefix}/{spec[field]}"


def _add(there: list[dict[str, Any]], more: list[dict[str, Any]]) -> None:
    known = {group["videos"] for group in there}
    there += [group for group in more if group["videos"] not in known]


def _label(group: dict[str, Any], more: dict[str, Any]) -> None:
    for kind, spec in more.items():
        there = [one for one in _listed(group.get(kind)) if one != spec]
        group[kind] = [spec, *there] if there else spec


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _show_difference(path: Path, before: str, after: str) -> None:
    def body(text: str) -> list[str]:
        plain = yaml.safe_dump(yaml.safe_load(text), sort_keys=False, allow_unicode=True)
        return str(plain).splitlines()

    lines = list(difflib.unified_diff(body(before), body(after), lineterm="", n=1))[2:]
    if lines:
        print(f"{_here(path)} changes, as it was it is kept in {path.name}.old:")
        print("\n".join(f"  {line}" for line in lines if not line.startswith("@@")))
    else:
        print(f"{_here(path)} stays as it is: the folders and labels are in it already")


def _here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
