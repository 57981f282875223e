"""The commands of ``python -m pipeline`` that make or look up what a run needs."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.data.plaza.demo import DemoSettings
from pipeline.models.source import model_table
from pipeline.stages.registry import Stages


def demo(out: Path, settings: DemoSettings = DemoSettings()) -> None:  # noqa: B008 - frozen
    """Write the generated plaza videos with their ground truth; nothing if they are there.

    Args:
        out: A new folder.
        settings: How many videos, of what size, from which seed.
    """
    from pipeline.data.plaza.demo import write_demo

    print(f"demo data set in {write_demo(out, settings)}")


def models(stages: Stages = Stages(), as_json: bool = False) -> None:  # noqa: B008
    """List what each model setting needs and what is present.

    Args:
        stages: Settings of each stage.
        as_json: Print JSON for programs.
    """
    by_name = stages.by_name()
    rows = model_table(by_name.values())
    if as_json:
        print(json.dumps([vars(row) for row in rows], indent=1))
        return
    for row in rows:
        state = f"{row.version[:12]}  {row.bytes / 1e6:.1f} MB" if row.present else "NOT THERE"
        print(f"{row.setting:<20}{state:<26}{row.name}")
        print(f"{'':<20}{row.needs if row.present else row.remedy}")
    print("\nother engines, and what their setting `model` must name:")
    for name, stage in by_name.items():
        for engine, what in stage.NEEDS.items():
            print(f"{name}.engine={engine:<14}{what}")
