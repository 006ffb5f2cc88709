"""A stay told by HL7 v2 senders of other make becomes a case on the worklist, and all of it is accounted for.

npm `node-hl7-client` (tests/vendor) and `mllp_send` of PyPI `hl7` tell a running Baton of an admission (A01), a
change (A08) and a discharge (A03) of a synthetic patient each. Covers the way through listener, log, worker,
maps, FHIR API, the app's watch for discharges and its worklist, and `baton map explain`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

VENDOR = Path(__file__).parents[1] / "vendor"
TRIGGERS = ("A01", "A08", "A03")
# Its queue is flushed when it connects and not when it is answered, so that the answer sends the next one.
NODE_SENDER = """
const { Client, Message } = require(process.argv[2]);
const texts = JSON.parse(process.argv[4]);
const client = new Client({ host: "127.0.0.1", ipv4: true });
const codes = [];
const send = () => connection.sendMessage(new Message({ text: texts[codes.length] }));
const connection = client.createConnection({ port: Number(process.argv[3]) }, async (response) => {
  codes.push(response.getMessage().get("MSA.1").toString());
  if (codes.length < texts.length) return send();
  await connection.close();
  console.log(codes.join(" "));
  process.exit(0);
});
connection.once("connect", send);
"""
APPLIED_SECONDS = 60
CASE_SECONDS = 90  # the app looks every five seconds, and its first look may come before the server is ready


def stay(mrn: str, family: str, now: datetime) -> dict[str, str]:
    """A synthetic stay of two days that ended four hours ago: trigger -> message."""
    admitted, moved, left = (now - timedelta(hours=hours) for hours in (52, 30, 4))

    def told(trigger: str, at: datetime, street: str, visit: str) -> str:
        stamp = f"{at:%Y%m%d%H%M%S}+0000"
        return "\r".join(
            (
                f"MSH|^~\\&|REGSYS|SYNTHGEN|BATON|CARE|{stamp}||ADT^{trigger}|{mrn}-{trigger}|P|2.5.1",
                f"EVN|{trigger}|{stamp}",
                f"PID|1||{mrn}^^^SYNTHMRN^MR||{family}^Test^Quinn^^^^L||19480417|F|||{street}^^Exampleton^IL^60001"
                "^USA^H||^PRN^PH^^^555^5550101||eng|W",
                f"NK1|1|{family}^Other|SPO|{street}^^Exampleton^IL^60001",
                "PV1|1|I|3N^301^A^SYNTHGEN|E|||1001^Doctor^Syn^^^^^^SYNTHGEN|||MED||||7|||||"
                f"V{mrn}^^^SYNTHGEN^VN|||||||||||||||||{visit}",
                "PV2|||^Chest pain",
                "AL1|1|DA|7980^Penicillin G^RXNORM|SV|Hives",
                "DG1|1||I50.9^Heart failure, unspecified^I10|||A",
                "",
            )
        )

    start = f"{admitted:%Y%m%d%H%M%S}+0000"
    ends = f"01||||||||{start}|{left:%Y%m%d%H%M%S}+0000"
    return {
        "A01": told("A01", admitted, "1 Sample Way", f"||||||||{start}"),
        "A08": told("A08", moved, "2 Other Road", f"||||||||{start}"),
        "A03": told("A03", left, "2 Other Road", ends),
    }


def sent_by_node(port: int, messages: list[str], folder: Path) -> None:
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no node, so node-hl7-client is not tried")
        pytest.skip("there is no node")
    script = folder / "send.cjs"
    script.write_text(NODE_SENDER, "utf-8")
    command = [node, script, VENDOR / "node-hl7-client.cjs", str(port), json.dumps(messages)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "AA AA AA"), done.stderr


def sent_by_mllp_send(port: int, messages: list[str], folder: Path) -> None:
    file = folder / "messages.hl7"
    file.write_bytes(b"".join(b"\x0b" + message.encode() + b"\x1c\r" for message in messages))
    program = str(Path(sys.executable).with_name("mllp_send"))
    command = [program, "-p", str(port), "-f", str(file), "127.0.0.1"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"MSA|AA|") == 3


SENDERS: dict[str, Callable[[int, list[str], Path], None]] = {
    "Northnode": sent_by_node,
    "Southsend": sent_by_mllp_send,
}


@pytest.fixture(scope="module")
def site(deploy: Callable[..., Any]) -> Any:
    """A demonstration without charts: what it knows comes from the feed."""
    return deploy(data=False, environment={"BATON_WORKERS": "1"})


@pytest.fixture(scope="module")
def token(site: Any) -> str:
    """May read everything."""
    return str(site.token("system/*.rs"))


@pytest.fixture(scope="module")
def told(site: Any, token: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What each sender has told, after all of it was applied: family name -> trigger -> message."""
    (port,) = (int(found[1]) for line in site.output if (found := re.search(r"^ready .*mllp \S+:(\d+)", line)))
    now = datetime.now(UTC)
    stays = {family: stay(f"47{n}", family, now) for n, family in enumerate(SENDERS)}
    for family, send in SENDERS.items():
        messages = [stays[family][trigger] for trigger in TRIGGERS]
        send(port, messages, tmp_path_factory.mktemp(family))
    deadline = time.monotonic() + APPLIED_SECONDS
    while len(site.search("Encounter?status=finished", token)) < len(SENDERS):
        assert time.monotonic() < deadline, site.baton("hl7v2", "list")
        time.sleep(0.2)
    return stays


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Primitives with their path; which of several items one is of does not matter."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from leaves(member, f"{path}.{name}")
    elif isinstance(value, list):
        for member in value:
            yield from leaves(member, path)
    else:
        yield path, value


@pytest.mark.parametrize("family", SENDERS)
def test_patient_stay_and_places_are_read_over_fhir(
    site: Any, token: str, told: dict[str, dict[str, str]], family: str
) -> None:
    (patient,) = site.search(f"Patient?family={family}", token)
    assert (patient["gender"], patient["birthDate"]) == ("female", "1948-04-17")
    assert patient["name"][0]["given"] == ["Test", "Quinn"]
    assert [address["line"] for address in patient["address"]] == [["2 Other Road"]], "as A08 has it"
    (encounter,) = site.search(f"Encounter?patient={patient['id']}", token)
    assert (encounter["status"], encounter["class"]["code"]) == ("finished", "IMP")
    assert encounter["period"].keys() == {"start", "end"}
    assert encounter["reasonCode"][0]["text"] == "Chest pain"
    names = []
    reference = encounter["location"][-1]["location"]["reference"]
    while reference:
        place = site.read(reference, token)
        names.append((place["name"], place["physicalType"]["coding"][0]["code"]))
        reference = place.get("partOf", {}).get("reference")
    assert names == [("A", "bd"), ("301", "ro"), ("3N", "wa"), ("SYNTHGEN", "si")]
    history = site.read(f"Encounter/{encounter['id']}/_history", token)["entry"]
    assert [entry["resource"]["status"] for entry in history] == ["finished", "in-progress"]


def test_a_place_that_both_name_is_there_once(site: Any, token: str, told: object) -> None:
    assert len(site.search("Location?_count=50", token)) == 4
    assert len(site.search("Patient?_count=50", token)) == len(SENDERS)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_explain_accounts_for_every_element_and_every_filled_component(
    site: Any, told: dict[str, dict[str, str]], trigger: str, tmp_path: Path
) -> None:
    text = told["Northnode"][trigger]
    file = tmp_path / "message.hl7"
    file.write_bytes(text.encode())
    found = json.loads(site.baton("map", "explain", "--json", str(file)))
    filled = sum(
        bool(part)
        for line in text.split("\r")
        for field in (line[9:] if line.startswith("MSH") else line[4:]).split("|")
        for part in re.split(r"[~^&]", field)
    )
    assert len(found["inputs"]) == filled
    nowhere = [one for one in found["inputs"] if not (one["became"] or one["decided"] or one["note"])]
    assert nowhere == []
    unmapped = [one["position"] for one in found["inputs"] if one["note"].startswith("unmapped")]
    assert unmapped == []
    assert len(found["outputs"]) > 100
    assert [one for one in found["outputs"] if one["step"] is None] == []
    kinds = {one["path"].partition(".")[0] for one in found["outputs"]}
    assert kinds >= {"Patient", "Encounter", "Location", "Practitioner", "Condition", "AllergyIntolerance"}


@pytest.mark.parametrize("resource_type", ["Patient", "Encounter"])
def test_nothing_is_stored_that_explain_does_not_account_for(
    site: Any, token: str, told: dict[str, dict[str, str]], resource_type: str, tmp_path: Path
) -> None:
    known = set()
    for trigger in TRIGGERS:
        file = tmp_path / f"{trigger}.hl7"
        file.write_bytes(told["Southsend"][trigger].encode())
        found = json.loads(site.baton("map", "explain", "--json", str(file)))
        known |= {(re.sub(r"\[\d+\]", "", one["path"]), json.dumps(one["value"])) for one in found["outputs"]}
    (patient,) = site.search("Patient?family=Southsend", token)
    query = f"Encounter?patient={patient['id']}" if resource_type == "Encounter" else ""
    stored = site.search(query, token)[0] if query else patient
    said = {name: value for name, value in stored.items() if name not in ("id", "meta", "resourceType")}
    found_there = [(path, json.dumps(value)) for path, value in leaves(said, resource_type)]
    paths = {path for path, _ in known}
    unknown = [
        (path, value)
        for path, value in found_there
        # Which resource a reference leads to is found in the database, not in the message.
        if (path not in paths if path.endswith(".reference") else (path, value) not in known)
    ]
    assert unknown == []
    assert len(found_there) > 20


def test_the_discharge_is_a_case_on_the_worklist(
    site: Any, token: str, told: object, people: ModuleType, window: BrowserContext
) -> None:
    deadline = time.monotonic() + CASE_SECONDS
    while len(site.search("Task?status=requested,ready,in-progress", token)) < len(SENDERS):
        assert time.monotonic() < deadline, "the app finds the discharges"
        time.sleep(0.5)
    (patient,) = site.search("Patient?family=Northnode", token)
    page = window.new_page()
    people.sign_in(page, site)
    frame = people.open_app(page, site, patient["id"])
    frame.get_by_role("link", name="Worklist", exact=True).click()
    table = frame.get_by_role("table", name="Discharges, the clock that runs out next first")
    for family in SENDERS:
        expect(table.get_by_role("row").filter(has_text=family)).to_have_count(1)
