"""Where a model's weights come from: a Hugging Face commit, or a file or folder given by path.

A setting names a model in one of two ways, and nothing else is accepted:

``org/name@<40 hexadecimal digits>``
    A repository at one commit. Branches and tags move, so they are refused. It is looked
    for in the Hugging Face cache (``HF_HOME``) and downloaded if it is not there, unless
    ``HF_HUB_OFFLINE=1``.
a path
    A file or folder, by its SHA-256.

What goes into a stage's key is the commit or the digest, never the path, so that a
model that moves keeps its shards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.base.errors import ConfigurationError
from pipeline.base.files import sha256_of_file

HUB_NAME = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
LOOKS_LIKE_HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+(@.*)?")
WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True)
class ModelUse:
    """A model that a stage's settings name.

    Attributes
    ----------
    setting
        The setting that names it, ``features.model``.
    name
        The setting's value.
    needs
        What has to be there, for people: ``a ViFi-CLIP checkpoint (.pth)``.
    """

    setting: str
    name: str
    needs: str


class UsesModels(Protocol):
    """A stage, in what models need of it."""

    def models(self) -> tuple[ModelUse, ...]:
        """Return the models in use."""
        ...


@dataclass(frozen=True)
class ModelRow:
    """One line of ``python -m pipeline models``.

    ``version`` is the commit or the SHA-256, empty where the model is not there.
    ``where`` is its file or folder. ``remedy`` says how to get what is not there.
    """

    setting: str
    name: str
    needs: str
    present: bool
    version: str = ""
    where: str = ""
    bytes: int = 0
    remedy: str = ""


def check_name(use: ModelUse) -> None:
    """Check how a model is named, without looking for it.

    Raises
    ------
    ConfigurationError
        If the name is empty, or a repository without its full commit.
    """
    if not use.name.strip():
        raise ConfigurationError(
            f"{use.setting}: is empty, but needs {use.needs}, as a path or as org/name@<commit>"
        )
    if "@" in use.name and LOOKS_LIKE_HUB.fullmatch(use.name) and not is_hub(use.name):
        raise ConfigurationError(
            f"{use.setting}: {use.name} must end in the 40 hexadecimal digits of a commit; a "
            "branch, tag or short commit may come to mean something else. The commit is on the "
            "repository's page under Files, History"
        )


def is_hub(name: str) -> bool:
    """Tell whether a name is a repository with its commit.

    >>> is_hub("facebook/detr@" + "0" * 40), is_hub("models/detr")
    (True, False)
    """
    return HUB_NAME.fullmatch(name) is not None


def identity(use: ModelUse, digest: Callable[[Path], str]) -> str:
    """Return the part of a stage's key that stands for a model: its commit or its SHA-256."""
    if is_hub(use.name):
        return use.name
    return "sha256:" + digest(_existing_path(use))


def locate(use: ModelUse) -> Path | None:
    """Return where a model lies on this machine, or None; never downloads."""
    if not is_hub(use.name):
        path = Path(use.name).expanduser()
        return path if path.exists() else None
    return _in_hub_cache(use.name)


def resolve(use: ModelUse) -> Path:
    """Return the folder or file of a model, downloading a repository that is not yet here.

    Raises
    ------
    ConfigurationError
        If it is neither here nor to be had: the message says which repository and commit
        or file is wanted, where to put it, and which setting names it.
    """
    check_name(use)
    found = locate(use)
    if found is not None:
        return found
    if not is_hub(use.name):
        return _existing_path(use)
    try:
        _download(use.name)
    except Exception as error:  # the client raises errors of four libraries
        raise ConfigurationError(_missing_from_hub(use, error)) from None
    found = _in_hub_cache(use.name)
    if found is None:
        raise ConfigurationError(
            f"{use.setting}: {use.name} has no weights (*.safetensors or *.bin) beside a "
            f"config.json or model_index.json; needed: {use.needs}"
        )
    return found


def require(stages: Iterable[UsesModels]) -> None:
    """Get every model that the stages' settings name, before any worker needs it.

    Parameters
    ----------
    stages
        As for :func:`model_table`; those with something left to compute.

    Raises
    ------
    ConfigurationError
        If some are not to be had: one error that names them all.
    """
    problems = []
    for use in _uses(stages):
        try:
            resolve(use)
        except ConfigurationError as error:
            problems.append(str(error))
    if problems:
        raise ConfigurationError("; ".join(dict.fromkeys(problems)))


def model_table(stages: Iterable[UsesModels]) -> list[ModelRow]:
    """Return what the stages' settings need, and whether it is here."""
    return [_row(use) for use in _uses(stages)]


def _uses(stages: Iterable[UsesModels]) -> list[ModelUse]:
    return [use for stage in stages for use in stage.models()]


def _row(use: ModelUse) -> ModelRow:
    found = locate(use)
    if found is None:
        try:
            check_name(use)
            remedy = _how_to_get(use) if is_hub(use.name) else _missing_path(use)
        except ConfigurationError as error:
            remedy = str(error)
        return ModelRow(use.setting, use.name, use.needs, False, remedy=remedy)
    version = use.name.rpartition("@")[2] if is_hub(use.name) else digest_of(found)
    size = sum(file.stat().st_size for file in files_of(found))
    return ModelRow(use.setting, use.name, use.needs, True, version, str(found), size)


def files_of(path: Path) -> list[Path]:
    """Return a model's files, sorted; of a folder all below it that are not hidden.

    Hidden are the notes that downloaders leave beside a model, with the time of download.
    """
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    )


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a model's file, or of the names and digests of a folder's files."""
    import hashlib

    if not path.is_dir():
        return sha256_of_file(path)
    lines = [f"{f.relative_to(path).as_posix()}\t{sha256_of_file(f)}\n" for f in files_of(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _existing_path(use: ModelUse) -> Path:
    path = Path(use.name).expanduser()
    if not path.exists():
        raise ConfigurationError(_missing_path(use))
    return path


def _missing_path(use: ModelUse) -> str:
    hint = ""
    if LOOKS_LIKE_HUB.fullmatch(use.name):
        hint = f"; a Hugging Face repository is named with its commit, {use.name}@<40 digits>"
    where = Path(use.name).expanduser().absolute()
    return (
        f"{use.setting}: {where} is not there; put {use.needs} there, or set {use.setting} to "
        f"where it is{hint}"
    )


def _missing_from_hub(use: ModelUse, error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return (
        f"{use.setting}: {use.name} ({use.needs}) is not on this machine and could not be "
        f"downloaded ({type(error).__name__}: {lines[0]}). {_how_to_get(use)}"
    )


def _how_to_get(use: ModelUse) -> str:
    repository, _, revision = use.name.partition("@")
    folder = repository.rpartition("/")[2]
    return (
        f"Where there is a network: hf download {repository} --revision {revision} "
        f"--local-dir {folder}; bring that folder here and set {use.setting} to its path, or put "
        f"the downloading machine's Hugging Face cache at {_hub_cache()}"
    )


def _hub_cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _in_hub_cache(name: str) -> Path | None:
    """Return the commit's folder in the Hugging Face cache if a model's files are in it."""
    match = HUB_NAME.fullmatch(name)
    assert match is not None
    repository = "models--" + match["id"].replace("/", "--")
    folder = Path(_hub_cache()) / repository / "snapshots" / match["revision"]
    if not any((folder / config).is_file() for config in ("config.json", "model_index.json")):
        return None
    return folder if _complete(folder) else None


def _complete(folder: Path) -> bool:
    """Tell whether all weights are there: of each part, and all that an index names."""
    for index in folder.rglob("*.index.json"):
        files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if not all((index.parent / name).is_file() for name in files):
            return False
    pipeline = folder / "model_index.json"
    if not pipeline.is_file():
        return _has_weights(folder)
    parts = json.loads(pipeline.read_text(encoding="utf-8"))
    named = [name for name, kind in parts.items() if isinstance(kind, list) and kind[0]]
    modelled = [name for name in named if (folder / name / "config.json").is_file()]
    return (
        all((folder / name).is_dir() for name in named)
        and bool(modelled)
        and all(_has_weights(folder / name) for name in modelled)
    )


def _has_weights(folder: Path) -> bool:
    return any(file.suffix in WEIGHTS and file.is_file() for file in folder.rglob("*"))


def _download(name: str) -> None:
    """Fetch configuration and weights; the old pickled format only where nothing else is."""
    from huggingface_hub import HfApi, snapshot_download

    repository, _, revision = name.partition("@")
    # Asked first because it fails at once without a network, where downloads try for long.
    entries = HfApi().model_info(repository, revision=revision, timeout=20).siblings or []
    safe = any(entry.rfilename.endswith(".safetensors") for entry in entries)
    patterns = ["*.json", "*.txt", "*.safetensors" if safe else "*.bin"]
    snapshot_download(repository, revision=revision, allow_patterns=patterns)
