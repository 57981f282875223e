"""Code blocks of the documentation, for the tests that run them as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    """Return (language, code) of the fenced blocks of a page of docs, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(language, code) for language, code in found if language in languages]


def checkout(folder: Path, own: bool = False) -> Path:
    """Make a folder look like the top folder of the repository, but for what runs write.

    With ``own``, all folders but ``training`` are copies that a test may change.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for entry in ("pipeline", "data_manifests", "training", "evaluation"):
        if own and entry != "training":
            nothing = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / entry, folder / entry, ignore=nothing)
        else:
            (folder / entry).symlink_to(ROOT / entry)
    for file in ROOT.iterdir():
        if file.is_file() and not file.name.startswith("."):
            (folder / file.name).symlink_to(file)
    return folder


def shell(command: str, folder: Path, status: int = 0) -> str:
    """Run a command with this Python's own programs first; return all that it printed."""
    programs = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": programs + os.pathsep + os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == status, f"{command}\n{done.stdout[-4000:]}"
    return done.stdout
