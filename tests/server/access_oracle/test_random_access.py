"""Random resources, tokens and requests: nothing hidden is shown, nothing that may be seen is missing.

Every answer is compared with that of an oracle which decides from the resources' content alone. The row sources
are those of `oracle/sources.py`, and writes. BATON_ACCESS_CASES: how many requests; BATON_ACCESS_SEED: the seed
that a failure printed. Covers docs/decisions/0005-access-in-sql.md,
hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random, SystemRandom
from typing import Any

import pytest
from access_oracle.curious import Curious
from access_oracle.grants import Grant, random_grant
from access_oracle.sight import Sight
from access_oracle.sources import SOURCES, made
from access_oracle.world import World
from access_oracle.writes import Writer
from search_oracle.asking import offered

CASES = int(os.environ.get("BATON_ACCESS_CASES") or 500)
SEED = os.environ.get("BATON_ACCESS_SEED")
WRITES = 70  # that make a world
TOKENS = 4 if CASES <= 1_000 else 8  # that look at one
REQUESTS = 12  # of one token
WORLDS = 1 if SEED else -(-CASES // (TOKENS * REQUESTS))


def claims(grant: Grant) -> dict[str, Any]:
    return {"patient": grant.patient, "fhir_user": grant.user, "role": grant.role}


def world_of(seed: int, as_token: Callable[..., Any], clock: Any) -> tuple[World, Random]:
    random = Random(seed)
    world = World(as_token("system/*.cruds"), random, clock)
    world.write(WRITES)
    return world, random


def told(seed: int, found: list[str]) -> str:
    return f"BATON_ACCESS_SEED={seed} BATON_ACCESS_CASES={CASES}\n" + "\n\n".join(found)


@pytest.mark.parametrize("number", range(WORLDS))
def test_a_token_is_shown_what_it_may_see_and_nothing_else(
    number: int, as_token: Callable[..., Any], clock: Any, site_policy: Any
) -> None:
    seed = int(SEED) if SEED else SystemRandom().randrange(10**9)
    world, random = world_of(seed, as_token, clock)
    known = offered(world.everything)
    wrong: list[str] = []
    for _ in range(TOKENS):
        grant = random_grant(random, world.kinds)
        sight = Sight(world, grant, as_token(grant.scope, **claims(grant)), site_policy)
        curious = Curious(sight, random, known)
        for turn in range(REQUESTS):
            name = list(SOURCES)[turn % len(SOURCES)] if turn < 4 else ""
            name, request, judge = made(curious, name)
            if fault := judge(request.ask(sight.fhir)):
                wrong.append(f"{name}: {request}\n  {grant}\n  {fault}")
    assert not wrong, told(seed, wrong)


@pytest.mark.parametrize("number", range(max(1, WORLDS // 4)))
def test_a_token_writes_what_it_may_write_and_nothing_else(
    number: int, as_token: Callable[..., Any], clock: Any, site_policy: Any
) -> None:
    seed = int(SEED) if SEED else SystemRandom().randrange(10**9)
    world, random = world_of(seed, as_token, clock)
    wrong: list[str] = []
    for _ in range(TOKENS):
        grant = random_grant(random, world.kinds, writes=True)
        fhir = as_token(grant.scope, **claims(grant))
        for _ in range(REQUESTS):
            clock.advance(seconds=1)
            if fault := Writer(Sight(world, grant, fhir, site_policy), random).write():
                wrong.append(f"{grant}\n  {fault}")
                break  # what the oracle holds may now be another world
    assert not wrong, told(seed, wrong)
