"""What is hidden makes no difference: once it is taken out of the database, every answer is the same.

Each request is asked twice with the same token, the second time of a database without the rows of what that
token may not see. Bodies, statuses, entity tags and dates have to be equal byte by byte: no total, order, page,
cursor, score, warning or refusal tells of what is hidden, also where one searches by it.

What may differ, by docs/decisions/0005-access-in-sql.md, is never asked here: a write under an id that is taken
(403 instead of 201) or with an identifier that is (412).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random, SystemRandom
from typing import Any

import pytest
from access_oracle.curious import Curious, Request
from access_oracle.emergencies import open_chart
from access_oracle.grants import Grant, random_grant
from access_oracle.sight import Sight
from access_oracle.sources import made
from access_oracle.world import World
from search_oracle.asking import offered

from server.storage.interface import Store

CASES = int(os.environ.get("BATON_ACCESS_CASES") or 500)
SEED = os.environ.get("BATON_ACCESS_SEED")
REQUESTS = 50
POLICIES = 2  # of a site: each case is run with both
WRITES = 70


@pytest.mark.parametrize("number", range(1 if SEED else -(-CASES // (2 * REQUESTS * POLICIES))))
def test_what_is_hidden_makes_no_difference(
    number: int, enter: Callable[[Grant], Any], clock: Any, store: Store, site_policy: Any
) -> None:
    seed = int(SEED) if SEED else SystemRandom().randrange(10**9)
    random = Random(seed)
    world = World(enter, random, clock)
    world.write(WRITES)
    grant = random_grant(random, world.kinds)
    fhir = enter(grant)
    assert not open_chart(Sight(world, grant, fhir, site_policy), random)
    sight = Sight(world, grant, fhir, site_policy)
    curious = Curious(sight, random, offered(world.everything))
    requests = [made(curious)[1] for _ in range(REQUESTS)]

    before = [answered(request, fhir) for request in requests]
    remove_hidden(store, sight)
    after = [answered(request, fhir) for request in requests]

    wrong = [
        f"{request}\n  {one}\n  {other}"
        for request, one, other in zip(requests, before, after, strict=True)
        if one != other
    ]
    assert not wrong, f"BATON_ACCESS_SEED={seed}\n{grant}\n" + "\n".join(wrong)


def answered(request: Request, fhir: Any) -> tuple[Any, ...]:
    """All of an answer that its content decides."""
    reply = request.ask(fhir)
    return reply.status, reply.headers.get("ETag"), reply.headers.get("Last-Modified"), reply.body


def remove_hidden(store: Store, sight: Sight) -> None:
    """Take the rows of every version that the token may not see, by any letter, out of the database."""
    shown = {key: sight.shown(key, "rs") for key in sight.world.versions}
    database: Any = store.database  # type: ignore[attr-defined]
    with database.writing() as connection:
        tables, place = _tables_with_rid(connection), connection.dialect.placeholder
        rids = {
            (kind, id): rid
            for kind, id, rid in connection.execute("SELECT type, id, rid FROM resource").fetchall()
        }
        for key, numbers in shown.items():
            rid = {"rid": rids[key]}
            if not numbers:
                for table in tables:
                    connection.execute(f"DELETE FROM {table} WHERE rid = {place('rid')}", rid)
                continue
            for number in range(1, len(sight.world.versions[key]) + 1):
                if number not in numbers:
                    connection.execute(
                        f"DELETE FROM version WHERE rid = {place('rid')} AND version = {place('number')}",
                        rid | {"number": number},
                    )


def _tables_with_rid(connection: Any) -> list[str]:
    """Every table that has rows of a resource, `resource` the last."""
    if connection.dialect.name == "sqlite":
        found = connection.execute(
            "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c"
            " WHERE m.type = 'table' AND c.name = 'rid'"
        ).fetchall()
    else:
        found = connection.execute(
            "SELECT table_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND column_name = 'rid'"
        ).fetchall()
    # Who is related to whom stays: it is why something may be seen, whether or not its resource may be.
    names = sorted({name for (name,) in found} - {"relationship", "membership"})
    assert {"resource", "version", "token", "compartment"} <= {*names}
    return [*(name for name in names if name != "resource"), "resource"]
