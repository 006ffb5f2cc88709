"""Values on their way into PostgreSQL and back: the same ones, whatever they look like."""

from __future__ import annotations

import math
import struct
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.fhir.search_parameters import parameter
from server.fhir.search_query import SearchQuery, SortKey, StringValue, UriValue
from server.fhir.visibility import EVERYTHING
from server.storage import open_store

pytestmark = pytest.mark.postgresql("it is about its types")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
ODD_TEXTS = [
    *("", "NULL", "null", "{}", "{a,b}", '"', "\\", '\\"', "'", "''; DROP TABLE resource; --", ":name", "$1"),
    *(
        "%s",
        ",",
        " ",
        "  x  ",
        "\n",
        "\t",
        "\r\n",
        "é",
        "e\u0301",
        "\u202e",
        "\U0001f600",
        "\U0010ffff",
        "\ufffe",
    ),
    *("E'\\x'", "\\N", "\\.", "a\\", "\x01", "\x7f", "\ufeff"),
]
ODD_FLOATS = [0.0, -0.0, 1e308, -1e308, 5e-324, math.inf, -math.inf, 0.1, 1 / 3, 2.0**53 + 1]
ODD_INTS = [0, 1, -1, 2**63 - 1, -(2**63), 2**31, -(2**31) - 1]


@pytest.fixture(scope="module")
def asked(databases: Any) -> Any:
    with databases.lent() as url:
        store = open_store(url)

        def ask(sql: str, **values: Any) -> Any:
            with store.database.reading() as connection:
                return connection.execute(sql, values).fetchall()

        yield ask
        store.close()


@settings(max_examples=60, deadline=None)
@given(values=st.lists(TEXT, min_size=1, max_size=8))
def test_texts_and_lists_of_texts_come_back(asked: Any, values: list[str]) -> None:
    assert asked("SELECT :a, :b", a=values[0], b=values[-1]) == [(values[0], values[-1])]
    assert [row[0] for row in asked("SELECT unnest(:all)", all=values)] == values


def test_texts_that_mean_something_to_sql_are_texts(asked: Any) -> None:
    assert [row[0] for row in asked("SELECT unnest(:all)", all=ODD_TEXTS)] == ODD_TEXTS
    for text in ODD_TEXTS:
        assert asked("SELECT :a::text", a=text) == [(text,)]
        assert asked("SELECT unnest(:a)", a=[text]) == [(text,)]


def test_numbers_come_back_to_the_bit(asked: Any) -> None:
    for values, kind in ((ODD_FLOATS, "d"), (ODD_INTS, "q")):
        found = [row[0] for row in asked("SELECT unnest(:all)", all=values)]
        assert [struct.pack(kind, value) for value in found] == [struct.pack(kind, value) for value in values]
        for value in values:
            assert struct.pack(kind, asked("SELECT :a", a=value)[0][0]) == struct.pack(kind, value)


def test_bytes_nothing_and_truth_come_back(asked: Any) -> None:
    for value in (b"", b"\0\xff'\\", bytes(range(256)), None):
        assert asked("SELECT :a::bytea", a=value) == [(value,)]
    assert asked("SELECT :a::bigint, :b::bigint", a=True, b=False) == [(1, 0)]


def test_an_empty_list_matches_nothing(asked: Any) -> None:
    assert asked("SELECT 1 WHERE 1::bigint = ANY(:a)", a=[]) == []


def test_the_longest_texts_are_found_by_their_beginning_and_as_a_whole(chart: Any) -> None:
    long = "né" * 20_000  # in two parameters: near the most that one resource may have
    names = {"a": long + "a", "b": long + "b", "c": "né" * 99, "d": "né" * 100, "e": "né" * 101}
    chart.put(
        *[{"resourceType": "Patient", "id": id, "name": [{"family": name}]} for id, name in names.items()]
    )

    def found(text: str, modifier: str = "") -> list[str]:
        asked = chart.clause("Patient", "family", StringValue(text), modifier=modifier)
        return chart.found(SearchQuery("Patient", (asked,)))

    assert found("né" * 99) == ["a", "b", "c", "d", "e"]
    assert found("né" * 100) == ["a", "b", "d", "e"]
    assert found("né" * 100 + "n") == ["a", "b", "e"]
    assert found(long) == ["a", "b"]
    assert found(long + "b") == ["b"]
    assert found(long + "a", "exact") == ["a"]
    assert found("né" * 100, "exact") == ["d"]
    assert found(long, "exact") == []
    chart.put({"resourceType": "Patient", "id": "a", "name": [{"family": "short"}]})
    assert found(long) == ["b"]


def test_long_addresses_are_found_by_what_they_stand_under(chart: Any) -> None:
    root = "http://example.org/" + "x" * 3_000
    for n, url in enumerate((root, root + "/a", root + "a", root[:150])):
        chart.put({"resourceType": "ValueSet", "id": f"v{n}", "status": "active", "url": url})

    def found(text: str, modifier: str) -> list[str]:
        return chart.found(
            SearchQuery("ValueSet", (chart.clause("ValueSet", "url", UriValue(text), modifier=modifier),))
        )

    assert found(root, "below") == ["v0", "v1"]
    assert found(root + "/a", "above") == ["v0", "v1"]
    assert found(root, "") == ["v0"]


def test_names_are_sorted_by_their_bytes_and_those_without_come_last(chart: Any) -> None:
    names = ["", "a", "B", "é", "z", "\U0001f600", "\uff5e", "_", "~", "NULL"]
    chart.put(
        *[
            {"resourceType": "Patient", "id": f"p{n}"} | ({"name": [{"family": name}]} if name else {})
            for n, name in enumerate(names)
        ]
    )
    family = parameter("Patient", "family")
    assert family is not None
    up = chart.found(SearchQuery("Patient", sort=(SortKey(family, False),)))
    down = chart.found(SearchQuery("Patient", sort=(SortKey(family, True),)))
    assert up[-1] == down[-1] == "p0"
    assert up[:-1] == list(reversed(down[:-1]))
    page, after = [], None
    while True:
        query = SearchQuery("Patient", sort=(SortKey(family, False),), count=3, after=after)
        answer = chart.reading(lambda reader, query=query: reader.search(query, EVERYTHING))
        page += [version.id for version in answer.matches]
        after = answer.next_after
        if after is None:
            break
    assert page == up


def test_an_address_with_a_password_is_never_quoted(cluster: Any) -> None:
    for url in (
        f"postgresql://baton:s3cret@127.0.0.1:{cluster.port}/nowhere",
        "postgresql://baton:s3cret@127.0.0.1:1/nowhere",
        "postgresql://baton:s3cret@127.0.0.1:99999/nowhere",
    ):
        store = open_store(url)
        with pytest.raises(Exception) as refused:
            store.upgrade()
        current: BaseException | None = refused.value
        while current is not None:
            assert "s3cret" not in f"{current!r} {current}"
            current = current.__cause__ or current.__context__
        assert "s3cret" not in f"{store!r} {store.database!r}"
        assert not isinstance(refused.value, psycopg.Error)
