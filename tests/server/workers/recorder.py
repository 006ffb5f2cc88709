"""A consumer as another package brings one: it writes down what it is told, slowly if asked to."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def record(events: Sequence[Any]) -> None:
    """One line an event, with the process that was told."""
    path = Path(os.environ["RECORDED"])
    for event in events:
        with path.open("a") as lines:
            lines.write(f"{os.getpid()} {event.id} {event.version_id}\n")
        time.sleep(float(os.environ.get("RECORD_SECONDS", "0")))
