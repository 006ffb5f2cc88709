"""What the rules ask of the chart beside the lists: age, kidney function, conditions, the day of evaluation."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

from smart_app.reconciliation.chart_index import Resource, mappings
from smart_app.reconciliation.safety.data_files import table
from terminology.systems import ICD_10_CM, LOINC, SNOMED_CT

_FINAL = {"final", "amended", "corrected"}
_GONE = {"inactive", "remission", "resolved"}
_NOT_TRUE = {"refuted", "entered-in-error"}


@dataclass(frozen=True, slots=True)
class KidneyFunction:
    """An estimated filtration rate in mL/min/1.73 m2; `limit` is "<" or ">" where only a bound was reported."""

    value: Decimal
    limit: str
    taken: date
    reference: str

    def is_below(self, threshold: Decimal) -> bool:
        """Whether it is known to be below; a value reported as "> 60" is below nothing under 60."""
        if self.limit == ">":
            return False
        return self.value <= threshold if self.limit == "<" else self.value < threshold


@dataclass(frozen=True, slots=True)
class PatientContext:
    """None: unknown, and what depends on it is not checked and said so."""

    evaluated_on: date | None = None
    born: date | None = None
    """The latest day that a partial birth date allows."""
    kidney: KidneyFunction | None = None
    conditions: frozenset[str] = frozenset()
    """Ids of `conditions.toml` that an active Condition of the chart names."""
    condition_references: tuple[tuple[str, str], ...] = ()
    """(id, `Condition/id`), sorted."""
    conditions_read: bool = False
    """The chart holds at least one Condition; without any, silence of a rule says nothing."""

    @property
    def age(self) -> int | None:
        """Years completed on the day of evaluation; the least that a partial birth date allows."""
        if self.born is None or self.evaluated_on is None or self.born > self.evaluated_on:
            return None
        before = (self.evaluated_on.month, self.evaluated_on.day) < (self.born.month, self.born.day)
        return self.evaluated_on.year - self.born.year - before


UNKNOWN = PatientContext()


def read_context(
    resources: Iterable[tuple[str, Resource]], evaluated_on: date | datetime | None
) -> PatientContext:
    """Patient, Observations and Conditions of one chart, as (`Type/id`, resource).

    What is malformed is passed over.
    """
    day = evaluated_on.date() if isinstance(evaluated_on, datetime) else evaluated_on
    born: date | None = None
    kidney: list[KidneyFunction] = []
    found: set[tuple[str, str]] = set()
    read = False
    for name, resource in resources:
        match resource.get("resourceType"):
            case "Patient":
                born = _last_day(resource.get("birthDate"))
            case "Observation":
                kidney += [value for value in _kidney(name, resource) if _recent(value, day)]
            case "Condition":
                read = True
                found.update((condition, name) for condition in _conditions(resource))
    newest = max(kidney, key=lambda value: (value.taken, value.reference), default=None)
    return PatientContext(
        evaluated_on=day,
        born=born,
        kidney=newest,
        conditions=frozenset(condition for condition, _ in found),
        condition_references=tuple(sorted(found)),
        conditions_read=read,
    )


def kidney_codes() -> str:
    """The observations that are read, as the value of the search parameter `code`."""
    return ",".join(f"{LOINC}|{code}" for code in table("checks.toml")["kidney"]["loinc"])


def _last_day(value: object) -> date | None:
    """The last day of a FHIR date, which may be a year or a month."""
    if not isinstance(value, str):
        return None
    parts = value[:10].split("-")
    try:
        numbers = [int(part) for part in parts]
        year, month = numbers[0], numbers[1] if len(numbers) > 1 else 12
        return date(year, month, numbers[2] if len(numbers) > 2 else monthrange(year, month)[1])
    except (ValueError, IndexError):
        return None


def _codings(concept: object) -> list[Mapping[str, Any]]:
    return mappings(concept.get("coding")) if isinstance(concept, Mapping) else []


def _codes(resource: Resource, name: str) -> set[str]:
    return {str(coding.get("code")) for coding in _codings(resource.get(name))}


def _kidney(name: str, resource: Resource) -> Iterator[KidneyFunction]:
    rule = table("checks.toml")["kidney"]
    if str(resource.get("status")) not in _FINAL:
        return
    known = {str(c.get("code")) for c in _codings(resource.get("code")) if c.get("system") == LOINC}
    quantity = resource.get("valueQuantity")
    taken = _last_day(resource.get("effectiveDateTime") or resource.get("effectiveInstant"))
    if not known & rule["loinc"].keys() or not isinstance(quantity, Mapping) or taken is None:
        return
    if {str(quantity.get("code")), str(quantity.get("unit"))}.isdisjoint(rule["units"]):
        return
    try:
        value = Decimal(str(quantity.get("value")))
    except InvalidOperation:
        return
    if value.is_finite() and value >= 0:
        yield KidneyFunction(value, str(quantity.get("comparator") or "")[:1], taken, name)


def _recent(value: KidneyFunction, day: date | None) -> bool:
    most = timedelta(days=int(table("renal.toml")["max_age_days"]))
    return day is not None and day - most <= value.taken <= day + timedelta(days=1)


@cache
def _patterns() -> tuple[tuple[str, frozenset[str], tuple[str, ...], re.Pattern[str], tuple[str, ...]], ...]:
    return tuple(
        (
            condition,
            frozenset(body["snomed"]),
            tuple(body["icd10cm"]),
            re.compile(r"\b(?:" + "|".join(map(re.escape, body["words"])) + ")"),
            (*body["not"], "family history"),
        )
        for condition, body in table("conditions.toml").items()
        if isinstance(body, dict)
    )


def _conditions(resource: Resource) -> Iterator[str]:
    """Ids of the conditions that an active, unrefuted Condition names by code or words."""
    if _codes(resource, "clinicalStatus") & _GONE or _codes(resource, "verificationStatus") & _NOT_TRUE:
        return
    concept = resource.get("code")
    codings = _codings(concept)
    snomed = {str(c.get("code")) for c in codings if c.get("system") == SNOMED_CT}
    icd = tuple(str(c.get("code")) for c in codings if c.get("system") == ICD_10_CM)
    texts = [
        concept.get("text") if isinstance(concept, Mapping) else None,
        *(c.get("display") for c in codings),
    ]
    words = [text.casefold() for text in texts if isinstance(text, str)]
    for condition, codes, prefixes, pattern, never in _patterns():
        named = any(pattern.search(text) and not any(no in text for no in never) for text in words)
        if snomed & codes or any(code.startswith(prefixes) for code in icd) or named:
            yield condition
