"""The synthetic charts of demonstration mode, told as of their newest discharge and moved to the present.

Pure apart from reading the shipped bundles. Each chart is cut at its newest adult inpatient discharge (what
came later, also the patient's death, is left out) and shifted by whole weeks so that this discharge lies
within the last seven days; weekdays and intervals stay as they were. Charts without such a discharge are
shifted by their newest encounter and stay whole. Record numbers are made short.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib.resources import files
from typing import Any

from server.fhir.json_codec import decode

INPATIENT_CLASSES = frozenset({"IMP", "ACUTE", "NONAC"})
ADULT_YEARS = 18
WEEK = timedelta(days=7)

# A whole JSON string that is a FHIR date, dateTime or instant with at least a day.
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))?")


@dataclass(frozen=True, slots=True)
class Chart:
    """One synthetic patient's resources with ids and local references. discharge: the newest stay, if any."""

    patient: dict[str, Any]
    resources: list[dict[str, Any]]
    discharge: dict[str, Any] | None


def bundles() -> Iterator[dict[str, Any]]:
    """The shipped Synthea bundles in the order of their names, dates as generated."""
    folder = files(__package__).joinpath("patients")
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".json.gz"):
            yield decode(gzip.decompress(entry.read_bytes()))


def demo_chart(bundle: dict[str, Any], now: datetime) -> Chart:
    """The chart of one bundle, cut and shifted as the module says. now: aware."""
    resources = [with_short_record_number(r) for r in with_local_references(bundle)]
    discharge = newest_adult_discharge(resources)
    if discharge is not None:
        resources = as_of(resources, discharge)
        newest = discharge["period"]["end"]
    else:
        newest = max(r["period"]["end"] for r in resources if r["resourceType"] == "Encounter")
    weeks = (now - datetime.fromisoformat(newest)) // WEEK
    shifted = [shift(resource, weeks * WEEK) for resource in resources]
    patient = next(r for r in shifted if r["resourceType"] == "Patient")
    stay = next((r for r in shifted if discharge and r["id"] == discharge["id"]), None)
    return Chart(patient, shifted, stay)


def with_local_references(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    """The resources of a bundle with `urn:uuid:` references replaced by Type/id."""
    local = {e["fullUrl"]: f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle["entry"]}

    def replace(value: Any) -> Any:
        return local.get(value, value) if isinstance(value, str) else value

    return [_mapped(entry["resource"], replace) for entry in bundle["entry"]]


def newest_adult_discharge(resources: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The finished inpatient Encounter that ended last while the patient was of age, None without one."""
    patient = next(r for r in resources if r["resourceType"] == "Patient")
    of_age = date.fromisoformat(patient["birthDate"]) + timedelta(days=round(ADULT_YEARS * 365.25))
    stays = [
        r
        for r in resources
        if r["resourceType"] == "Encounter"
        and r["status"] == "finished"
        and r["class"]["code"] in INPATIENT_CLASSES
        and date.fromisoformat(r["period"]["end"][:10]) >= of_age
    ]
    return max(stays, key=lambda r: r["period"]["end"], default=None)


def as_of(resources: list[dict[str, Any]], discharge: dict[str, Any]) -> list[dict[str, Any]]:
    """The chart as it stood at the end of a stay: later encounters and all that refers to them left out."""
    end = discharge["period"]["end"]
    dropped = {
        f"Encounter/{r['id']}"
        for r in resources
        if r["resourceType"] == "Encounter" and r["id"] != discharge["id"] and r["period"]["end"] > end
    }
    kept = [r for r in resources if f"{r['resourceType']}/{r['id']}" not in dropped]
    while True:
        later = {f"{r['resourceType']}/{r['id']}" for r in kept if dropped & set(_references(r))}
        if not later:
            break
        dropped |= later
        kept = [r for r in kept if f"{r['resourceType']}/{r['id']}" not in later]
    return [_living(r) if r["resourceType"] == "Patient" else r for r in kept]


def with_short_record_number(resource: dict[str, Any]) -> dict[str, Any]:
    """A Patient whose medical record number has seven digits: Synthea's is a UUID, which nobody reads out."""
    if resource["resourceType"] != "Patient":
        return resource
    number = f"{zlib.crc32(resource['id'].encode()) % 10_000_000:07d}"
    return resource | {
        "identifier": [
            each | {"value": number} if _is_record_number(each) else each
            for each in resource.get("identifier", ())
        ]
    }


def _is_record_number(identifier: dict[str, Any]) -> bool:
    return any(coding.get("code") == "MR" for coding in identifier.get("type", {}).get("coding", ()))


def shift(resource: dict[str, Any], by: timedelta) -> dict[str, Any]:
    """A copy with every date, dateTime and instant of day precision or finer moved by whole days."""

    def moved(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        match = _DATE.fullmatch(value)
        if match is None:
            return value
        day, time = match.groups()
        return (date.fromisoformat(day) + by).isoformat() + (time or "")

    return _mapped(resource, moved)


def _living(patient: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in patient.items() if key not in ("deceasedDateTime", "deceasedBoolean")}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return change(value)
