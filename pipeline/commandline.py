"""One style of command line for all three programs, on top of jsonargparse.

Help begins with what must be given and with the command's whole docstring; an unknown
option is an error that names the nearest known one, never an abbreviation of another.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from argparse import Action, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from pipeline.errors import ConfigurationError


class HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Descriptions as they are written, and a usage of a line or two instead of a page."""

    def add_usage(
        self, usage: str | None, actions: Iterable[Action], groups: Any, prefix: str | None = None
    ) -> None:
        """Name what must be given and leave the rest to the list of options."""
        must = [_usage(action) for action in actions if action.required]
        commands = any(isinstance(action, _SubParsersAction) for action in actions)
        rest = ["COMMAND ..."] if commands else [*must, "[options]"]
        super().add_usage(" ".join([_program(self._prog), *rest]), actions, groups, prefix)


class Parser(ArgumentParser):
    """A parser of a program or of one of its commands."""

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
            if getattr(action, "_typehint", None) is bool:  # --delete means --delete true
                action.nargs, action.const = "?", True
        return added

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


def _program(prog: str) -> str:
    """Return what to type to call a program or command, without jsonargparse's addition."""
    return prog.replace(" [options]", "")


def _usage(action: Action) -> str:
    name = action.dest.rpartition(".")[2].upper()
    return f"{action.option_strings[0]} {name}" if action.option_strings else name
