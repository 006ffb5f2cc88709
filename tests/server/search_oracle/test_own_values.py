"""Every resource of the examples is found by each of its own values, which the oracle works out.

The examples are US Core's (6.1.0 and 7.0.0) and the synthetic charts of the demonstration. Each distinct
search is asked once, and must find every resource that has the value. `make test` asks a sample.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from random import SystemRandom
from typing import Any
from urllib.parse import urlencode

import pytest
from search_oracle.asking import ZONE, Door, offered
from search_oracle.definitions import parameters
from search_oracle.evaluator import Held, Key, Oracle
from search_oracle.makers import BASE
from search_oracle.own_values import Pair, searches
from search_oracle.questions import Offered
from search_oracle.values import Place

from server.demo_data.charts import bundles, with_local_references
from server.fhir.json_codec import decode

EXAMPLES = Path(__file__).resolve().parents[1] / "fhir" / "examples_us_core"
SAMPLE = 400
ENTRIES = 1_000

Json = dict[str, Any]


def us_core(release: str) -> list[Json]:
    lines = gzip.decompress((EXAMPLES / f"us_core_{release}.ndjson.gz").read_bytes()).splitlines()
    return [decode(line) for line in lines if line]


def charts(wanted: Collection[int]) -> list[Json]:
    """The resources of synthetic charts, by their numbers."""
    found = []
    for number, bundle in enumerate(bundles()):
        if number in wanted:
            found += with_local_references(bundle)
    return found


def stored(door: Door, resources: Iterable[Json]) -> Oracle:
    """The resources in the server and in the oracle."""
    oracle = Oracle(Place(BASE, ZONE))
    # Synthetic charts share organizations and practitioners.
    waiting = list({(one["resourceType"], one["id"]): one for one in resources}.values())
    for at in range(0, len(waiting), ENTRIES):
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in waiting[at : at + ENTRIES]
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = door.everything.post("", bundle, Prefer="return=representation")
        assert answer.status == 200, answer.body[:2_000]
        for entry in answer.json["entry"]:
            oracle.put(entry["resource"])
    return oracle


Search = tuple[str, Pair]


def wanted(oracle: Oracle, known: Offered) -> tuple[dict[Search, set[Key]], set[tuple[str, str]]]:
    """Search -> what it must find, and the (type, code) that have a value somewhere."""
    found: dict[Search, set[Key]] = defaultdict(set)
    used = set()
    for held in oracle.everything():
        kind = held.key[0]
        for code in known.codes[kind]:
            for pair in _searches(held, code, known):
                found[kind, pair].add(held.key)
                used.add((kind, code))
    return found, used


def _searches(held: Held, code: str, known: Offered) -> Iterable[Pair]:
    parameter = parameters(held.key[0]).get(code)
    return searches(held, parameter, known) if parameter is not None and parameter.expressions else ()


def not_found(door: Door, asked: Iterable[tuple[Search, set[Key]]]) -> list[str]:
    """The searches that leave out something they must find."""
    faults = []
    for (kind, (name, text)), keys in asked:
        got: set[Key] = set()
        path = (
            f"{kind}?{urlencode([(name, text), ('_count', '1000'), ('_elements', 'id'), ('_total', 'none')])}"
        )
        while path:
            answer = door.everything.get(path)
            if answer.status != 200:
                faults.append(f"{kind}?{name}={text}: {answer.status} {answer.body[:300]!r}")
                break
            bundle = answer.json
            got |= {
                (entry["resource"]["resourceType"], entry["resource"]["id"])
                for entry in bundle.get("entry", ())
            }
            following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            path = following[0].removeprefix(BASE) if following else ""
        else:
            if missing := keys - got:
                faults.append(
                    f"{kind}?{name}={text} does not find {len(missing)} of {len(keys)}: {min(missing)}"
                )
    return faults


def check(as_token: Callable[..., Any], resources: Iterable[Json], sample: int | None) -> None:
    """Everything is found by its own values; sample: how many searches of all are asked."""
    door = Door(as_token)
    known = offered(door.everything)
    searches, _ = wanted(stored(door, resources), known)
    chosen = list(searches.items())
    assert len(chosen) > SAMPLE
    if sample is not None:
        chosen = SystemRandom().sample(chosen, sample)
    print(f"{len(chosen)} of {len(searches)} searches")
    faults = not_found(door, chosen)
    assert not faults, f"{len(faults)} searches\n" + "\n".join(faults[:100])


@pytest.mark.requirement("U1")
@pytest.mark.parametrize("release", ["6_1_0", "7_0_0"])
def test_examples_of_us_core_are_found_by_a_sample_of_their_values(
    as_token: Callable[..., Any], release: str
) -> None:
    check(as_token, us_core(release), SAMPLE)


@pytest.mark.requirement("U1")
def test_a_synthetic_chart_is_found_by_a_sample_of_its_values(as_token: Callable[..., Any]) -> None:
    check(as_token, charts(range(1)), SAMPLE)


@pytest.mark.long
@pytest.mark.requirement("U1")
@pytest.mark.parametrize("release", ["6_1_0", "7_0_0"])
def test_every_example_of_us_core_is_found_by_each_of_its_values(
    as_token: Callable[..., Any], release: str
) -> None:
    check(as_token, us_core(release), None)


@pytest.mark.long
@pytest.mark.requirement("U1")
@pytest.mark.parametrize("first", range(0, 24, 4))
def test_every_resource_of_the_synthetic_charts_is_found_by_each_of_its_values(
    as_token: Callable[..., Any], first: int
) -> None:
    check(as_token, charts(range(first, first + 4)), None)
