"""An EHR that is not the store, and a store that exchanges its id tokens for patients that are linked.

What the store grants here is what docs/reference/smart.md says; tests/journeys prove it with a real one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest
import responses

from smart_app.issuers import Issuer, Issuers

ISS = "https://ehr.example/r4"
STORE = "https://store.example/fhir"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def make_store(kind: type, base: str, now: Callable[[], Any], key: Any) -> Any:
    """A FHIR server of the kind that tests use, which also exchanges."""

    class ExchangingStore(kind):  # type: ignore[misc]
        def prepare(self) -> Any:
            self.links: dict[str, str] = {}
            self.used: set[str] = set()
            self.exchanges: list[dict[str, str]] = []
            self.proposals: list[dict[str, str]] = []
            self.granted: set[str] = set()
            self.life = 900
            self.link_uri = f"{self.origin}/oauth2/links/secret"
            return self

        def _configuration(self) -> tuple[int, Any]:
            status, body = super()._configuration()
            return status, body | {"identity_link_endpoint": f"{self.origin}/links"} if status == 200 else body

        def _token(self, form: dict[str, str]) -> tuple[int, Any]:
            if form["grant_type"] != EXCHANGE:
                return super()._token(form)
            self.exchanges.append(form)
            if self.token_status != 200:
                return self.token_status, {"error": self.token_error}
            token, patient = form["subject_token"], self.links.get(form["patient"])
            if token in self.used or patient is None:
                return 400, {"error": "invalid_grant"}
            self.used.add(token)
            access = f"access-store-{len(self.exchanges)}"
            self.granted.add(access)
            return 200, {
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": self.life,
                "scope": form["scope"],
                "patient": patient,
                "fhirUser": f"{self.base}/Practitioner/our-nurse",
            }

        def _fhir(self, request: Any, path: str) -> tuple[int, Any]:
            if path == "/links":
                body = request.body
                self.proposals.append(dict(parse_qsl(body.decode() if isinstance(body, bytes) else body)))
                return 201, {"link_uri": self.link_uri, "expires_in": 900}
            token = str(request.headers.get("Authorization", "")).removeprefix("Bearer ")
            if not path.endswith("/metadata") and token not in self.granted - self.refused:
                return 401, {}
            if request.method == "GET" and "/Provenance" in path:
                return 403, {}
            return super()._fhir(request, path)

    return ExchangingStore(base, now, key=key).prepare()


@pytest.fixture
def store(ehr: Any, mock: responses.RequestsMock, clock: Any, ehr_key: Any) -> Any:
    made = make_store(type(ehr), STORE, clock, ehr_key)
    made.install(mock)
    made.put({"resourceType": "Patient", "id": "ours-1", "active": True})
    return made


@pytest.fixture
def issuers(tmp_path: Any) -> Issuers:
    made = Issuers(tmp_path)
    made.add(Issuer(ISS, "app-there", "Mercy EHR", exchange=True))
    made.add(Issuer(STORE, "baton-app", "Practice", store=True))
    return made


@pytest.fixture
def linked(store: Any) -> Any:
    """The store, with the EHR's patient p1 linked."""
    store.links["p1"] = "ours-1"
    return store


@pytest.fixture
def orders(ehr: Any) -> Any:
    """A chart with something to reconcile."""

    def order(name: str, rxcui: str, text: str, **more: Any) -> dict[str, Any]:
        return {
            "resourceType": "MedicationRequest",
            "id": name,
            "status": "active",
            "intent": "order",
            "subject": {"reference": "Patient/p1"},
            "requester": {"reference": "Practitioner/doctor"},
            "medicationCodeableConcept": {
                "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": rxcui}],
                "text": text,
            },
            "authoredOn": "2026-09-01T10:00:00-05:00",
            "dosageInstruction": [{"text": "1 tablet by mouth once daily"}],
        } | more

    category = "http://terminology.hl7.org/CodeSystem/medicationrequest-category"
    ehr.put(
        order("home", "314076", "lisinopril 10 MG Oral Tablet"),
        order(
            "discharge",
            "617311",
            "atorvastatin 40 MG Oral Tablet",
            authoredOn="2026-11-25T13:00:00-05:00",
            encounter={"reference": "Encounter/stay"},
            category=[{"coding": [{"system": category, "code": "discharge"}]}],
        ),
    )
    return ehr


@pytest.fixture
def proposal(store: Any) -> Callable[[], dict[str, Any]]:
    """The Patient of the last proposal."""
    return lambda: json.loads(store.proposals[-1]["patient"])
