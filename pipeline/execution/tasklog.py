"""A log for each task that has something to say."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class _TaskFile(logging.FileHandler):
    """A log that appears with its first line: a million shards that went well leave none."""

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        stream = super()._open()
        stream.write(f"on {socket.gethostname()}, process {os.getpid()}\n")
        return stream


@contextlib.contextmanager
def task_log(path: Path) -> Iterator[logging.Logger]:
    """Send the task's log, and warnings of the libraries it calls, to its own file."""
    handler = _TaskFile(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    thread = threading.get_ident()
    handler.addFilter(lambda record: record.thread == thread)
    log = logging.getLogger("pipeline.execution.task")
    log.propagate = False
    loggers = [log, logging.getLogger("py.warnings")]
    logging.captureWarnings(True)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield log
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()
