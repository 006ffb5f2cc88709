"""The FHIR client and the worker against a running Baton: what the fixtures claim of servers, a server does.

Covers: hl7.org/fhir/R4/http.html (conditional requests, transaction), SMART backend services.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from smart_app.fhir_client import Conflict, FhirClient, NotFound, Refused
from smart_app.joining import join_worker, outside
from smart_app.keys import prepare_keys
from smart_app.outbound_http import OutboundHttp
from smart_app.settings import Settings, read_settings

pytestmark = pytest.mark.network

START_SECONDS = 90
BATON = str(Path(sys.executable).with_name("baton"))


@dataclass
class Running:
    settings: Settings
    client: FhirClient


@pytest.fixture(scope="module")
def baton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`baton serve web --demo` without patients, and a client that may do everything."""
    home = tmp_path_factory.mktemp("baton")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    own = {"BATON_HOME": str(home), "BATON_PORT_WEB": port, "BATON_WORKERS": "1"}
    prepare_keys(home)
    command = [BATON, "serve", "web", "--demo"]
    process = subprocess.Popen(command, env=kept | own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/healthz", process)
        settings = read_settings(own, demo=True)
        minted = subprocess.run(
            [BATON, "token", "mint", "--scope", "system/*.cruds"],
            env=kept | own | {"BATON_DEMO": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        yield Running(settings, FhirClient(settings.store_base, OutboundHttp(), lambda *, refused="": minted))
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "baton serve web ended"
        try:
            if requests.get(url, timeout=2).status_code == 200:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    pytest.fail("baton serve web did not become ready")


def patient(patient_id: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": patient_id, "name": [{"family": "Synthetic"}]}


def test_decimals_come_back_with_their_digits(baton: Running) -> None:
    baton.client.update(patient("digits"))
    observation = {
        "resourceType": "Observation",
        "id": "digits",
        "status": "final",
        "code": {"text": "weight"},
        "subject": {"reference": "Patient/digits"},
        "valueQuantity": {"value": Decimal("70.50"), "unit": "kg"},
    }
    baton.client.update(observation)
    assert str(baton.client.read("Observation", "digits")["valueQuantity"]["value"]) == "70.50"


def test_an_update_under_if_match_meets_a_conflict(baton: Running) -> None:
    first = baton.client.update(patient("versions"))
    assert (first.created, first.version) == (True, "1")
    second = baton.client.update({**patient("versions"), "gender": "female"}, if_match="1")
    assert (second.created, second.version) == (False, "2")
    with pytest.raises(Conflict):
        baton.client.update({**patient("versions"), "gender": "male"}, if_match="1")
    assert baton.client.vread("Patient", "versions", "1").get("gender") is None
    known = baton.client.read("Patient", "versions")
    assert baton.client.read("Patient", "versions", known=known) is known


def test_a_conditional_create_creates_once(baton: Running) -> None:
    task = {"resourceType": "Task", "status": "requested", "intent": "order"}
    task["identifier"] = [{"system": "urn:test", "value": "once"}]
    condition = [("identifier", "urn:test|once")]
    first = baton.client.create(task, if_none_exist=condition)
    again = baton.client.create(task, if_none_exist=condition)
    assert (first.created, again.created) == (True, False)
    assert first.resource["id"] == again.resource["id"]


def test_a_search_reads_every_page(baton: Running) -> None:
    for number in range(7):
        baton.client.update(
            {**patient(f"page-{number}"), "identifier": [{"system": "urn:pages", "value": "x"}]}
        )
    found = baton.client.search("Patient", [("identifier", "urn:pages|x"), ("_count", "3")])
    assert sorted(each["id"] for each in found.matches) == [f"page-{number}" for number in range(7)]
    assert found.complete


def test_refusals_are_told_apart(baton: Running) -> None:
    with pytest.raises(NotFound):
        baton.client.read("Patient", "nobody")
    with pytest.raises(Refused) as raised:
        baton.client.search("Patient", [("no-such-parameter", "x")])
    assert raised.value.outcome["resourceType"] == "OperationOutcome"


def test_the_worker_opens_the_transition_of_a_discharge_once(baton: Running) -> None:
    end = datetime.now(UTC) - timedelta(hours=5)
    baton.client.update(patient("leaver"))
    baton.client.update(
        {
            "resourceType": "Encounter",
            "id": "leaving",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "subject": {"reference": "Patient/leaver"},
            "period": {"start": (end - timedelta(days=2)).isoformat(), "end": end.isoformat()},
        }
    )
    for _ in range(2):
        look, _ = join_worker(baton.settings, outside(baton.settings))
        assert look().opened == 1
    tasks = baton.client.search("Task", [("patient", "leaver"), ("_include", "Task:encounter")])
    (task,) = tasks.matches
    assert task["meta"]["versionId"] == "1"
    assert [each["id"] for each in tasks.included] == ["leaving"]
    (episode,) = baton.client.search("EpisodeOfCare", [("patient", "leaver")]).matches
    assert task["basedOn"] == [{"reference": f"EpisodeOfCare/{episode['id']}"}]
