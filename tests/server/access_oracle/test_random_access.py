"""Random resources, tokens and requests: nothing hidden is shown, nothing that may be seen is missing.

Every answer is compared with that of an oracle which decides from the resources' content alone. The row sources
are those of `oracle/sources.py`, and writes; in between staff opens charts in an emergency. BATON_ACCESS_CASES:
how many requests; BATON_ACCESS_SEED: the seed that a failure printed. Covers docs/reference/access.md,
docs/reference/partners.md, docs/decisions/0005-access-in-sql.md,
hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from random import Random, SystemRandom
from typing import Any

import pytest
from access_oracle.curious import Curious
from access_oracle.emergencies import open_chart
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
ATTEMPTS = 3  # to open a chart
POLICIES = 2  # of a site: each case is run with both
WORLDS = 1 if SEED else -(-CASES // (TOKENS * REQUESTS * POLICIES))


def world_of(seed: int, enter: Callable[[Grant], Any], clock: Any) -> tuple[World, Random]:
    random = Random(seed)
    world = World(enter, random, clock)
    world.write(WRITES)
    return world, random


def told(seed: int, found: list[str]) -> str:
    return f"BATON_ACCESS_SEED={seed} BATON_ACCESS_CASES={CASES}\n" + "\n\n".join(found)


class Visit:
    """Somebody with a token, who tries to open charts in an emergency and stays until they are closed."""

    def __init__(self, world: World, grant: Grant, policy: Mapping[str, Any]) -> None:
        self.world, self.grant, self._policy = world, grant, policy
        self._fhir = world.enter(grant)

    def sight(self) -> Sight:
        """What the token sees now."""
        return Sight(self.world, self.grant, self._fhir, self._policy)

    def opens(self) -> Iterator[str]:
        """Some attempts, and what was wrong with each."""
        for _ in range(ATTEMPTS):
            yield open_chart(self.sight(), self.world.random)

    def stays(self) -> None:
        """Until just before or after the end of what is open."""
        opened = self.world.open_to(self.grant.user)
        if opened:
            closed = max(one.until for one in opened)
            self.world.wait(closed + timedelta(microseconds=self.world.random.choice((-1, 0, 10**6))))
            self._fhir = self.world.enter(self.grant)


@pytest.mark.parametrize("number", range(WORLDS))
def test_a_token_is_shown_what_it_may_see_and_nothing_else(
    number: int, enter: Callable[[Grant], Any], clock: Any, site_policy: Any
) -> None:
    seed = int(SEED) if SEED else SystemRandom().randrange(10**9)
    world, random = world_of(seed, enter, clock)
    known = offered(world.everything)
    wrong: list[str] = []
    for _ in range(TOKENS):
        grant = random_grant(random, world.kinds, known=[one.user for one in world.opened])
        visit = Visit(world, grant, site_policy)
        for turn in range(REQUESTS):
            if turn == REQUESTS // 3:
                wrong += [f"{grant}\n  {fault}" for fault in visit.opens() if fault]
            if turn == 2 * REQUESTS // 3:
                visit.stays()
            sight = visit.sight()
            name = list(SOURCES)[turn % len(SOURCES)] if turn < 4 else ""
            name, request, judge = made(Curious(sight, random, known), name)
            if fault := judge(request.ask(sight.fhir)):
                wrong.append(f"{name}: {request}\n  {grant}\n  {fault}")
    assert not wrong, told(seed, wrong)


@pytest.mark.parametrize("number", range(max(1, WORLDS // 2)))
def test_a_token_writes_what_it_may_write_and_nothing_else(
    number: int, enter: Callable[[Grant], Any], clock: Any, site_policy: Any
) -> None:
    seed = int(SEED) if SEED else SystemRandom().randrange(10**9)
    world, random = world_of(seed, enter, clock)
    wrong: list[str] = []
    for _ in range(TOKENS):
        known = [one.user for one in world.opened]
        grant = random_grant(random, world.kinds, writes=True, known=known)
        visit = Visit(world, grant, site_policy)
        wrong += [f"{grant}\n  {fault}" for fault in visit.opens() if fault]
        for turn in range(REQUESTS):
            clock.advance(seconds=1)
            if turn == 2 * REQUESTS // 3:
                visit.stays()
            if fault := Writer(visit.sight(), random).write():
                wrong.append(f"{grant}\n  {fault}")
                break  # what the oracle holds may now be another world
    assert not wrong, told(seed, wrong)
