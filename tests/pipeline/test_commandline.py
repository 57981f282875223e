"""Help begins with what must be given; errors say what to type, in a line."""

import sys
from dataclasses import dataclass

import pytest
from jsonargparse import auto_cli

from pipeline.commandline import Parser


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


def call(*arguments, as_positional=False):
    commands = {"letter": letter, "post": post}
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


@pytest.mark.parametrize("module", ["pipeline", "training", "evaluation"])
def test_the_three_programs_are_of_this_style(module, monkeypatch, capsys):
    import importlib

    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit):
        importlib.import_module(f"{module}.__main__").main()
    said = capsys.readouterr().out
    assert said.startswith(f"usage: python -m {module} COMMAND ...\n")
    assert "Exit status: 0" in said and "--debug" in said
