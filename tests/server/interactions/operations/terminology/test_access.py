"""Who may ask what: a terminology operation reads a definition, and shows nothing of those that are hidden.

Covers server/interactions/operations/terminology with server/auth/access.py.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from server.fhir.validation import validate

REDS = f"url={quote('urn:example:reds')}"
GENDER = "url=http://hl7.org/fhir/ValueSet/administrative-gender"


def test_a_token_that_reads_the_type_may_ask_the_operation(stored: Any, as_token: Any) -> None:
    for scope, claims in (
        ("user/ValueSet.r", {"fhir_user": "Practitioner/1", "role": "rn"}),
        ("system/ValueSet.r", {}),
    ):
        assert as_token(scope, **claims).get(f"ValueSet/$expand?{GENDER}").status == 200


def test_a_token_without_the_type_is_refused(stored: Any, as_token: Any, anonymous: Any) -> None:
    other = as_token("system/Patient.rs")
    for path in (
        f"ValueSet/$expand?{GENDER}",
        f"ValueSet/$validate-code?{GENDER}&code=male",
        "CodeSystem/$lookup?system=x&code=y",
        "CodeSystem/$subsumes?system=x&codeA=y&codeB=z",
        "ConceptMap/$translate?system=x&code=y",
    ):
        assert (other.get(path).status, other.get(path).codes) == (403, ["forbidden"]), path
        assert anonymous.get(path).status == 401


def test_a_definition_that_may_not_be_seen_is_as_if_absent(stored: Any, as_token: Any) -> None:
    blind = as_token("system/ValueSet.r?url=urn:example:other")
    hidden, absent = blind.get(f"ValueSet/$expand?{REDS}"), blind.get("ValueSet/$expand?url=urn:example:none")
    assert (hidden.status, hidden.json) == (absent.status, absent.json) == (404, absent.json)
    assert blind.get("ValueSet/reds/$expand").status == 404
    assert blind.get(f"ValueSet/$expand?{GENDER}").status == 200


def test_a_code_system_that_may_not_be_seen_tells_nothing_through_a_value_set(
    stored: Any, as_token: Any
) -> None:
    """The reds are a filter on a stored system: without it they cannot be told."""
    answer = as_token("system/ValueSet.r").get(f"ValueSet/$expand?{REDS}")
    assert (answer.status, answer.codes) == (422, ["not-supported"])
    assert "crimson" not in answer.text
    assert as_token("system/ValueSet.r system/CodeSystem.r").get(f"ValueSet/$expand?{REDS}").status == 200


def test_the_audit_trail_names_the_operation_and_no_value(
    stored: Any, fhir: Any, store: Any, settings: Any
) -> None:
    fhir.get(f"ValueSet/$expand?{REDS}&filter=zebedee")
    store.ingest_audit(settings.home / "audit")
    row = store.audit_rows(limit=1)[0]
    assert (row.interaction, row.resource_type, row.detail) == ("operation", "ValueSet", "$expand filter url")
    assert "zebedee" not in str(row)


def test_the_capabilities_name_the_systems_of_the_file_their_filters_and_their_notices(
    file: Any, anonymous: Any
) -> None:
    statement = anonymous.get("metadata?mode=terminology").json
    assert not validate(statement)
    by_url = {row["uri"]: row for row in statement["codeSystem"]}
    rxnorm, icd = (
        by_url["http://www.nlm.nih.gov/research/umls/rxnorm"],
        by_url["http://hl7.org/fhir/sid/icd-10-cm"],
    )
    assert rxnorm["extension"][0]["valueCode"] == "fragment"
    assert (rxnorm["subsumption"], icd["subsumption"]) == (False, True)
    assert "extension" not in icd
    (version,) = rxnorm["version"]
    assert (version["code"], version["isDefault"]) == ("2025-11", True)
    assert {"TTY", "has_ingredient"} <= set(version["property"])
    assert "RxNorm: A notice of the source." in statement["copyright"]
