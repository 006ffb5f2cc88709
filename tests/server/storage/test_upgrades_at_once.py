"""Several processes that start together on a new database, as containers do: one makes the schema.

Covers docs/reference/database.md ("Migrations"). The chosen database, and PostgreSQL always.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from server.storage import open_store
from server.storage.migrations import migrations

PROCESSES = 4


def _upgrade(url: str, start: Any, found: Any) -> None:
    store = open_store(url)
    start.wait()
    try:
        found.put(store.upgrade())
    except BaseException as error:
        found.put(f"{type(error).__name__}: {error}")
    finally:
        store.close()


@pytest.mark.network
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_that_upgrade_at_once_all_find_the_newest_schema(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'baton.sqlite3'}"
    if kind == "postgresql":
        url = request.getfixturevalue("cluster").create_database("upgraded_at_once")
    context = multiprocessing.get_context("fork")
    start, found = context.Barrier(PROCESSES), context.Queue()
    processes = [context.Process(target=_upgrade, args=(url, start, found)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    versions = [found.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert versions == [migrations(kind)[-1].number] * PROCESSES
