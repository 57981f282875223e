"""The Makefile: what is given reaches the programs as it is written; wrong names are explained."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ODD = [
    "my videos",
    'it\'s "quoted"',
    "$HOME $(touch PWNED) `touch PWNED` ${x} $$",
    "a\nb; touch PWNED",
    "#c %d & (e) [f] {g} *",
]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*words, status=0, **variables):
    """Return what make says on standard output, and on standard error."""
    given = [f"{name}={value}" for name, value in variables.items()]
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(
        ["make", *words, *given], cwd=ROOT, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def spoken(text):
    """Return each command of a dry run as the words that a shell makes of it."""
    python = "import json, sys; print(json.dumps(sys.argv[1:]))"
    told = f'python() {{ python3 -c {shlex.quote(python)} "$@"; }}\n'
    text = re.sub(r"^\S*python ", "python ", text, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-c", told + text], capture_output=True, text=True, check=True, cwd="/"
    )
    import json

    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def venv(tmp_path):
    """A set-up that make finds complete."""
    (tmp_path / ".installed").touch()
    os.utime(tmp_path / ".installed", (9e9, 9e9))
    return tmp_path


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("target", ["ped2", "demo", "ped2.transfer", "new", "slurm.script"])
def test_a_value_reaches_a_program_as_it_was_given(venv, odd, target):
    given = {"DATA": f"/d/{odd}", "CACHE": f"/c/{odd}", "RUNS": f"/r/{odd}"}
    more = {"ONTO": "avenue", "NAME": "gate", "NORMAL": f"/n/{odd}", "SITE": f"/s/{odd}"}
    said, _ = make("-n", target, VENV=venv, **given, **more)
    words = [word for line in spoken(said.replace(f"{venv}/bin/", "")) for word in line]
    wanted = {
        "ped2": [*given.values()],
        "demo": [f"/d/{odd}/demo", f"/r/{odd}/demo/demo/unified-seed0/spatial"],
        "ped2.transfer": [f"/r/{odd}/ped2/quick/unified-seed0/transfer/avenue/metrics.json"],
        "new": [f"/n/{odd}"],
        "slurm.script": [f"{name}={value}" for name, value in given.items()] + [f"/s/{odd}"],
    }[target]
    if target == "ped2":
        wanted = [*wanted[:2], f"{given['RUNS']}/ped2/quick"]
    assert set(wanted) <= set(words)
    assert not (ROOT / "PWNED").exists()


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("target", ["table1", "figures", "help", "help.all"])
def test_no_target_runs_what_a_path_says(venv, odd, target):
    make(*(["-n"] if "help" not in target else []), target, VENV=venv, RUNS=f"/r/{odd}", DATA=odd)
    assert not (ROOT / "PWNED").exists()


def test_a_name_that_is_none_says_which_there_are_and_how_one_is_made():
    _, said = make("cam2", status=2)
    assert "error: cam2: no such target and no such data set; there are avenue demo" in said
    assert "make new NAME=cam2 NORMAL=folder" in said
    _, said = make("ped2.scores", status=2)
    assert "error: ped2.scores: no such part of a data set: make help.all lists them" in said


@pytest.mark.parametrize("name", ["PRESET", "METHOD", "VARIANT"])
@pytest.mark.parametrize("value", ["fast", "quick patch color baseline"])
def test_a_name_of_several_must_be_one_of_them(name, value):
    _, said = make("-n", "ped2", status=2, **{name: value})
    assert f"{name}={value}: is none of " in said
    assert len(said.splitlines()) == 1


def test_a_transfer_needs_to_know_where_to():
    _, said = make("ped2.transfer", "CHECKED=1", "NETWORKS=", "PYTHON=true", status=2)
    assert "ONTO=... is needed" in said


def test_help_fits_a_screen_and_begins_with_what_people_do():
    lines = make("help")[0].splitlines()
    assert len(lines) <= 24
    assert [line.split()[1] for line in lines[1:4]] == ["demo", "new", "ped2"]
    assert max(len(line) for line in lines if "=" not in line) <= 100
