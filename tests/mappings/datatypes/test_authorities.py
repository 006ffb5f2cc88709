"""Section 2.1, HD: who assigned an identifier, as a URI; never one that is made up under somebody's domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.datatypes.authorities import local_uri
from mappings.result import Source

Ask = Callable[..., Any]


@pytest.mark.parametrize(
    ("sent", "uri"),
    [
        ("LAB^1.2.840.99^ISO", "urn:oid:1.2.840.99"),
        ("^6BA7B810-9DAD-11D1-80B4-00C04FD430C8^UUID", "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("^6ba7b810-9dad-11d1-80b4-00c04fd430c8^GUID", "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("^https://site.example/mrn^URI", "https://site.example/mrn"),
        ("^https://site.example/mrn^URL", "https://site.example/mrn"),
        ("^lab.site.example^DNS", "urn:dns:lab.site.example"),
        ("^1.2.840.99", "urn:oid:1.2.840.99"),
    ],
)
def test_a_universal_id_says_the_system(sent: str, uri: str, ask: Ask) -> None:
    answer = ask("hd", sent)
    assert (answer.result, answer.findings) == (uri, [])


def test_a_namespace_alone_is_looked_up_for_the_source(ask: Ask) -> None:
    source = Source("x", systems={"LAB": "https://site.example/lab"})
    answer = ask("hd", "LAB", source=source)
    assert (answer.result, answer.findings) == ("https://site.example/lab", [])


def test_a_namespace_that_is_not_configured_becomes_urn_id_with_a_finding(ask: Ask) -> None:
    answer = ask("hd", "LAB WEST")
    assert (answer.result, answer.findings) == ("urn:id:LAB%20WEST", ["namespace-unknown"])


def test_a_universal_id_that_is_not_of_its_type_is_not_taken_for_it(ask: Ask) -> None:
    answer = ask("hd", "LAB^not-an-oid^ISO")
    assert answer.result == "urn:id:LAB"
    assert answer.findings == ["uri-invalid", "namespace-unknown"]
    assert "2.1" in answer.unread


def test_an_id_that_has_its_own_system_in_fhir_gets_it(ask: Ask) -> None:
    assert ask("hd", "^2.16.840.1.113883.4.6^ISO").result == "http://hl7.org/fhir/sid/us-npi"


def test_a_site_may_name_the_system_of_an_oid(ask: Ask) -> None:
    source = Source("x", systems={"1.2.3": "https://site.example/known"})
    assert ask("hd", "^1.2.3^ISO", source=source).result == "https://site.example/known"


def test_an_application_is_named_by_its_namespace(ask: Ask) -> None:
    assert ask("hd_name", "LAB^1.2.3^ISO").result == "LAB"
    assert ask("hd_name", "^1.2.3^ISO").result == "1.2.3"


@given(st.text(min_size=1))
def test_every_namespace_has_a_uri_of_its_own(name: str) -> None:
    try:
        uri = local_uri(name)
    except UnicodeEncodeError:  # a lone surrogate, which no component holds
        return
    assert uri.split(None, 1) == [uri]
    assert uri.isascii()
