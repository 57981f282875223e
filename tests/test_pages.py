"""Whatever the pages say to type can be typed: programs, commands, options, targets, variables.

Blocks that take seconds are run as they stand, by test_tutorial.py, test_extending.py,
test_notebook.py and test_pages_run.py. Of the others it is checked here that they could be.
"""

import re

import pytest

from evaluation.__main__ import named
from tests.documents import ROOT
from tests.pages import (
    NOT_HERE,
    OPEN,
    PAGES,
    commands,
    missing,
    parsers,
    source,
    targets,
    text,
    typed,
    variables,
)

page_by_page = pytest.mark.parametrize("page", PAGES)
#: Data sets that a page makes, and what stands for any data set or stage.
MADE = {"gate": "demo", "campus": "demo", "NAME": "demo", "STAGE": "flow", "OTHER": "demo"}


# ---------------------------------------------------------------- commands


def faults_of_make(command):
    """Yield what is wrong with a call of make."""
    for word in command.words[1:]:
        name, given, value = word.partition("=")
        if word.startswith("-") or (OPEN.search(word) and not given):
            continue
        if given:
            if name not in variables() and not name.startswith("DATA_"):
                yield f"make reads no variable {name}"
            presets = {path.stem for path in ROOT.glob("*/presets/*.yaml")}
            if name == "PRESET" and value not in presets:
                yield f"there is no preset {value}"
        else:
            parts = [MADE.get(part, part) for part in word.split(".")]
            if ".".join(parts) not in targets() and not NOT_HERE.search(parts[-1]):
                yield f"make has no target {word}"


def faults_of_program(command):
    """Yield what is wrong with a call of one of the three programs."""
    program, *words = command.words[2:]
    known = parsers(program, words[words.index("--network") + 1] if "--network" in words else "")
    if not words or words[0].startswith("-") or OPEN.search(words[0]):
        return
    if words[0] not in known:
        yield f"{program} has no command {words[0]}"
        return
    parser = known[words[0]]
    words = [word for word in words if word != "--debug"]  # taken before the parser is asked
    names = [word.partition("=")[0] for word in words[1:] if re.match(r"--[a-z]", word)]
    wrong = [n for n in names if n not in parser._option_string_actions and not NOT_HERE.search(n)]
    yield from (f"{program} {words[0]} has no option {name}" for name in wrong)
    unfinished = any(re.match(r".*\.\.\.|\$|<Tab>|--stages\.edges", word) for word in words)
    if command.whole and not unfinished and not wrong and "--help" not in words:
        given = named(words)[1:] if program == "evaluation" else words[1:]
        try:
            parser.parse_args(given)
        except SystemExit:
            yield f"{program} {words[0]} does not take this"


def faults_of_module(command):
    """Yield what is wrong with a call of another module of this project."""
    module, *words = command.words[2:]
    file = source(module)
    if file is None:
        yield f"there is no module {module}"
        return
    code = file.read_text(encoding="utf-8")
    for name in (word.partition("=")[0] for word in words if word.startswith("--")):
        if f'"{name}"' not in code and not re.search(rf"\b{name[2:]}\b\s*[:=]", code):
            yield f"{module} has no option {name}"
    if module == "benchmarks":
        for topic in words:
            if not (ROOT / f"benchmarks/{topic}.py").is_file():
                yield f"there is no benchmark {topic}"


def faults(command):
    """Yield what is wrong with a command of a page."""
    program, *words = command.words
    if program == "make":
        yield from faults_of_make(command)
    elif program == "pytest" or words[:2] == ["-m", "pytest"]:
        paths = [word for word in words if "/" in word]
        yield from (f"there is no {path}" for path in paths if not (ROOT / path).exists()
                    and not NOT_HERE.search(path))  # fmt: skip
    elif words[:1] == ["-m"] and words[1] in ("pipeline", "training", "evaluation"):
        yield from faults_of_program(command)
    elif words[:1] == ["-m"] and words[1].partition(".")[0] in ("pipeline", "benchmarks", "tests"):
        yield from faults_of_module(command)


@page_by_page
def test_every_command_could_be_typed(page, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert missing((c, fault) for c in commands(page) for fault in faults(c)) == []


@page_by_page
def test_it_is_said_where_python_is_that_of_the_project(page):
    bare = [command for command in commands(page) if command.words[0] in ("python", "pytest")]
    assert not bare or "make shell" in text(page) or page == "data_manifests/README.md"
    assert not [command for command in commands(page) if "/python" in command.words[0]]


def test_commands_are_found():
    """So that the test above cannot pass by finding nothing."""
    found = [command for page in PAGES for command in commands(page)]
    assert len(found) > 100
    assert sum(command.whole for command in found) > 40
    assert {command.words[0] for command in found} >= {"make", "python", "pytest"}


@pytest.mark.parametrize(
    "line, said",
    [
        ("make ped3", "no target ped3"),
        ("make ped2.flows", "no target ped2.flows"),
        ("make ped2 SPEED=3", "no variable SPEED"),
        ("python -m pipeline walk", "no command walk"),
        ("python -m pipeline status --source.data x --colour red", "no option --colour"),
        ("python -m evaluation detect --run r --out o", "does not take this"),
        ("python -m training discriminator --epochs many --shards s --out o", "does not take"),
        ("python -m benchmarks waves", "no benchmark waves"),
        ("python -m pipeline.models.melt", "no module"),
        ("pytest tests/nothing", "no tests/nothing"),
    ],
)
def test_what_cannot_be_typed_is_found(line, said, capsys):
    (command,) = typed("page", 1, line, True)
    assert said in " ".join(faults(command))
