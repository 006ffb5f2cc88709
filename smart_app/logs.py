"""The app's log: one JSON object a line on standard error, without patient data.

Only our own words are logged: never a URL's path (it names a launch), a body or another system's text. What
libraries log is reduced to where it came from, because they quote what they were given (urllib3: addresses).
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

# Loggers that speak of our own work and of processes, never of a chart.
_TRUSTED = frozenset(("smart_app", "terminology", "_granian", "granian"))


class JsonLines(logging.Formatter):
    """time, level, part, event, and the `fields` given as extra."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z",  # as the server
            "level": record.levelname,
            "part": record.name,
            "event": _words(record),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__  # its text may quote a chart
        return msgspec.json.encode(line).decode()


def _words(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] in _TRUSTED:
        return record.getMessage()
    return f"{record.filename}:{record.lineno} {record.funcName}"


def configure_logging(level: str) -> None:
    """Send everything of this process through `JsonLines`; libraries only from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("smart_app").setLevel(level)
