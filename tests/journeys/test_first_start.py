"""The first start of a demonstration loads the synthetic charts by itself; a later one finds them anywhere.

The deployments of the other journeys are copies of this one's home, started at addresses of their own.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import requests

pytestmark = [pytest.mark.network, pytest.mark.slow]

CHARTS = Path(__file__).parents[2] / "server" / "demo_data" / "patients"


def test_in_an_empty_home_every_chart_is_loaded_once_it_is_ready(first_start: Any) -> None:
    charts = len(list(CHARTS.glob("*.json.gz")))
    done = json.loads((first_start.home / "demo-data.json").read_text("utf-8"))
    assert (done["patients"], done["present"]) == (charts, 0)
    told = [line for line in first_start.said if line.startswith(("ready ", "synthetic charts ready"))]
    assert told[0].startswith("ready web ")
    assert told[1].startswith(f"synthetic charts ready: {charts} patients, {done['resources']} resources in ")
    assert len(told) == 2


def test_a_later_start_finds_them_and_loads_nothing(first_start: Any, baton: Any) -> None:
    assert not [line for line in baton.output if "synthetic charts" in line]
    done = json.loads((first_start.home / "demo-data.json").read_text("utf-8"))
    ids = {
        entry["resource"]["id"]
        for file in CHARTS.glob("*.json.gz")
        for entry in json.loads(gzip.decompress(file.read_bytes()))["entry"]
        if entry["resource"]["resourceType"] == "Patient"
    }
    assert len(ids) == done["patients"]
    # Other journeys may have added patients to this deployment.
    assert ids <= {patient["id"] for patient in baton.search("Patient?_count=200", baton.token("system/*.rs"))}


def test_a_later_start_at_other_addresses_knows_no_other(first_start: Any, baton: Any) -> None:
    before = next(line for line in first_start.said if line.startswith("ready ")).split()
    assert not {baton.base_url, baton.app_url} & set(before)
    app = json.loads(baton.baton("client", "show", "--json", "baton-app"))
    assert app["redirect_uris"] == [f"{baton.app_url}/callback"]
    assert app["launch_url"] == f"{baton.app_url}/launch"
    assert app["frame_ancestors"] == [baton.base_url]
    page = baton.read("Encounter?_count=50&_include=*", baton.token("system/*.rs"))
    assert all(entry["fullUrl"].startswith(f"{baton.fhir}/") for entry in page["entry"])
    configuration = requests.get(f"{baton.fhir}/.well-known/smart-configuration", timeout=30).text
    assert baton.base_url in configuration
    for address in {word for word in before if word.startswith("http")}:
        assert address not in json.dumps(page) + configuration
