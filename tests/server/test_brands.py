"""The brands a site publishes: what is filled in, what is refused, how they are served.

Covers server/brands.py, server/api/brands.py; hl7.org/fhir/smart-app-launch/STU2.2/brands.html.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest

from server.app import create_app
from server.brands import FILE, BrandError, brand, read_brand
from server.fhir.validation import validate
from server.logs import Log
from server.settings import Settings

BASE = "http://127.0.0.1:8000"
PATH = "/fhir/.well-known/brands.json"
CHANGED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SAMPLE = json.loads(files("server.demo_data").joinpath(FILE).read_bytes())


def changed(change: Callable[[Any, Any, Any], object]) -> Any:
    """The sample, after a change of (Bundle, Organization, Endpoint)."""
    bundle = copy.deepcopy(SAMPLE)
    change(bundle, bundle["entry"][0]["resource"], bundle["entry"][1]["resource"])
    return bundle


def test_the_sample_is_published_with_this_servers_address() -> None:
    made = brand(copy.deepcopy(SAMPLE), f"{BASE}/fhir", CHANGED)
    bundle = json.loads(made.bundle)
    assert validate(bundle) == ()
    assert bundle["timestamp"] == SAMPLE["timestamp"]
    assert bundle["entry"][1]["resource"]["address"] == f"{BASE}/fhir"
    assert made.identifier == {"system": "urn:ietf:rfc:3986", "value": "https://example.org"}
    assert made.etag.startswith('W/"')


def test_what_is_known_is_filled_in_and_what_is_said_stays() -> None:
    made = brand(changed(lambda bundle, _, __: bundle.pop("timestamp")), f"{BASE}/fhir", CHANGED)
    assert json.loads(made.bundle)["timestamp"] == "2026-01-02T03:04:05+00:00"
    made = brand(
        changed(lambda _, __, endpoint: endpoint.update(address="https://a.example/r4")), BASE, CHANGED
    )
    assert json.loads(made.bundle)["entry"][1]["resource"]["address"] == "https://a.example/r4"


def twice(bundle: Any, organization: Any, _: Any) -> None:
    bundle["entry"].append({"resource": {**organization, "id": "other"}})


@pytest.mark.parametrize(
    "change",
    [
        lambda bundle, _, __: bundle.update(type="searchset"),
        lambda bundle, _, __: bundle.update(timestamp="yesterday"),
        lambda bundle, _, __: bundle.update(resourceType="List"),
        lambda bundle, _, __: bundle.update(entry=[]),
        lambda bundle, _, __: bundle["entry"].pop(0),
        lambda bundle, _, __: bundle["entry"].append({"resource": {"resourceType": "Patient"}}),
        lambda bundle, _, __: bundle["entry"].append({}),
        lambda _, organization, __: organization.pop("name"),
        lambda _, organization, __: organization.pop("telecom"),
        lambda _, organization, __: organization.pop("identifier"),
        lambda _, organization, __: organization["identifier"][0].pop("value"),
        lambda _, organization, __: organization.update(active="yes"),
        lambda _, __, endpoint: endpoint["connectionType"].update(code="dicom-wado-rs"),
        lambda _, __, endpoint: endpoint.pop("extension"),
        lambda _, __, endpoint: endpoint.pop("status"),
        lambda _, __, endpoint: endpoint.update(id="renamed"),
        twice,
    ],
)
def test_what_the_standard_does_not_allow_is_not_published(change: Any) -> None:
    with pytest.raises(BrandError, match="cannot be published"):
        brand(changed(change), f"{BASE}/fhir", CHANGED)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", '{"resourceType": "Bundle"}', '{"entry": 7, "resourceType": "Bundle"}']
)
def test_a_file_that_is_no_bundle_stops_the_start_with_words(
    settings: Settings, monkeypatch: Any, content: str
) -> None:
    from server import deployment

    (settings.home / FILE).write_text(content)
    with pytest.raises(BrandError):
        read_brand(settings.home, settings.fhir_base, demo=False)
    with pytest.raises(deployment.DeploymentError, match=FILE):
        deployment.prepare(settings)


def test_a_site_that_has_written_none_publishes_none(app: Any, anonymous: Any) -> None:
    assert anonymous.get(".well-known/brands.json").status == 404
    said = json.loads(anonymous.get(".well-known/smart-configuration").body)
    assert not [name for name in said if name.startswith("user_access")]


@pytest.fixture
def client(settings: Settings, store: Any, clock: Any) -> Any:
    bundle = changed(lambda bundle, organization, _: organization.update(name="Valley hospital (synthetic)"))
    (settings.home / FILE).write_text(json.dumps(bundle))
    return create_app(settings, store=store, clock=clock, log=Log("ERROR")).test_client()


@pytest.mark.requirement("D9")
def test_discovery_names_bundle_and_primary_brand(client: Any) -> None:
    said = client.get("/fhir/.well-known/smart-configuration", base_url=BASE).get_json()
    assert said["user_access_brand_bundle"] == BASE + PATH
    answer = client.get(PATH, base_url=BASE, headers={"Origin": "https://anywhere.example"})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert "public" in answer.headers["Cache-Control"]
    bundle = json.loads(answer.get_data())
    assert bundle["timestamp"]
    held = [
        entry["resource"]["name"]
        for entry in bundle["entry"]
        if said["user_access_brand_identifier"] in entry["resource"].get("identifier", ())
    ]
    assert held == ["Valley hospital (synthetic)"]


def test_an_unchanged_bundle_is_not_sent_again(client: Any) -> None:
    etag = client.get(PATH, base_url=BASE).headers["ETag"]
    assert etag.startswith('W/"')
    again = client.get(PATH, base_url=BASE, headers={"If-None-Match": etag})
    assert (again.status_code, again.get_data()) == (304, b"")
    assert client.get(PATH, base_url=BASE, headers={"If-None-Match": 'W/"other"'}).status_code == 200


def test_a_demonstration_publishes_a_synthetic_one(demo_app: Any) -> None:
    bundle = demo_app.test_client().get(PATH, base_url=BASE).get_json(force=True)
    assert "synthetic" in bundle["entry"][0]["resource"]["name"]
