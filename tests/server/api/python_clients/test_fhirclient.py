"""fhirclient from PyPI, unchanged and as its README shows it, against a running server.

Covers signing in as a backend service, create, read, update, delete, searches by structures, pages, includes,
references, transactions, and that all the server answers fits the strict models of R4.
"""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle
from fhirclient.models.careplan import CarePlan
from fhirclient.models.fhirabstractbase import FHIRValidationError
from fhirclient.models.fhirdate import FHIRDate
from fhirclient.models.fhirelementfactory import FHIRElementFactory
from fhirclient.models.fhirreference import FHIRReference
from fhirclient.models.flag import Flag
from fhirclient.models.humanname import HumanName
from fhirclient.models.observation import Observation
from fhirclient.models.operationoutcome import OperationOutcome
from fhirclient.models.patient import Patient
from fhirclient.models.practitioner import Practitioner
from fhirclient.server import FHIRNotFoundException, FHIRPermissionDeniedException, FHIRUnauthorizedException
from joserfc import jwt
from joserfc.jwk import ECKey

pytestmark = pytest.mark.network

US_CORE = Path(__file__).resolve().parents[2] / "fhir" / "examples_us_core" / "us_core_7_0_0.ndjson.gz"

Connect = Callable[[str], Any]


@pytest.fixture(scope="module")
def connect(running: Any, tmp_path_factory: pytest.TempPathFactory) -> Connect:
    """`connect("system/*.rs")`: a FHIRClient that has got itself a token, as a backend service with a key."""
    key = ECKey.generate_key("P-384", {"alg": "ES384", "use": "sig"}, auto_kid=True)
    keys = tmp_path_factory.mktemp("client") / "keys.json"
    keys.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    added = running.baton(
        "client", "add", "--name", "Partner", "--backend", "--jwks", str(keys), "--scope", "system/*.cruds"
    )
    client_id = json.loads(added)["client_id"]

    def make(scope: str) -> Any:
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": running.base.removesuffix("fhir") + "oauth2/token",
            "exp": int(time.time()) + 240,
            "jti": str(uuid.uuid4()),
        }
        signed = jwt.encode({"alg": "ES384", "kid": key.kid}, claims, key, ["ES384"])
        smart = FHIRClient(
            settings={"app_id": client_id, "api_base": running.base, "scope": scope, "jwt_token": signed}
        )
        smart.wants_patient = False
        assert not smart.prepare()  # the CapabilityStatement says that a token is needed, and from where
        smart.authorize()
        assert smart.ready
        return smart

    return make


@pytest.fixture(scope="module")
def everything(connect: Connect) -> Any:
    return connect("system/*.cruds").server


@pytest.fixture
def family(everything: Any, system: str) -> dict[str, str]:
    """Ids of five patients born 1950 to 1954, the first three with a general practitioner, and of the body
    weight of the first."""
    made = {"gp": created(Practitioner({"name": [{"family": "Hartwell"}]}), everything)}
    for number, value in enumerate("abcde"):
        patient = Patient(
            {"identifier": [{"system": system, "value": value}], "birthDate": f"195{number}-03-04"}
        )
        patient.name = [HumanName({"family": f"Example{value}"})]
        if value in "abc":
            patient.generalPractitioner = [FHIRReference({"reference": f"Practitioner/{made['gp']}"})]
        made[value] = created(patient, everything)
    weight = Observation({"status": "final", "code": {"text": "Body weight"}})
    weight.subject = FHIRReference({"reference": f"Patient/{made['a']}"})
    made["weight"] = created(weight, everything)
    return made


def created(resource: Any, server: Any) -> str:
    """The id under which a resource was stored."""
    return str(type(resource)(resource.create(server)).id)


def values(resources: Any) -> list[str]:
    return [resource.identifier[0].value for resource in resources]


def outcome(response: Any) -> OperationOutcome:
    """What a refusal says, in the strict model."""
    return OperationOutcome(response.json())


# One resource ----------------------------------------------------------------------------------------------


def test_a_resource_is_created_read_updated_and_deleted(everything: Any, system: str) -> None:
    patient = Patient({"identifier": [{"system": system, "value": "a"}], "gender": "female"})
    patient.birthDate = FHIRDate("1950-07-04")
    id = created(patient, everything)

    read = Patient.read(id, everything)
    assert (read.meta.versionId, read.gender, read.birthDate.isostring) == ("1", "female", "1950-07-04")
    read.active = True
    answer = Patient(read.update())
    assert (answer.meta.versionId, answer.active, answer.gender) == ("2", True, "female")
    assert Patient.read(id, everything).as_json() == answer.as_json()

    answer.delete(everything)
    with pytest.raises(requests.HTTPError) as refused:  # its FHIRNotFoundException is for 404 alone
        Patient.read(id, everything)
    assert refused.value.response.status_code == 410
    assert outcome(refused.value.response).issue[0].code == "deleted"
    assert list(Patient.where({"identifier": f"{system}|a"}).perform_resources_iter(everything)) == []
    with pytest.raises(FHIRNotFoundException) as absent:
        Patient.read("nobody-has-this-id", everything)
    assert outcome(absent.value.response).issue[0].code == "not-found"


def test_a_reference_leads_to_its_resource(everything: Any, family: dict[str, str]) -> None:
    weight = Observation.read(family["weight"], everything)
    patient = weight.subject.resolved(Patient)
    assert (patient.id, patient.name[0].family) == (family["a"], "Examplea")
    assert patient.generalPractitioner[0].resolved(Practitioner).name[0].family == "Hartwell"


def test_a_transaction_is_stored_as_a_whole(everything: Any, system: str) -> None:
    address = f"urn:uuid:{uuid.uuid4()}"
    patient = {"resourceType": "Patient", "identifier": [{"system": system, "value": "a"}]}
    flag = {
        "resourceType": "Flag",
        "status": "active",
        "code": {"text": "Lives alone"},
        "subject": {"reference": address},
    }
    transaction = Bundle(
        {
            "type": "transaction",
            "entry": [
                {"fullUrl": address, "resource": patient, "request": {"method": "POST", "url": "Patient"}},
                {"resource": flag, "request": {"method": "POST", "url": "Flag"}},
            ],
        }
    )
    answer = Bundle(transaction.create(everything))
    assert [entry.response.status for entry in answer.entry] == ["201 Created", "201 Created"]
    (stored,) = Patient.where({"identifier": f"{system}|a"}).perform_resources_iter(everything)
    (found,) = Flag.where({"subject": f"Patient/{stored.id}"}).perform_resources_iter(everything)
    assert found.subject.resolved(Patient).as_json() == stored.as_json()


def test_a_plan_of_care_is_changed_by_who_names_its_version(everything: Any, family: dict[str, str]) -> None:
    plan = CarePlan({"status": "draft", "intent": "plan", "subject": {"reference": f"Patient/{family['a']}"}})
    plan = CarePlan(plan.create(everything))
    plan.status = "active"
    for attempt in (plan.update, plan.delete):
        with pytest.raises(requests.HTTPError) as refused:
            attempt(everything)
        assert refused.value.response.status_code == 428
        assert outcome(refused.value.response).issue[0].code == "required"
    everything.session.headers["If-Match"] = f'W/"{plan.meta.versionId}"'
    try:
        assert CarePlan(plan.update(everything)).meta.versionId == "2"
        with pytest.raises(requests.HTTPError) as refused:
            plan.update(everything)
        assert refused.value.response.status_code == 412
    finally:
        del everything.session.headers["If-Match"]
    assert CarePlan.read(plan.id, everything).status == "active"


# Searches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        ({}, "abcde"),
        ({"family": {"$exact": "Examplec"}}, "c"),
        ({"family": {"$exact": "examplec"}}, ""),
        ({"family": {"$or": ["examplea", "examplee"]}}, "ae"),
        ({"birthdate": {"$and": ["ge1951", "lt1953"]}}, "bc"),
        ({"birthdate": "eb1951"}, "a"),
        ({"general-practitioner": {"$missing": "true"}}, "de"),
        ({"general-practitioner": {"$type": "Practitioner", "family": "hartwell"}}, "abc"),
    ],
)
def test_a_structure_becomes_a_search(
    everything: Any, system: str, family: dict[str, str], structure: dict[str, Any], expected: str
) -> None:
    search = Patient.where(struct={"identifier": f"{system}|", "_sort": "birthdate", **structure})
    assert values(search.perform_resources_iter(everything)) == [*expected]


def test_a_comparison_in_the_syntax_of_an_earlier_release_is_refused(everything: Any) -> None:
    with pytest.raises(requests.HTTPError) as refused:  # $gte becomes `>=`; R4 writes `ge`
        list(Patient.where({"birthdate": {"$gte": "1950"}}).perform_iter(everything))
    assert refused.value.response.status_code == 400
    assert outcome(refused.value.response).issue[0].expression == ["http.birthdate"]


def test_all_pages_in_their_order(everything: Any, system: str, family: dict[str, str]) -> None:
    search = Patient.where({"identifier": f"{system}|", "_sort": "-birthdate", "_count": "2"})
    pages = list(search.perform_iter(everything))
    assert [values(entry.resource for entry in page.entry) for page in pages] == [[*"ed"], [*"cb"], ["a"]]
    assert [page.total for page in pages] == [5, 5, 5]
    assert values(search.perform_resources_iter(everything)) == [*"edcba"]
    with pytest.warns(DeprecationWarning, match="perform_resources"):
        assert values(search.perform_resources(everything)) == [*"edcba"]
    (counted,) = Patient.where({"identifier": f"{system}|", "_summary": "count"}).perform_iter(everything)
    assert (counted.total, counted.entry) == (5, None)


def test_included_resources_come_along(everything: Any, family: dict[str, str]) -> None:
    search = Patient.where({"_id": family["a"]}).include("generalPractitioner")
    with pytest.raises(requests.HTTPError) as refused:  # it names the element; the parameter has a dash
        list(search.perform_iter(everything))
    assert "general-practitioner" in outcome(refused.value.response).issue[0].diagnostics

    search = Observation.where({"_id": family["weight"]}).include("subject")
    assert [(one.resource_type, one.id) for one in search.perform_resources_iter(everything)] == [
        ("Observation", family["weight"]),
        ("Patient", family["a"]),
    ]
    search = Patient.where({"_id": family["a"]}).include("subject", Observation, reverse=True)
    assert [(one.resource_type, one.id) for one in search.perform_resources_iter(everything)] == [
        ("Patient", family["a"]),
        ("Observation", family["weight"]),
    ]


# Strict models and errors ----------------------------------------------------------------------------------


def test_what_comes_back_fits_the_strict_models_and_is_what_was_sent(everything: Any) -> None:
    with gzip.open(US_CORE, "rt", encoding="utf-8") as lines:
        sent = {(one["resourceType"], one["id"]): one for one in map(json.loads, lines)}
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{type}/{id}"}}
        for (type, id), one in sent.items()
    ]
    answer = Bundle(Bundle({"type": "batch", "entry": entries}).create(everything))
    assert {entry.response.status for entry in answer.entry} == {"201 Created"}

    ids = defaultdict(list)
    for type, id in sent:
        ids[type].append(id)
    received = {}
    for type, wanted in ids.items():
        model = FHIRElementFactory.instantiate(type, None)
        search = model.where({"_id": {"$or": wanted}, "_count": "40"})
        received |= {(type, one.id): one.as_json() for one in search.perform_resources_iter(everything)}
    assert len(received) == len(sent) > 200
    for address, one in sent.items():
        # Of what was sent, too, the models keep no extensions of primitives.
        read = FHIRElementFactory.instantiate(address[0], one).as_json()
        assert without_version(received[address]) == without_version(read), address


def without_version(resource: dict[str, Any]) -> dict[str, Any]:
    meta = {
        name: value
        for name, value in resource.get("meta", {}).items()
        if name not in ("versionId", "lastUpdated")
    }
    return {**resource, "meta": meta}


def test_a_refusal_says_why_in_the_strict_model(everything: Any, system: str) -> None:
    patient = Patient({"identifier": [{"system": system, "value": "a"}], "gender": "somewhat"})
    with pytest.raises(requests.HTTPError) as refused:  # the models know no codes
        patient.create(everything)
    assert refused.value.response.status_code == 400
    (issue,) = outcome(refused.value.response).issue
    assert (issue.code, issue.expression) == ("code-invalid", ["Patient.gender"])
    with pytest.raises(FHIRValidationError):
        Patient({"name": "not a list"})


def test_who_is_not_known_or_not_allowed_is_told_so(running: Any, connect: Connect) -> None:
    stranger = FHIRClient(settings={"app_id": "stranger", "api_base": running.base}).server
    with pytest.raises(FHIRUnauthorizedException) as unknown:
        Patient.read("a", stranger)
    assert outcome(unknown.value.response).issue[0].code == "login"
    with pytest.raises(FHIRPermissionDeniedException) as forbidden:
        Patient({"active": True}).create(connect("system/Patient.rs").server)
    assert outcome(forbidden.value.response).issue[0].code == "forbidden"
