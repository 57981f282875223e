"""Take a finished training from another folder instead of repeating it.

Variants of a preset differ in one setting, which often concerns one network alone: the others
are the preset's own, to the last bit, and need not be trained again.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pipeline.base.files import replacing
from training.record.folder import RunFolder, check_weights, read_recipe


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
    if found["key"] != recipe["key"]:
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
