"""Makes `schema_1.sql.gz` and `schema_1.answers.json`: a database of schema 1 and what its release answered.

    python tests/server/released_schemas/make_schema_1.py

Runs with a checkout of the release that had schema 1 alone, never with a later one; it is kept to show what the
dump holds and how it came about. Same checkout, same bytes: the clock, the ids and the secrets are counted.
All patients are synthetic.
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
import sqlite3
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from server.storage.audit_log import AuditSegment

from server.app import create_app
from server.auth.context import auth_context
from server.auth.tokens import Claims, mint, revoke
from server.fhir.json_codec import encode
from server.logs import Log
from server.settings import read_settings
from server.storage import open_store
from server.storage.audit_values import AuditRow
from server.storage.authorization import (
    BrowserSessionRow,
    ClientRow,
    CodeRow,
    GrantRow,
    LaunchRow,
    RefreshTokenRow,
    UserRow,
)
from server.storage.migrations import migrations

HERE = Path(__file__).parent
PATIENT = HERE.parents[2] / "server/demo_data/patients/78f005f3-7b33-4a5b-84d9-28417b36dbab.json.gz"
START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
# Of "synthetic nurse".
PASSWORD_HASH = "scrypt$32768$8$3$MDEyMzQ1Njc4OWFiY2RlZg==$0DOnw5b6j+5KqvOt33rbV6nhjWJ/DQjQGdBGq7W6/h8="
REDIRECT = "https://review.example/cb"
BASE = "http://127.0.0.1:8000"
SECRET_KEY = "a key for tests only, long enough to be one"

# Every kind of parameter and modifier of the release, over what the database holds.
SEARCHES = (
    "Patient?_sort=birthdate&_total=accurate",
    "Patient?name=test",
    "Patient?name:exact=Testfall",
    "Patient?name:contains=stf",
    "Patient?identifier=urn:example:mrn|A-1",
    "Patient?identifier:missing=false&_sort=_id",
    "Patient?gender=female,male&birthdate=lt1960",
    "Patient?gender:not=female",
    "Patient?_has:Observation:patient:code=http://loinc.org|2160-0",
    "Patient?deceased=false",
    "Observation?patient=a&_sort=-date",
    "Observation?code=http://loinc.org|2160-0&value-quantity=gt1.2||mg/dL&_sort=date",
    "Observation?date=ge2024-03&date=lt2024-05&_sort=date",
    "Observation?subject.name=Testfall&_sort=_id",
    "Observation?code:not=http://loinc.org|2160-0&_count=5&_sort=_id",
    "Observation?value-quantity:missing=true&_count=5&_sort=_id",
    "Condition?_sort=-onset-date&_count=10",
    "Encounter?_sort=date&_count=7&_include=Encounter:patient",
    "Patient?_id=a&_revinclude=Observation:patient",
    "ValueSet?url=http://example.org/vs",
    "Questionnaire?title=after",
    "List?item=Observation/o2",
    "MedicationRequest?_lastUpdated=ge2026-11-02&_sort=_lastUpdated&_count=20",
)


class Clock:
    """One second later at every look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def main() -> None:
    assert [migration.number for migration in migrations("sqlite")] == [1], "this is a later release"
    with tempfile.TemporaryDirectory() as home:
        settings = read_settings(
            {"BATON_HOME": home, "BATON_SECRET_KEY": SECRET_KEY, "BATON_TIME_ZONE": "America/New_York"}
        )
        store = open_store(settings.database_url)
        store.upgrade()
        clock, ids, secrets = Clock(), itertools.count(1), itertools.count(1)
        app = create_app(settings, store=store, clock=clock, new_id=lambda: f"n{next(ids)}", log=Log("ERROR"))
        context = replace(
            auth_context(
                store.authorization,
                store,
                base_url=settings.base_url,
                home=settings.home,
                secret_key=settings.secret_key,
                clock=clock,
            ),
            new_secret=lambda: f"secret-of-the-schema-1-database-no-{next(secrets):08}",
        )
        answers: dict[str, Any] = {"secret_key": SECRET_KEY, "secrets": fill_authorization(context)}
        fill_resources(app, answers["secrets"]["everything"])
        fill_rest(store, Path(home) / "audit", clock)
        answers["now"] = clock.now.isoformat()
        answers["searches"] = {query: search(app, answers, query) for query in SEARCHES}
        answers["history"] = search(app, answers, "Observation/o1/_history")
        store.close()
        write(Path(home) / "baton.sqlite3", answers)


def fill_authorization(context: Any) -> dict[str, str]:
    """Clients, people, grants, tokens of every state; the secrets by what they are for."""
    rows, now = context.rows, context.clock()
    later = now + timedelta(days=60)
    secrets = {name: context.new_secret() for name in ("client_secret", "refresh", "code", "launch", "session")}
    rows.put_client(
        ClientRow(
            client_id="review",
            name="Review",
            kind="confidential-symmetric",
            created=now,
            scope="launch openid fhirUser offline_access user/*.rs",
            grant_types=("authorization_code", "refresh_token"),
            redirect_uris=(REDIRECT,),
            secret_hash=context.hash(secrets["client_secret"]).hex(),
        )
    )
    rows.put_client(
        ClientRow(client_id="ended", name="Ended", kind="public", created=now, scope="patient/*.rs")
    )
    rows.put_user(UserRow("rn", PASSWORD_HASH, "rn", "prac", "Demo Nurse (synthetic)"))
    rows.put_user(UserRow("gone", "", "ma", disabled=True, failed_attempts=3, locked_until=later))
    rows.add_grant(
        GrantRow(
            grant_id="grant-1",
            client_id="review",
            created=now,
            scope="openid fhirUser offline_access user/*.rs",
            username="rn",
            fhir_user="Practitioner/prac",
            role="rn",
            patient="a",
        )
    )
    rows.add_refresh_token(
        RefreshTokenRow(
            token_hash=context.hash(secrets["refresh"]),
            grant_id="grant-1",
            client_id="review",
            scope="openid fhirUser offline_access user/*.rs",
            expires=later,
        )
    )
    rows.add_code(
        CodeRow(
            context.hash(secrets["code"]), "grant-1", "review", "https://review.example/cb", "user/*.rs", later
        )
    )
    rows.add_launch(LaunchRow(context.hash(secrets["launch"]), "review", "rn", later, patient="a"))
    rows.add_browser_session(
        BrowserSessionRow(context.hash(secrets["session"]), "login", "rn", now, now, later, {"csrf": "x"})
    )
    rows.use_assertion_id("review", "jti-1", later)
    days = timedelta(days=80)
    secrets["everything"] = mint(context, Claims(client_id="tests", scope="system/*.cruds"), days)
    secrets["patient"] = mint(context, Claims(client_id="tests", scope="patient/*.rs", patient="a"), days)
    secrets["revoked"] = mint(context, Claims(client_id="tests", scope="system/*.rs"), days)
    revoke(context, secrets["revoked"], principal="operator")
    secrets["expired"] = mint(context, Claims(client_id="tests", scope="system/*.rs"), timedelta(seconds=1))
    secrets["of_disabled_client"] = mint(context, Claims(client_id="ended", scope="patient/*.rs"), days)
    rows.disable_client("ended", now)
    return secrets


def fill_resources(app: Any, token: str) -> None:
    """Versions, deletions, a revival, and values of every index table."""

    def send(method: str, path: str, body: Any = None, **headers: str) -> None:
        url = f"{BASE}/fhir/{path}" if path else f"{BASE}/fhir"
        sent = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/fhir+json",
            **headers,
        }
        data = encode(body) if isinstance(body, dict) else body
        answer = app.test_client().open(url, method=method, data=data, headers=sent)
        assert answer.status_code < 300, (method, path, answer.get_data(as_text=True)[:500])

    with gzip.open(PATIENT, "rb") as stream:
        send("POST", "", stream.read())
    type_code = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    for id, family, born, number in (("a", "Testfall", "1950-03-02", 1), ("b", "Testrow", "1971-07-30", 2)):
        body = {
            "resourceType": "Patient",
            "id": id,
            "identifier": [{"type": type_code, "system": "urn:example:mrn", "value": f"A-{number}"}],
            "name": [{"family": family, "given": ["Zoë" if id == "b" else "Anna"]}],
            "gender": "female" if id == "a" else "male",
            "birthDate": born,
            "deceasedBoolean": False,
        }
        send("PUT", f"Patient/{id}", body)
        send("PUT", f"Patient/{id}", body | {"active": True})
    send("PUT", "Practitioner/prac", {"resourceType": "Practitioner", "id": "prac", "active": True})
    for number, (value, day) in enumerate((("1.50", "2024-03-01"), ("0.900", "2024-04-11"), ("7", "2024-06"))):
        id = f"o{number + 1}"
        # As text: the digits of a decimal are kept.
        text = (
            f'{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"coding":[{{"system":'
            '"http://loinc.org","code":"2160-0"}],"text":"Creatinine"},"subject":{"reference":"Patient/a"},'
            f'"effectiveDateTime":"{day}","valueQuantity":{{"value":{value},"unit":"mg/dL","system":'
            '"http://unitsofmeasure.org","code":"mg/dL"}}'
        )
        send("PUT", f"Observation/{id}", text.encode())
        send("PUT", f"Observation/{id}", text.replace('"final"', '"amended"').encode())
    send("DELETE", "Observation/o3")
    send("DELETE", "Patient/b")
    body = {"resourceType": "Patient", "id": "b", "name": [{"family": "Testback"}], "birthDate": "1971-07-30"}
    send("PUT", "Patient/b", body)
    send("PUT", "ValueSet/v", {"resourceType": "ValueSet", "id": "v", "url": "http://example.org/vs",
                               "status": "active"})  # fmt: skip
    send("PUT", "Questionnaire/q", {"resourceType": "Questionnaire", "id": "q", "status": "active",
                                    "title": "After discharge"})  # fmt: skip
    body = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "subject": {"reference": "Patient/a"},
        "entry": [{"item": {"reference": f"Observation/o{number}"}} for number in (1, 2)],
    }
    send("POST", "List", body)
    send("POST", "List", body, **{"If-None-Exist": "item=Observation/none"})


def fill_rest(store: Any, segments: Path, clock: Clock) -> None:
    """The outbox in all its states, and audit rows by way of a segment that is still open."""
    now = clock()
    claimed = store.outbox.claim_batch("relay-1", now, lease=timedelta(minutes=1), limit=7)
    store.outbox.done("relay-1", [event.event_id for event in claimed[:3]])
    store.outbox.failed("relay-1", [claimed[3].event_id], retry=None)
    store.outbox.failed("relay-1", [claimed[4].event_id], retry=now + timedelta(minutes=5))
    store.ingest_audit(segments)
    segment = AuditSegment(segments)
    for number in range(3):
        segment.append(
            AuditRow(clock(), f"Practitioner/{number}", "review", "read", "Patient", "a", 2, "a", 200, "r")
        )
    store.ingest_audit(segments)


def search(app: Any, answers: dict[str, Any], query: str) -> list[str]:
    """What a query finds: Type/id/version of every entry, in order."""
    headers = {"Authorization": f"Bearer {answers['secrets']['everything']}"}
    answer = app.test_client().get(f"{BASE}/fhir/{query}", headers=headers)
    assert answer.status_code == 200, (query, answer.get_data(as_text=True))
    found = []
    for entry in json.loads(answer.get_data()).get("entry", ()):
        resource = entry.get("resource")
        found.append(
            f"{resource['resourceType']}/{resource['id']}/{resource['meta']['versionId']}"
            if resource
            else f"{entry['request']['method']} {entry['request']['url']}"
        )
    return found


def write(database: Path, answers: dict[str, Any]) -> None:
    connection = sqlite3.connect(database)
    dump = "\n".join(connection.iterdump()) + "\n"
    segment = connection.execute("SELECT name FROM audit_segment").fetchone()
    if segment:  # named by process and chance
        dump = dump.replace(segment[0], "1-0000000000000000.jsonl")
    known: dict[str, int] = {}  # ids of requests are random
    dump = re.sub("'[0-9a-f]{32}'", lambda id: f"'request-{known.setdefault(id[0], len(known))}'", dump)
    with (HERE / "schema_1.sql.gz").open("wb") as stream, gzip.GzipFile("", "wb", 9, stream, mtime=0) as packed:
        packed.write(dump.encode())
    (HERE / "schema_1.answers.json").write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
