"""What is measured over HTTP: one row an operation, its requests as Lua for wrk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from charts import CHART, OBSERVATIONS, STATEMENTS, chart, transaction

_BODIES = 200  # different bodies of a writing operation
_BUNDLES = 10


@dataclass(frozen=True, slots=True)
class Operation:
    """name: also of the file of bodies. label: for people. request: Lua, PATIENTS stands for their number.

    writes: changes the database, so it is measured after what only reads. resources: how many one request
    writes. search: its time may not grow with the database. limit: the bare limit beside it. longer: how many
    times longer a round lasts, where requests take so long that those under way at its end would matter.
    """

    name: str
    label: str
    request: str
    writes: bool = False
    resources: int = 1
    search: bool = False
    limit: str = "flask"
    longer: int = 1


_PATIENT = "math.random(0, PATIENTS - 1)"
_OBSERVATION = f'{_PATIENT} .. "-" .. math.random(0, {OBSERVATIONS - 1})'

OPERATIONS = (
    Operation(
        "read",
        "read",
        f'return wrk.format("GET", "/fhir/Observation/o" .. {_OBSERVATION}, headers)',
    ),
    Operation(
        "vread",
        "vread",
        f'return wrk.format("GET", "/fhir/Observation/o" .. {_OBSERVATION} .. "/_history/1", headers)',
    ),
    Operation(
        "history",
        "history of an instance [3]",
        f'return wrk.format("GET", "/fhir/Task/t" .. {_PATIENT} .. "-0/_history", headers)',
    ),
    Operation(
        "task",
        "`Task?owner&status` [14]",
        'return wrk.format("GET", "/fhir/Task?status=requested&owner=Practitioner/d"'
        " .. math.random(0, PATIENTS / 2 - 1), headers)",
        search=True,
    ),
    Operation(
        "medication",
        "`MedicationStatement?patient` [8]",
        f'return wrk.format("GET", "/fhir/MedicationStatement?patient=p" .. {_PATIENT}, headers)',
        search=True,
    ),
    Operation(
        "observation",
        "`Observation?patient&code&date` [2]",
        f'return wrk.format("GET", "/fhir/Observation?code=http://loinc.org%7Cc3&date=ge2015&patient=p"'
        f" .. {_PATIENT}, headers)",
        search=True,
    ),
    Operation(
        "create",
        "create",
        'return wrk.format("POST", "/fhir/Observation", sent, bodies[math.random(#bodies)])',
        writes=True,
        limit="inserts",
    ),
    Operation(
        "update",
        "update",
        # Of a type that is written without If-Match: a load generator knows no versions.
        f'local patient = "p" .. {_PATIENT}\n'
        f'  local id = "m" .. patient:sub(2) .. "-" .. math.random(0, {STATEMENTS - 1})\n'
        '  local body = bodies[1]:gsub("@id@", id):gsub("@patient@", patient):gsub("@text@", unique())\n'
        '  return wrk.format("PUT", "/fhir/MedicationStatement/" .. id, sent, body)',
        writes=True,
        limit="inserts",
    ),
    Operation(
        "transaction",
        f"transaction of {CHART}, resources/s",
        'return wrk.format("POST", "/fhir", sent, bodies[math.random(#bodies)])',
        writes=True,
        resources=CHART,
        limit="inserts",
        longer=4,
    ),
)
# The limits: no operation of Baton's.
LIMITS = (
    Operation(
        "fixed",
        "bare WSGI, fixed bytes",
        'return wrk.format("GET", "/fixed")',
    ),
    Operation(
        "wsgi",
        "bare WSGI, one storage read",
        f'return wrk.format("GET", "/wsgi/SIZE/Observation/o" .. {_OBSERVATION})',
    ),
    Operation(
        "flask",
        "Flask, one storage read",
        f'return wrk.format("GET", "/flask/SIZE/Observation/o" .. {_OBSERVATION})',
    ),
)


def write_bodies(operation: Operation, folder: Path, patients: int) -> Path | None:
    """The file of bodies an operation sends, a line each; None where it sends none."""
    makers = {"create": _observations, "update": _statement, "transaction": _transactions}
    if operation.name not in makers:
        return None
    path = folder / f"{operation.name}-{patients}.ndjson"
    path.write_text("".join(f"{line}\n" for line in makers[operation.name](patients)), "utf-8")
    return path


def _observations(patients: int) -> list[str]:
    lines = []
    for number in range(_BODIES):
        observations = [one for one in chart(number % patients) if one["resourceType"] == "Observation"]
        body = observations[number % OBSERVATIONS]
        lines.append(_line({name: value for name, value in body.items() if name != "id"}))
    return lines


def _statement(patients: int) -> list[str]:
    statement = next(one for one in chart(0) if one["resourceType"] == "MedicationStatement")
    subject = {"reference": "Patient/@patient@"}
    return [_line(statement | {"id": "@id@", "subject": subject, "note": [{"text": "@text@"}]})]


def _transactions(patients: int) -> list[str]:
    return [_line(transaction(number % patients)) for number in range(_BUNDLES)]


def _line(body: object) -> str:
    return json.dumps(body, separators=(",", ":"))
