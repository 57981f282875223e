"""Digests of model files, remembered by size and time so that gigabytes are read once."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from pipeline.base.errors import ConfigurationError
from pipeline.base.files import write_json
from pipeline.models.source import digest_of, files_of


class Digests:
    """Remembers ``{path: [signature, digest]}`` in a JSON file; a context manager."""

    def __init__(self, memory: Path):
        self._memory = memory
        try:
            content = json.loads(memory.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            content = {}
        self._known: dict[str, list[str]] = content if isinstance(content, dict) else {}
        self._changed = False

    def __enter__(self) -> Digests:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._changed:
            write_json(self._memory, self._known)

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file, or of a folder's files with their names.

        Raises
        ------
        ConfigurationError
            If there is nothing at ``path``.
        """
        path = Path(path)
        if not path.exists():
            raise ConfigurationError(f"{path}: not found; a setting names it as a model")
        facts = [
            (str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns)
            for file in files_of(path)
        ]
        signature = json.dumps(facts)
        known = self._known.get(str(path.absolute()))
        if known is not None and known[0] == signature:
            return known[1]
        digest = digest_of(path)
        self._known[str(path.absolute())] = [signature, digest]
        self._changed = True
        return digest
