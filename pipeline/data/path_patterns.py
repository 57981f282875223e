"""Path patterns of manifests: ``training/videos/{scene:d}_{clip:d}.avi``.

A pattern is a relative path whose parts may hold fields. In a path that is looked for,
``{name}`` stands for one or more characters but ``/``, ``{name:d}`` for digits alone; a
field that occurs twice is the same text in both places; ``{video}`` after a dot is any
suffix of a video file; a pattern that ends in ``/`` means folders. In a path that is
filled in, ``{name}`` is replaced; where it is a number, ``{name:int}`` by it without leading
zeros and ``{name:04}`` with at least four digits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.data.video.file import VIDEO_SUFFIXES
from pipeline.data.video.folder import natural, unreadable

FIELD = re.compile(r"\{([a-z_]*)(?::([a-z0-9]+))?\}")
MOST_FIELDS = 3
"""In one part of a pattern: the time to match a name grows with its length to this power."""


@dataclass(frozen=True)
class Match:
    """A path that a pattern matches, and what its fields stand for."""

    path: Path
    fields: dict[str, str]


def check_relative(text: str, where: str) -> None:
    """Raise a ConfigurationError unless ``text`` names something below the data folder."""
    parts = text.replace("\\", "/").split("/")
    if not text or text.startswith(("/", "~")) or ".." in parts or re.match("[A-Za-z]:", text):
        raise ConfigurationError(
            f"{where}: {text!r} leaves the data folder; name a path below it, without `..`"
        )
    if any(ord(character) < 32 for character in text):
        raise ConfigurationError(f"{where}: {text!r} holds control characters; remove them")


def compile_part(part: str, where: str) -> re.Pattern[str]:
    """Turn one part of a pattern into a regular expression."""
    expression, seen, end = "", set[str](), 0
    fields = list(FIELD.finditer(part))
    if len(fields) > MOST_FIELDS:
        raise ConfigurationError(f"{where}: {part!r} has more than {MOST_FIELDS} fields")
    for field in fields:
        expression += re.escape(part[end : field.start()])
        end = field.end()
        name, kind = field[1], field[2]
        if kind not in (None, "d"):
            raise ConfigurationError(f"{where}: {field[0]}: only `:d` is known in a search")
        if name == "video":
            suffixes = "|".join(suffix[1:] for suffix in VIDEO_SUFFIXES)
            expression += f"(?i:{suffixes})"
        elif name and name in seen:
            expression += f"(?P={name})"
        else:
            group = f"(?P<{name}>" if name else "(?:"
            expression += group + ("[0-9]+)" if kind else "[^/]+?)")
            seen.add(name)
    rest = part[end:]
    if "{" in FIELD.sub("", part) or "}" in FIELD.sub("", part):
        raise ConfigurationError(f"{where}: {part!r}: a field is written {{name}} or {{name:d}}")
    return re.compile(expression + re.escape(rest), re.DOTALL)


def find(pattern: str, root: Path, where: str) -> list[Match]:
    """Return every path below ``root`` that matches, in natural order; hidden ones left out.

    Parameters
    ----------
    pattern : str
        See the module.
    root : Path
        The folder to search; a missing one holds nothing.
    where : str
        What messages name.

    Raises
    ------
    ConfigurationError
        The pattern is wrong.
    DataError
        A folder cannot be read, or a name cannot be used.
    """
    check_relative(pattern, where)
    folders = pattern.endswith("/")
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    compiled = [(part, compile_part(part, where)) for part in parts]
    found = [Match(root, {})]
    for depth, (part, expression) in enumerate(compiled):
        want_folder = folders or depth < len(parts) - 1
        found = [
            Match(match.path / name, match.fields | fields)
            for match in found
            for name, fields in _children(match, part, expression)
            if (match.path / name).is_dir() == want_folder or _is_loop(match.path / name)
        ]
    return sorted(found, key=lambda match: natural(str(match.path)))


def _children(
    match: Match, part: str, expression: re.Pattern[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    if not FIELD.search(part):
        if os.path.lexists(match.path / part):
            yield part, {}
        return
    try:
        names = os.listdir(match.path)  # noqa: PTH208 - names are enough
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise unreadable(match.path, error) from error
    for name in names:
        fits = None if name.startswith(".") else expression.fullmatch(name)
        if fits is None:
            continue
        fields = fits.groupdict()
        if all(match.fields.get(key, value) == value for key, value in fields.items()):
            _check_name(match.path, name)
            yield name, fields


def _is_loop(path: Path) -> bool:
    """Return whether it is a link that leads nowhere: kept, so that it is reported."""
    return path.is_symlink() and not path.exists()


def _check_name(folder: Path, name: str) -> None:
    """Refuse names that cannot be written to records, logs and tables."""
    if any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in name):
        raise DataError(
            f"{folder}: the name {name!r} holds control characters or is not UTF-8; rename it"
        )


def fill(template: str, fields: Mapping[str, str], where: str = "") -> str:
    """Fill the fields of a template.

    >>> fill("mask/{name:int}_label.mat", {"name": "01"})
    'mask/1_label.mat'
    >>> fill("{name}_{frame:04}_gt.png", {"name": "a", "frame": "7"})
    'a_0007_gt.png'
    """

    def value(field: re.Match[str]) -> str:
        name, kind = field[1], field[2]
        if name not in fields:
            known = ", ".join(fields)
            raise ConfigurationError(f"{where}{template}: no field {name!r}; there are {known}")
        text = fields[name]
        if kind is not None and not re.fullmatch("int|d|0[0-9]", kind):
            raise ConfigurationError(f"{where}{template}: {field[0]}: use :int or :04")
        if kind is None or not re.fullmatch("[0-9]{1,18}", text):
            return text
        return str(int(text)) if kind in ("int", "d") else str(int(text)).zfill(int(kind))

    return FIELD.sub(value, template)


def extract(template: str, text: str, field: str, where: str) -> str:
    """Return what ``field`` stands for where ``template`` matches the whole of ``text``.

    >>> extract("{}_scene_{scene}_{}", "abnormal_scene_8_scenario_4_fog", "scene", "")
    '8'
    """
    found = compile_part(template, where).fullmatch(text)
    if found is None or field not in found.groupdict():
        raise ConfigurationError(f"{where}: {template!r} finds no {field} in the name {text!r}")
    return found[field]
