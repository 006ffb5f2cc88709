"""R4's own code systems and value sets, read when one is first asked for.

`data/r4.zip` has blocks of definitions and an index of their canonical urls; made by `generate`.
Source: hl7.org/fhir/R4/terminologies-systems.html, hl7.org/fhir/R4/terminologies-valuesets.html
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from server.terminology.code_systems import CodeSystem, read_code_system
from server.terminology.value_sets import ValueSet, read_value_set, whole_system

# Value sets that exist by their url alone: all codes of a system.
# Sources: hl7.org/fhir/R4/snomedct.html#implicit, loinc.html#implicit, ucum.html
_IMPLICIT = {
    "http://snomed.info/sct?fhir_vs": "http://snomed.info/sct",
    "http://loinc.org/vs": "http://loinc.org",
    "http://unitsofmeasure.org/vs": "http://unitsofmeasure.org",
}

DATA = Path(__file__).parent / "data" / "r4.zip"


def value_set(url: str, version: str = "") -> ValueSet | None:
    """R4's value set of this url, and version where one is given; None where there is none."""
    found = _value_set(url)
    return found if found is not None and version in ("", found.version) else None


def code_system(url: str, version: str = "") -> CodeSystem | None:
    """R4's code system of this url, and version where one is given; None where there is none."""
    found = _code_system(url)
    return found if found is not None and version in ("", found.version) else None


def urls(resource_type: str) -> tuple[str, ...]:
    """The urls of all shipped definitions of a type, CodeSystem or ValueSet, in order."""
    return tuple(_index()[resource_type])


@lru_cache(maxsize=64)
def _value_set(url: str) -> ValueSet | None:
    resource = _resource("ValueSet", url)
    if resource is not None:
        return read_value_set(resource)
    if url in _IMPLICIT:
        return whole_system(_IMPLICIT[url], "", url)
    system = _code_system(_index()["whole"].get(url, ""))
    return None if system is None else whole_system(system.url, system.version, url)


@lru_cache(maxsize=64)
def _code_system(url: str) -> CodeSystem | None:
    resource = _resource("CodeSystem", url)
    return None if resource is None else read_code_system(resource)


def _resource(resource_type: str, url: str) -> dict[str, Any] | None:
    place = _index()[resource_type].get(url)
    if place is None:
        return None
    block, line = place
    resource: dict[str, Any] = json.loads(_lines(block)[line])
    return resource


@cache
def _index() -> dict[str, dict[str, Any]]:
    """CodeSystem, ValueSet: url -> block and line. whole: value set of all codes -> url of its code system."""
    with ZipFile(DATA) as archive:
        index: dict[str, dict[str, Any]] = json.loads(archive.read("index.json"))
    return index


@lru_cache(maxsize=4)
def _lines(block: str) -> list[bytes]:
    with ZipFile(DATA) as archive:
        return archive.read(block).split(b"\n")
