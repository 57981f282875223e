"""Take a finished training from another folder instead of repeating it, and put one aside.

Variants of a preset differ in one setting, which often concerns one network alone: the others
are the preset's own, to the last bit, and need not be trained again. And where normal videos were
added or changed, the training on those before is kept, should they come back.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from pathlib import Path
from typing import Any

from pipeline.base.errors import ProjectError
from pipeline.base.files import canonical, replacing
from training.record.folder import RunFolder, check_weights, read_recipe
from training.record.recipe import new_data, same


def adopt(folder: RunFolder, other: str | Path, recipe: dict[str, Any]) -> bool:
    """Copy the finished training of this very recipe from another folder.

    Nothing is copied over what is there already, finished or begun.

    Parameters
    ----------
    folder
        Where to.
    other
        The other training's folder; it may be missing, unfinished, or of another recipe.
    recipe
        What was asked for.

    Returns
    -------
    bool
        Whether it was copied.

    Raises
    ------
    DataError
        If the other folder's files are damaged or do not belong together.
    """
    source = RunFolder(other)
    if folder.recipe.exists() or folder.checkpoint.exists() or not source.recipe.exists():
        return False
    found = read_recipe(source.path)
    if not same(recipe, found):
        return False
    check_weights(source.path, found)
    # As in a training, recipe.json comes last: with it the folder is complete.
    for name in ("metrics", "weights", "recipe"):
        path: Path = getattr(source, name)
        if path.exists():
            with replacing(getattr(folder, name)) as temporary:
                shutil.copyfile(path, temporary)
    print(f"{folder.path}: the same training was finished in {source.path}; its weights are taken")
    return True


def make_way(folder: RunFolder, recipe: dict[str, Any]) -> None:
    """Put aside a training on other videos, or take back that on these; else do nothing.

    A training whose *settings* differ stays: it belongs to another command.
    """
    found = _there(folder)
    said = new_data(recipe, found) if found else []
    if not said:
        return
    aside = folder.earlier / _name(found)
    if aside.exists():
        shutil.rmtree(aside)
    aside.mkdir(parents=True)
    for path in folder.contents:
        if path.exists():
            path.rename(aside / path.name)
    before = folder.earlier / _name(recipe)
    if (before / "recipe.json").exists():
        for path in reversed(type(folder)(before).contents):  # recipe.json last
            if path.exists():
                path.rename(folder.path / path.name)
        before.rmdir()
    print(
        f"{folder.path}: the videos are others than it was trained on: {'; '.join(said)}. That "
        f"training is kept in {aside}"
    )


def _there(folder: RunFolder) -> dict[str, Any]:
    """Return the recipe of what is finished or begun in a folder; empty if that is nothing."""
    with contextlib.suppress(ProjectError):  # said where it is read to be used
        if folder.recipe.exists():
            return read_recipe(folder.path)
        if folder.checkpoint.exists():
            return dict(folder.read_checkpoint()["recipe"])
    return {}


def _name(recipe: dict[str, Any]) -> str:
    contents = canonical(recipe.get("contents", {})).encode()
    return f"{recipe['key'][:8]}-{hashlib.sha256(contents).hexdigest()[:8]}"
