"""`python -m server.demo_data`: load the synthetic charts; `baton serve --demo` runs it once web answers."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path

import click

from server.app import make_context, now
from server.demo_data.charts import bundles
from server.demo_data.fill import fill
from server.process import die_with_parent
from server.settings import read_settings
from server.storage import open_store

DONE_FILE = "demo-data.json"  # in BATON_HOME: that, when and what was loaded


def main() -> None:
    """Load what is missing, with a progress bar and a summary."""
    die_with_parent()
    settings = read_settings(os.environ, demo=True)
    done = settings.home / DONE_FILE
    if done.exists():
        return
    started = time.monotonic()
    stories = [point.load() for point in importlib.metadata.entry_points(group="baton.demo_stories")]
    store = open_store(settings.database_url)
    context = make_context(settings, store)
    total = sum(1 for _ in bundles())
    with click.progressbar(length=total, label="synthetic charts", file=sys.stderr) as bar:
        filled = fill(context, now(), stories, note=lambda chart: bar.update(1))
    store.close()
    seconds = time.monotonic() - started
    summary = {
        "patients": filled.patients,
        "resources": filled.resources,
        "present": filled.present,
        "seconds": round(seconds, 1),
    }
    _write_whole(done, json.dumps(summary | {"loaded": now().isoformat()}))
    click.echo(
        f"synthetic charts ready: {filled.patients} patients, {filled.resources} resources in {seconds:.0f} s"
    )


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()
