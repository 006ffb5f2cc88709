"""A consumer of events as another package brings one: it writes down what it is told, in that order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VARIABLE = "RECORDED_EVENTS"
NAME = "recorder"


def record(events: Sequence[Any]) -> None:
    """One line an event, all lines of a call by one write."""
    lines = "".join(f"{event.resource_type} {event.id} {event.version_id}\n" for event in events)
    descriptor = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, lines.encode())
    finally:
        os.close(descriptor)


def recorded(path: Path) -> list[tuple[str, str, int]]:
    """Type, id and version of every event, in the order in which they were told."""
    if not path.exists():
        return []
    rows = [line.split(" ") for line in path.read_text().splitlines()]
    return [(resource_type, id, int(version)) for resource_type, id, version in rows]


def installed(folder: Path) -> Path:
    """A folder with this module as an installed package that offers it as a consumer; for PYTHONPATH."""
    folder.mkdir()
    (folder / "recorder.py").write_text(Path(__file__).read_text())
    info = folder / "recorder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: recorder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[baton.consumers]\n{NAME} = recorder:record\n")
    return folder
