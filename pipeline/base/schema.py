"""YAML to frozen dataclasses, strictly: every field known, every value of its type."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pipeline.base.errors import ConfigurationError

T = TypeVar("T")
MOST_BYTES = 1_000_000
KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class _Loader(yaml.SafeLoader):
    """Refuses what a manifest never needs: aliases and a field given twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("anchors and aliases are not allowed; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen if isinstance(key.value, str) else False:
                raise yaml.YAMLError(f"field {key.value!r} twice{key.start_mark}")
            seen.add(key.value if isinstance(key.value, str) else id(key))
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose content is a mapping.

    Raises
    ------
    ConfigurationError
        It is missing, no YAML, too large, or something else than a mapping.
    """
    try:
        if not path.is_file():
            raise ConfigurationError(f"{path}: no such file; name a data set or a manifest")
        if path.stat().st_size > MOST_BYTES:
            raise ConfigurationError(f"{path}: is larger than {MOST_BYTES} bytes: no manifest")
        content = yaml.load(path.read_bytes(), Loader=_Loader)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, RecursionError, ValueError, UnicodeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigurationError(f"{path}: is no YAML that can be read: {reason}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: holds no fields; see data_manifests/README.md")
    return content


def build(kind: type[T], value: Any, where: str) -> T:
    """Make a dataclass from a mapping.

    Parameters
    ----------
    kind : type
        A dataclass whose fields are of simple types, of ``tuple[X, ...]`` (one X may stand
        for a list of one), of ``dict[str, X]``, or dataclasses themselves.
    value : object
        What the YAML file holds.
    where : str
        File and field, for messages.

    Raises
    ------
    ConfigurationError
        An unknown or missing field, or a value of another type, named with its place.
    """
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}: {_shown(value)} given, fields were expected")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in value:
        if name not in fields:
            near = difflib.get_close_matches(str(name)[:100], list(fields), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it may be {', '.join(fields)}"
            raise ConfigurationError(f"{where}: unknown field {_shown(name)}; {hint}")
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and name not in value:
            raise ConfigurationError(f"{where}: field {name!r} is missing; it has no default")
    return kind(
        **{name: convert(hints[name], item, f"{where}: {name}") for name, item in value.items()}
    )


def convert(hint: Any, value: Any, where: str) -> Any:
    """Check a value against a type and return it, see :func:`build`."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        return None if value is None else convert(options[0], value, where)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, where)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(
            convert(inner[0], item, f"{where}[{index}]" if len(items) > 1 else where)
            for index, item in enumerate(items)
        )
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{where}: {_shown(value)} given, fields were expected")
        return {
            convert(str, key, where): convert(inner[1], item, f"{where}: {key}")
            for key, item in value.items()
        }
    return _simple(hint, value, where)


def _simple(hint: Any, value: Any, where: str) -> Any:
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise ConfigurationError(f"{where}: {_shown(value)} given, {KINDS[hint]} is needed")
    if hint is float and not math.isfinite(value):
        raise ConfigurationError(f"{where}: {value} given, a finite number is needed")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."
