"""One style of command line for all three programs, on top of jsonargparse.

Help begins with what must be given and with the command's whole docstring, and says types and
defaults as a preset has them; an unknown option is an error that names the nearest known one,
never an abbreviation of another.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
import types
from argparse import SUPPRESS, Action, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Union, get_args, get_origin

from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter

from pipeline.base.errors import ConfigurationError

UNUSED = "Without effect here"
"""How a command's docstring begins what it says of settings that it takes but does not use."""

TYPES = {Path: "path", str: "text", type(None): "null"}
"""Types that help calls otherwise than Python does."""


class HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Descriptions as they are written, and a usage of a line or two instead of a page."""

    def start_section(self, heading: str | None) -> None:
        """Begin a group of options."""
        super().start_section(plain(heading or ""))

    def add_text(self, text: str | None) -> None:
        """Add a description."""
        super().add_text(plain(text) if text and text != SUPPRESS else text)

    def add_usage(
        self, usage: str | None, actions: Iterable[Action], groups: Any, prefix: str | None = None
    ) -> None:
        """Name what must be given and leave the rest to the list of options."""
        must = [_usage(action) for action in actions if action.required]
        commands = any(isinstance(action, _SubParsersAction) for action in actions)
        rest = ["COMMAND ..."] if commands else [*must, "[options]"]
        super().add_usage(" ".join([_program(self._prog), *rest]), actions, groups, prefix)

    def _format_action(self, action: Action) -> str:
        if isinstance(action, _SubParsersAction):  # the commands alone, without a line above them
            return "".join(map(self._format_action, self._iter_indented_subactions(action)))
        return super()._format_action(action)

    def _format_action_invocation(self, action: Action) -> str:
        options = action.option_strings
        # --x+ VALUE, which adds to a list, is left to jsonargparse's own documentation.
        action.option_strings = [name for name in options if not name.endswith("+")]
        try:
            said = super()._format_action_invocation(action)
        finally:
            action.option_strings = options
        return f"{_usage(action)}, {said}" if _is_free(action) else said

    def _get_help_string(self, action: Action) -> str:
        if action.dest == "help":
            return super()._get_help_string(action)
        kinds = (ActionConfigFile, _SubParsersAction._ChoicesPseudoAction)
        if isinstance(action, kinds) or action.default == SUPPRESS:
            return plain(action.help or "")
        hint = getattr(action, "_typehint", action.type)
        choices = hint is bool or get_origin(hint) is Literal  # which stand beside the option
        parts = [
            "required" if action.required else "",
            f"type: {type_name(hint)}" if hint is not None and not choices else "",
            "" if action.required else f"default: {value_text(action.default)}",
        ]
        return f"{plain(action.help or '')} ({', '.join(filter(None, parts))})"


class Parser(ArgumentParser):
    """A parser of a program or of one of its commands.

    ``free`` names, by command, the option that arguments without a name are for.
    """

    free: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", HelpFormatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(*args, **options)

    def add_function_arguments(
        self, function: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        """Add a function's parameters as options, and its docstring as the description."""
        self.description = description(function)
        added = super().add_function_arguments(function, *args, **options)
        for action in self._actions:
            action.free = self.free.get(function.__name__) in action.option_strings  # type: ignore[attr-defined]
        self._tidy()
        return added

    def add_class_arguments(self, *args: Any, **options: Any) -> Any:
        """Add the fields of a dataclass as options."""
        added = super().add_class_arguments(*args, **options)
        self._tidy()
        return added

    def add_subcommands(self, *args: Any, **options: Any) -> Any:
        """Add the commands of a program."""
        heading = {"title": "commands", "description": "COMMAND --help explains each."}
        for action in self._actions:  # presets are for commands, not for the program
            if isinstance(action, ActionConfigFile) or "--print_config" in action.option_strings:
                action.help = SUPPRESS
        return super().add_subcommands(*args, **heading | options)

    def _tidy(self) -> None:
        """Let a switch stand alone, and keep out of the help what nobody needs to read there."""
        for action in self._actions:
            if getattr(action, "_typehint", None) is bool:  # --delete means --delete true
                action.nargs, action.const = "?", True
            elif "--print_config" in action.option_strings:
                action.help = "Print what would be used, as a preset, and exit."
            elif type(action).__name__ == "_ActionConfigLoad":  # --source FILE for all --source.*
                action.help = SUPPRESS
            elif isinstance(action.metavar, str) and "LIST_OF_PATHS" in action.metavar:
                action.metavar = "[PATH,...]"
        for group in self._action_groups:
            for action in group._group_actions if (group.title or "").startswith(UNUSED) else ():
                action.help = SUPPRESS

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # type: ignore[override]
        """Say in a line what is wrong and where help is, and exit as for any wrong setting."""
        program = _program(self.prog)
        if found := re.fullmatch(r"(?:the following )?arguments are required: (.*)", message, re.S):
            names, command = self._as_typed(found[1].split(", "))
            message = f"still to be given: {', '.join(names)}"
            program = f"{program} {command}".rstrip()
        elif found := re.search(r"Expected a <class '(?:tuple|list)'>. Got value: (\S+)", message):
            message = f'{message.partition(":")[0]}: a list is written "[{found[1]}]"'
        elif found := re.match(r"unrecognized arguments: (-\S+)", message):
            near = difflib.get_close_matches(
                found[1].partition("=")[0], self._option_string_actions
            )
            message += f"; did you mean {near[0]}?" if near else ""
        print(f"error: {message}\n{program} --help explains every option", file=sys.stderr)
        sys.exit(ConfigurationError.exit_status)

    def _as_typed(self, keys: list[str]) -> tuple[list[str], str]:
        """Return missing keys such as ``new.name`` as they are typed, and their command."""
        commands = self._subcommands_action
        known: dict[str, Parser] = commands._name_parser_map if commands else {}
        command = keys[0].partition(".")[0]
        if command not in known:
            return keys, ""
        places = {action.dest: action for action in known[command]._actions}
        names = [key.removeprefix(f"{command}.") for key in keys]
        return [_usage(places[name]) if name in places else name for name in names], command


def description(function: Callable[..., Any]) -> str:
    """Return a function's docstring without the part that describes its parameters.

    >>> def double(x: int):
    ...     '''Double.
    ...
    ...     Args:
    ...         x: What to double.
    ...     '''
    >>> description(double)
    'Double.'
    """
    return (inspect.getdoc(function) or "").partition("\nArgs:")[0].strip()


def plain(text: str) -> str:
    """Return text without the marks that only a documentation site shows.

    >>> plain("``tvl1``: see :mod:`pipeline.models.flow.tvl1`.")
    '`tvl1`: see pipeline.models.flow.tvl1.'
    """
    return re.sub(r":\w+:`~?([^`]+)`", r"\1", text).replace("``", "`")


def type_name(hint: Any) -> str:
    """Return a type as help says it.

    >>> type_name(Path), type_name(float | None), type_name(tuple[int, ...])
    ('path', 'float | null', 'list of int')
    """
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Literal:
        return " | ".join(map(value_text, inner))
    if kind in (Union, types.UnionType):
        return " | ".join(map(type_name, inner))
    if kind in (list, tuple):
        item = type_name(inner[0])
        return f"list of ({item})" if " | " in item else f"list of {item}"
    return TYPES.get(hint) or str(getattr(hint, "__name__", hint))


def value_text(value: Any) -> str:
    """Return a setting's value as a preset has it; a path below this folder from here.

    >>> value_text((2, 3)), value_text(None), value_text(False), value_text("")
    ('[2, 3]', 'null', 'false', '""')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(value_text, value))}]"
    if is_dataclass(value):
        named = (f"{one.name}: {value_text(getattr(value, one.name))}" for one in fields(value))
        return f"{{{', '.join(named)}}}"
    if isinstance(value, Path) and value.is_relative_to(Path.cwd()):
        value = value.relative_to(Path.cwd())
    return str(value) or '""'


def _program(prog: str) -> str:
    """Return what to type to call a program or command, without jsonargparse's addition."""
    return prog.replace(" [options]", "")


def _is_free(action: Action) -> bool:
    """Return whether an option's values may be given without its name."""
    return getattr(action, "free", False)


def _usage(action: Action) -> str:
    name = action.dest.rpartition(".")[2].upper()
    if _is_free(action):
        return f"{name}..."
    return f"{action.option_strings[0]} {name}" if action.option_strings else name
