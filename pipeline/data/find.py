"""``python -m pipeline.data.find NAME FOLDER``: whether a data set's files are at hand.

Only names of files are looked at, so it takes half a second. Exit status: 0 they are there; 2 the
manifest is wrong; 3 they are not there, or not all of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.base.errors import run_main
from pipeline.data.discover import load_manifest


def main() -> None:
    """Parse the command line and look."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.data.find", description=__doc__)
    parser.add_argument("name", help="a data set's name, or a manifest's path")
    parser.add_argument("folder", type=Path, help="where its files are")
    given = parser.parse_args()
    print(f"{given.name}: {'; '.join(load_manifest(given.name, given.folder).notes)}")


if __name__ == "__main__":
    run_main(main)
