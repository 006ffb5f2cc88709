"""An upgrade that is killed at any moment: the database stands at one schema or the next and can go on."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from baton_processes import COMMAND, Baton

from server.fhir.hashing import reference_hash
from server.storage import open_store
from server.storage.database import Connection
from server.storage.database_store import DatabaseStore
from server.storage.migrations import migrations, upgrade

pytestmark = [pytest.mark.network, pytest.mark.early]

UPGRADES = max(1, int(os.environ.get("BATON_KILL_ROUNDS") or 3) // 3)  # each is killed three times
SEED = int(os.environ.get("BATON_KILL_SEED") or random.SystemRandom().randrange(1_000_000))
RESOURCES = 500
DOUBLED = 5  # so often the waiting events are doubled: 16,000, which take a migration a moment


def fill(connection: Connection) -> None:
    """Rows of the first schema, which is released and stays as it is: enough for an upgrade to take a while."""
    numbers = range(1, RESOURCES + 1)
    common = "rid, type, version, updated, method, patient, body"
    connection.executemany(
        f"INSERT INTO resource ({common}, id, deleted, self_hash, settled_version, tokens)"
        " VALUES (:rid, 'Patient', 2, :rid, 'PUT', NULL, :body, :id, 0, :hash, 1, :tokens)",
        [
            {
                "rid": number,
                "id": f"p{number}",
                "hash": reference_hash(f"Patient/p{number}"),
                "body": b'{"resourceType":"Patient","id":"p%d"}' % number,
                "tokens": connection.dialect.pack([number]),
            }
            for number in numbers
        ],
    )
    for version, body in ((1, b'{"resourceType":"Patient"}'), (2, None)):
        connection.executemany(
            f"INSERT INTO version ({common}) VALUES (:rid, 'Patient', {version}, :rid, 'PUT', NULL, :body)",
            [{"rid": number, "body": body} for number in numbers],
        )
    waiting = "rid, type, resource_id, method, created, state, owner, available, attempts, version"
    connection.executemany(
        f"INSERT INTO outbox ({waiting}) VALUES (:rid, 'Patient', :id, 'PUT', 0, 'new', '', 0, 0, 1)",
        [{"rid": number, "id": f"p{number}"} for number in numbers],
    )
    for turn in range(DOUBLED):
        connection.execute(f"INSERT INTO outbox ({waiting}) SELECT {waiting} + {2**turn} FROM outbox")
    connection.executemany(
        "INSERT INTO audit (recorded, principal, client_id, interaction, type, resource_id, version, patient,"
        " outcome, request_id) VALUES (:rid, 'x', 'x', 'update', 'Patient', :id, 2, '', 200, :id)",
        [{"rid": number, "id": f"p{number}"} for number in numbers],
    )


def kept(store: DatabaseStore) -> dict[str, Any]:
    """What no schema may lose."""
    questions = {
        "resources": "SELECT rid, type, id, version, body FROM resource ORDER BY rid",
        "versions": "SELECT rid, version, method, updated, body FROM version ORDER BY rid, version",
        "events": "SELECT rid, type, resource_id, version, method FROM outbox ORDER BY rid, version",
        "audit": "SELECT recorded, interaction, type, resource_id, outcome FROM audit ORDER BY recorded",
    }
    with store.database.reading() as connection:
        return {name: connection.execute(sql).fetchall() for name, sql in questions.items()}


def schema(store: DatabaseStore) -> int:
    with store.database.reading() as connection:
        return store.database.schema_version(connection)


def empty_database(request: pytest.FixtureRequest, folder: Path) -> str:
    """One without any schema."""
    if request.getfixturevalue("database_kind") == "sqlite":
        return f"sqlite:///{folder / 'baton.sqlite3'}"
    url: str = request.getfixturevalue("cluster").create_database(f"killed_{folder.name}")
    return url


def test_an_upgrade_killed_at_any_moment_can_be_run_again(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    whole = 0.0  # seconds that an upgrade takes here: the first one is left alone
    for number in range(UPGRADES + 1):
        folder = tmp_path / f"round{number}"
        baton = Baton(folder / "home", empty_database(request, folder))
        store = open_store(baton.url)
        assert upgrade(store.database, until=1) == 1
        with store.database.writing() as connection:
            fill(connection)
        before = kept(store)
        stood = [1]
        for _ in range(3 if number else 0):
            process = subprocess.Popen(
                [COMMAND, "db", "upgrade"],
                env=baton.variables,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(chance.uniform(0.25, 0.9) * whole)
            baton.kill(process.pid)
            process.wait()
            stood.append(schema(store))
            assert kept(store) == before
        began = time.monotonic()
        baton.command("db", "upgrade")
        whole = whole or time.monotonic() - began
        stood.append(schema(store))
        assert stood == sorted(stood)
        assert stood[-1] == migrations(store.database.dialect.name)[-1].number
        assert kept(store) == before
        store.close()
        print(f"seed {SEED}, upgrade {number}: schemas after each kill {stood[1:]}")
