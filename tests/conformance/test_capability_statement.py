"""What the server says of itself: hl7.org/fhir/R4/capabilitystatement.html. "C1" to "C5" of the scorecard.

What it claims of each type is asked in test_claims.py.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from asking.bodies import local

US_CORE = "http://hl7.org/fhir/us/core"


@pytest.mark.requirement("C1-open")
def test_it_is_told_without_a_token(anonymous: Any) -> None:
    answer = anonymous.get("metadata")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert answer.json()["resourceType"] == "CapabilityStatement"


@pytest.mark.requirement("C1-valid")
def test_it_is_a_valid_resource(fhir: Any, statement: dict[str, Any]) -> None:
    answer = fhir.post("CapabilityStatement/$validate", statement)
    assert answer.status_code == 200
    assert {issue["severity"] for issue in answer.json()["issue"]} <= {"information", "warning"}
    assert statement["kind"] == "instance"
    assert statement["implementation"]["url"] == fhir.base


@pytest.mark.requirement("C1-version")
def test_it_is_of_r4(statement: dict[str, Any]) -> None:
    assert statement["fhirVersion"] == "4.0.1"


@pytest.mark.requirement("C1-formats")
def test_every_format_it_names_is_answered(fhir: Any, statement: dict[str, Any]) -> None:
    assert {"json", "application/json", "application/fhir+json"} <= set(statement["format"])
    for name in statement["format"]:
        assert fhir.get(f"metadata?_format={quote(name, safe='')}").status_code == 200
    for name in ("application/json", "application/fhir+json"):
        assert fhir.get("metadata", Accept=name).headers["Content-Type"].startswith(name)


@pytest.mark.requirement("C2-profiles", "US Core profiles are declared, us-core-patient among them")
def test_profiles_are_declared(offered: dict[str, Any]) -> None:
    profiles = {url.partition("|")[0] for kind in offered.values() for url in kind.get("supportedProfile", ())}
    ours = {url for url in profiles if url.startswith(f"{US_CORE}/StructureDefinition/")}
    assert f"{US_CORE}/StructureDefinition/us-core-patient" in ours
    assert len(ours) > 1


@pytest.mark.requirement("C2-instantiates", "the CapabilityStatement of US Core is instantiated (optional)")
def test_us_core_is_instantiated(statement: dict[str, Any]) -> None:
    named = {url.partition("|")[0] for url in statement.get("instantiates", ())}
    assert f"{US_CORE}/CapabilityStatement/us-core-server" in named


@pytest.mark.requirement("C2-tls", "TLS 1.2 or later, older refused")
def test_connections_are_encrypted(fhir: Any) -> None:
    assert fhir.base.startswith("https://")


@pytest.mark.requirement("C3", "bulk export is declared on Group, Patient and the system")
def test_bulk_export_is_declared(statement: dict[str, Any], offered: dict[str, Any]) -> None:
    rest = statement["rest"][0]
    for operations in (offered["Group"], offered["Patient"], rest):
        assert "export" in {operation["name"] for operation in operations.get("operation", ())}


@pytest.mark.requirement("C4", "topic-based subscriptions are declared by the profile of the backport")
def test_subscriptions_are_declared(offered: dict[str, Any]) -> None:
    profile = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription"
    assert profile in offered["Subscription"].get("supportedProfile", ())


@pytest.mark.requirement("C5-security")
def test_security_is_smart_and_its_endpoints_exist(fhir: Any, statement: dict[str, Any]) -> None:
    security = statement["rest"][0]["security"]
    codes = {coding["code"] for service in security["service"] for coding in service["coding"]}
    assert "SMART-on-FHIR" in codes
    (uris,) = (part["extension"] for part in security["extension"] if part["url"].endswith("/oauth-uris"))
    named = {part["url"]: part["valueUri"] for part in uris}
    assert {"authorize", "token"} <= set(named)
    for name, url in named.items():
        method = "GET" if name == "authorize" else "POST"
        answer = fhir.session.request(method, url, allow_redirects=False, timeout=30)
        assert answer.status_code in (200, 302, 303, 400, 401), name


@pytest.mark.requirement("C5-limits")
def test_limits_are_published(statement: dict[str, Any]) -> None:
    (limits,) = (e["extension"] for e in statement["rest"][0]["extension"] if e["url"].endswith(":limits"))
    named = {limit["url"]: limit["valueInteger"] for limit in limits}
    assert {"body-bytes", "bundle-entries", "count-maximum", "includes-maximum"} <= set(named)
    assert all(value > 0 for value in named.values())


@pytest.mark.requirement("C5-search-system")
def test_the_parameters_of_all_types_are_taken(fhir: Any, statement: dict[str, Any]) -> None:
    values = {
        "_has": "Patient?_has:Observation:patient:code=x",
        "_list": "Patient?_list=none",
        "_type": "?_type=Patient",
    }
    for row in statement["rest"][0]["searchParam"]:
        assert fhir.get(values[row["name"]]).status_code == 200


@pytest.mark.requirement("C5-system-interactions")
def test_every_interaction_of_the_system_is_answered(fhir: Any, statement: dict[str, Any]) -> None:
    asked = {
        "batch": fhir.post("", {"resourceType": "Bundle", "type": "batch"}),
        "transaction": fhir.post("", {"resourceType": "Bundle", "type": "transaction"}),
        "history-system": fhir.get("_history?_count=1"),
        "search-system": fhir.get("?_type=Patient&_count=1"),
    }
    assert {row["code"] for row in statement["rest"][0]["interaction"]} == set(asked)
    assert {answer.status_code for answer in asked.values()} == {200}


@pytest.mark.requirement("C5-patch-formats")
def test_patches_are_taken_in_every_format_it_names(fhir: Any, statement: dict[str, Any]) -> None:
    bodies: dict[str, Any] = {
        "application/json-patch+json": [],
        "application/merge-patch+json": {},
        "application/fhir+json": {"resourceType": "Parameters"},
    }
    path = local(fhir.create({"resourceType": "Basic", "code": {"text": "patched"}}))
    assert set(statement["patchFormat"]) <= set(bodies)
    for name in statement["patchFormat"]:
        assert fhir.ask("PATCH", path, bodies[name], Content_Type=name).status_code == 200
