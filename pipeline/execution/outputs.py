"""What a run writes beside its shards: recipes, which keys it uses, and shards.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.base.files import canonical, write_json
from pipeline.execution.plan import Plan
from pipeline.shards.reader import FORMAT


def write_recipes(plan: Plan) -> None:
    """Write each stage's recipe beside its shards, or check the one that is there."""
    for entry in plan.stages.values():
        path = entry.folder / "recipe.json"
        if not path.exists():
            write_json(path, entry.recipe | {"key": entry.key})


def write_shards_json(plan: Plan, path: Path, evaluate: str, settings: dict[str, Any]) -> bool:
    """Write what training and evaluation read; return False where it is there unchanged.

    Only its content decides, so that its time of modification tells `make` the truth.
    """
    content = {
        "format": FORMAT,
        "name": plan.dataset,
        "evaluate": evaluate,
        "settings": settings,
        "shard_frames": plan.shard_frames,
        "videos": [vars(video.info) for video in plan.videos],
        "stages": {name: _stage_entry(plan, name) for name in plan.stages},
    }
    try:
        if canonical_file(path) == canonical(content):
            return False
    except (OSError, ValueError):
        pass
    write_json(path, content)
    return True


def canonical_file(path: Path) -> str:
    """Return the canonical text of a JSON file."""
    return canonical(json.loads(path.read_text(encoding="utf-8")))


def _stage_entry(plan: Plan, name: str) -> dict[str, Any]:
    entry = plan.stages[name]

    def specs(arrays: Any) -> dict[str, Any]:
        return {
            key: {"dtype": spec.dtype, "shape": list(spec.shape)} for key, spec in arrays.items()
        }

    videos = {}
    for video in plan.videos_of(name):
        where: dict[str, Any] = {
            "folder": plan.video_folder(name, video),
            "frames": plan.frames(name, video),
        }
        if plan.video_specs(name, video) != entry.arrays:
            where["arrays"] = specs(plan.video_specs(name, video))
        videos[video.info.name] = where
    return {
        "key": entry.key,
        "recipe": entry.recipe,
        "folder": str(entry.folder.absolute()),
        "arrays": specs(entry.arrays),
        "videos": videos,
    }


def write_keys(plan: Plan, path: Path) -> None:
    """Note which keys a run uses, before it is complete, so that ``gc`` leaves them alone."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["stages"]
    except (OSError, ValueError, KeyError, TypeError):
        known = {}
    used = {name: {"folder": str(entry.folder.absolute())} for name, entry in plan.stages.items()}
    if known | used != known:
        write_json(path, {"stages": known | used})
