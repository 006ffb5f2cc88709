"""What a datatype function has besides its value (mappings/scope.py)."""

from __future__ import annotations

import pytest

from mappings.hl7v2.message import parse
from mappings.result import Identity, Source
from mappings.scope import Scope, joined

MESSAGE = parse(b'MSH|^~\\&|A|B\rPID|1||7^^^W|""|\x01\r')


def scope() -> Scope:
    return Scope(Source("x"), MESSAGE)


def test_paths_join_by_dots_and_brackets() -> None:
    assert [joined("", "a"), joined("a", ""), joined("a", "b"), joined("a", "[0]")] == ["a", "a", "a.b", "a[0]"]


def test_what_is_used_is_told_with_its_path() -> None:
    given = scope()
    given.at("name[0]").at("period").used(MESSAGE.get("PID-3"), "start", "t:1")
    (use,) = given.account.uses
    assert (use.path, use.table, str(use.value.position)) == ("name[0].period.start", "t:1", "PID[1]-3[1].1.1")


@pytest.mark.parametrize("path", ["PID-2", "PID-4", "PID-5"])
def test_what_is_empty_deleted_or_nothing_but_controls_does_not_count_as_used(path: str) -> None:
    given = scope()
    given.used(MESSAGE.get(path), "x")
    assert given.account.uses == []


def test_a_finding_names_the_place() -> None:
    given = scope()
    given.warn("code-unknown", MESSAGE.get("PID-3.4"), "words")
    given.warn("code-unknown", "", "words")
    assert [finding.position for finding in given.account.findings] == ["PID[1]-3[1].4.1", ""]


def test_a_table_that_is_not_there_is_an_error_of_the_map_not_of_the_message() -> None:
    with pytest.raises(KeyError):
        scope().table("no-such-table", "A")


def test_what_is_said_apart_counts_when_it_is_taken() -> None:
    given = scope()
    apart = given.apart()
    apart.used(MESSAGE.get("PID-3"), "value")
    assert given.account.uses == []
    given.take(apart, "identifier[0]")
    assert [use.path for use in given.account.uses] == ["identifier[0].value"]


def test_one_key_is_one_resource() -> None:
    given = scope()
    first = given.resource("K", {"resourceType": "Organization", "name": "A"}, [Identity("s", "1")])
    second = given.resource(
        "K", {"resourceType": "Organization", "name": "B", "alias": ["C"]}, [Identity("s", "2")]
    )
    assert first == second == {"reference": "#intent:K"}
    (intent,) = given.account.intents.values()
    assert intent.resource == {"resourceType": "Organization", "name": "A", "alias": ["C"]}
    assert intent.identities == (Identity("s", "1"), Identity("s", "2"))


def test_fields_of_the_same_segment_are_siblings() -> None:
    given = scope()
    value = MESSAGE.segments[1].repetitions(3)[0]
    assert given.sibling(value, 1).value().text == "1"  # type: ignore[union-attr]
    assert given.sibling(value, 9) is None
