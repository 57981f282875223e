"""Help begins with what must be given; errors say what to type, in a line."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from jsonargparse import auto_cli

from pipeline.base.cli import Parser


@dataclass(frozen=True)
class Ink:
    """How to write."""

    colour: str = "black"


def letter(to: str, text: str, ink: Ink = Ink()) -> tuple:
    """Write a letter.

        program letter ANN --text Hello

    It is not sent.

    Args:
        to: Who gets it.
        text: What it says.
        ink: How to write.
    """
    return to, text, ink


def post(letters: tuple[str, ...], fast: bool = False) -> tuple:
    """Send letters."""
    return letters, fast


def stamp(
    box: Path,
    size: int | None = None,
    value: Literal["first", "second"] = "second",
    copies: tuple[Path, ...] = (Path("a"), Path("b")),
    slow: bool = False,
    label: str = "",
    ink: Ink = Ink(),
) -> None:
    """Stamp letters.

    Args:
        box: The ``box``, see :class:`pipeline.base.cli.Parser`.
        size: In mm.
        value: How fast.
        copies: Of the letter.
        slow: Or not.
        label: On the box.
        ink: Without effect here; taken since a letter has it.
    """


def call(*arguments, as_positional=False):
    commands = {"letter": letter, "post": post, "stamp": stamp}
    return auto_cli(
        commands,
        args=list(arguments),
        as_positional=as_positional,
        parser_class=Parser,
        prog="program",
        description="Letters.\n\n    program letter",
    )


def help_of(capsys, *arguments, **options):
    with pytest.raises(SystemExit) as stop:
        call(*arguments, "--help", **options)
    assert stop.value.code == 0
    return capsys.readouterr().out


def error_of(capsys, *arguments, **options):
    with pytest.raises(SystemExit) as stop:
        call(*arguments, **options)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_help_begins_with_what_must_be_given_and_the_whole_docstring(capsys):
    lines = help_of(capsys, "letter").splitlines()
    assert lines[:6] == [
        "usage: program letter --to TO --text TEXT [options]",
        "",
        "Write a letter.",
        "",
        "    program letter ANN --text Hello",
        "",
    ]
    assert "Args:" not in lines
    assert help_of(capsys, "letter", as_positional=True).startswith(
        "usage: program letter TO TEXT [options]\n"
    )


def test_help_of_the_program_keeps_its_lines(capsys):
    assert help_of(capsys).startswith(
        "usage: program COMMAND ...\n\nLetters.\n\n    program letter"
    )


def test_the_program_lists_its_commands_and_no_presets_of_theirs(capsys):
    said = help_of(capsys)
    assert "    letter              Write a letter.\n" in said
    assert "--config" not in said and "required" not in said


def test_types_and_defaults_read_as_in_a_preset(capsys):
    said = " ".join(help_of(capsys, "stamp").split())
    for part in (
        "--box BOX The `box`, see pipeline.base.cli.Parser. (required, type: path)",
        "--size SIZE In mm. (type: int | null, default: null)",
        "--value {first,second} How fast. (default: second)",
        "--copies [ITEM,...] Of the letter. (type: list of path, default: [a, b])",
        "--slow [{true,false}] Or not. (default: false)",
        '--label LABEL On the box. (type: text, default: "")',
        "--print_config [=flags] Print what would be used, as a preset, and exit. --",
    ):
        assert part in said.replace("\b", "")
    assert "--ink" not in said  # it is taken, but nobody needs to read of it
    assert call("stamp", "--box", "b", "--ink.colour", "red") is None


def test_arguments_without_a_name_are_shown_so(monkeypatch, capsys):
    from evaluation.__main__ import main

    monkeypatch.setattr(sys, "argv", ["evaluation", "compare", "--help"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().out
    assert said.startswith("usage: python -m evaluation compare RUNS... --out OUT [options]\n")
    assert "\n  RUNS..., --runs [PATH,...]\n" in said


PROGRAMS = ("pipeline", "training", "evaluation")


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_help_shows_what_is_python_alone(program, monkeypatch):
    import importlib

    from jsonargparse import capture_parser

    module = importlib.import_module(f"{program}.__main__")
    monkeypatch.setattr(sys, "argv", [program])
    commands = capture_parser(module.main)._subcommands_action._name_parser_map
    assert len(commands) >= 3
    for name, parser in commands.items():
        said = parser.format_help()
        for ugly in ("<class", "Literal[", "tuple[", "SUPPRESS", "``", ":mod:", "Without effect"):
            assert ugly not in said, f"{program} {name}: {ugly}"


def test_what_is_missing_is_named_as_it_is_typed(capsys):
    assert error_of(capsys, "letter", "--to", "Ann") == [
        "error: still to be given: --text TEXT",
        "program letter --help explains every option",
    ]
    assert error_of(capsys, "letter", as_positional=True)[0] == "error: still to be given: TO, TEXT"


def test_an_unknown_option_is_never_taken_for_another(capsys):
    given = ("letter", "--to", "Ann", "--text", "Hello")
    assert call(*given, "--ink.colour", "red")[2] == Ink("red")
    first, second = error_of(capsys, *given, "--ink.color", "red")
    assert first.endswith("did you mean --ink.colour?")
    assert second == "program letter --help explains every option"
    assert "unrecognized" in error_of(capsys, *given, "--ink.col", "red")[0]


def test_a_switch_needs_no_value(capsys):
    given = ("post", "--letters", "[a, b]")
    assert call(*given) == (("a", "b"), False)
    assert call(*given, "--fast") == (("a", "b"), True)
    assert call(*given, "--fast", "false") == (("a", "b"), False)
    assert call("post", "--fast", "--letters", "[a]") == (("a",), True)
    assert "fast" in error_of(capsys, *given, "--fast", "perhaps")[0]


def test_how_a_list_is_written_is_said(capsys):
    first, second = error_of(capsys, "post", "--letters", "a")
    assert first == 'error: Parser key "letters": a list is written "[a]"'
    assert second == "program post --help explains every option"


@pytest.mark.parametrize("module", ["pipeline.models.convert", "pipeline.data.inpainter_videos"])
def test_help_of_the_smaller_programs_writes_nothing(module, monkeypatch, capsys, tmp_path):
    import importlib

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit):
        importlib.import_module(module).main()
    said = capsys.readouterr().out
    assert said.startswith(f"usage: python -m {module} ")
    assert "type: path" in said and "<class" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", PROGRAMS)
def test_the_three_programs_are_of_this_style(module, monkeypatch, capsys):
    import importlib

    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit):
        importlib.import_module(f"{module}.__main__").main()
    said = capsys.readouterr().out
    assert said.startswith(f"usage: python -m {module} COMMAND ...\n")
    assert "Exit status: 0" in said and "--debug" in said
