"""Structured logs: one JSON object a line on standard error, without patient data.

Our own code logs an event and fields of fixed meaning. What libraries log is reduced to where it came from,
because their texts may quote what they were given; errors are reduced to their type and the lines they passed.
"""

from __future__ import annotations

import logging
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
# Loggers whose texts are known to speak of processes and addresses only.
_TRUSTED = ("baton", "_granian", "granian.access")
_ROOT = Path(__file__).resolve().parent.parent
_encode = msgspec.json.encode


class Log:
    """Writes events at or above a level.

    descriptor: a file descriptor; every line is one `write`, so that processes do not mix their lines.
    """

    def __init__(self, level: str = "INFO", descriptor: int = 2) -> None:
        self._threshold = _LEVELS[level]
        self._descriptor = descriptor

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        """Log an event. fields: never values that come from a resource, a URL or a header."""
        if _LEVELS[level] < self._threshold:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
        line = _encode({"time": time, "level": level, "event": event, **fields}) + b"\n"
        try:
            os.write(self._descriptor, line)
        except OSError:  # nobody listens any more; a log that cannot be written is no reason to fail a request
            return

    def enabled(self, level: str) -> bool:
        """Whether events of the level are written."""
        return _LEVELS[level] >= self._threshold


def describe(error: BaseException) -> dict[str, Any]:
    """An error without its text: the names of its types (causes included) and the lines it passed."""
    types: list[str] = []
    where: list[str] = []
    current: BaseException | None = error
    while current is not None and len(types) < 5:
        types.append(type(current).__name__)
        for frame in traceback.extract_tb(current.__traceback__)[-8:]:
            where.append(f"{_shorten(frame.filename)}:{frame.lineno} {frame.name}")
        current = current.__cause__ or current.__context__
    return {"error": types, "where": where}


def configure_logging(log: Log) -> None:
    """Send what Python's logging brings through `log`, reduced as described above."""
    root = logging.getLogger()
    root.handlers[:] = [_Handler(log)]
    root.setLevel(logging.INFO)


class _Handler(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in _LEVELS else "ERROR"
        fields: dict[str, Any] = {"logger": record.name}
        if record.name.partition(".")[0] in _TRUSTED:
            fields["text"] = record.getMessage()
        else:
            fields["where"] = [f"{_shorten(record.pathname)}:{record.lineno} {record.funcName}"]
        if record.exc_info and record.exc_info[1] is not None:
            fields |= describe(record.exc_info[1])
        self._log(level, "library", **fields)


def _shorten(filename: str) -> str:
    path = Path(filename)
    if path.is_relative_to(_ROOT):
        return str(path.relative_to(_ROOT)).partition("site-packages/")[2] or str(path.relative_to(_ROOT))
    return path.name
