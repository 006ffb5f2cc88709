"""R4's own code systems, value sets and concept maps, read when one is first asked for.

`data/r4.zip` has blocks of definitions and an index of their canonical urls; made by `generate`.
Source: hl7.org/fhir/R4/terminologies-systems.html, hl7.org/fhir/R4/terminologies-valuesets.html
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from server.terminology.code_systems import ListedCodeSystem, read_code_system
from server.terminology.concept_maps import ListedConceptMap, read_concept_map
from server.terminology.implicit import implicit_value_set
from server.terminology.value_sets import ValueSet, read_value_set, whole_system

DATA = Path(__file__).parent / "data" / "r4.zip"


def value_set(url: str, version: str = "") -> ValueSet | None:
    """R4's value set of this url, and version where one is given; None where there is none."""
    found = _value_set(url)
    return found if found is not None and version in ("", found.version) else None


def code_system(url: str, version: str = "") -> ListedCodeSystem | None:
    """R4's code system of this url, and version where one is given; None where there is none."""
    found = _code_system(url)
    return found if found is not None and version in ("", found.version) else None


def concept_map(url: str, version: str = "") -> ListedConceptMap | None:
    """R4's concept map of this url, and version where one is given; None where there is none."""
    found = _concept_map(url)
    return found if found is not None and version in ("", found.version) else None


def concept_maps_from(system: str) -> tuple[ListedConceptMap, ...]:
    """R4's concept maps that translate codes of a system."""
    return _maps("from", system)


def concept_maps_to(system: str) -> tuple[ListedConceptMap, ...]:
    """R4's concept maps that translate to codes of a system."""
    return _maps("to", system)


def _maps(direction: str, system: str) -> tuple[ListedConceptMap, ...]:
    named = dict.fromkeys(_index()[direction].get(system, ()))
    return tuple(found for url in named if (found := _concept_map(url)) is not None)


def urls(resource_type: str) -> tuple[str, ...]:
    """The urls of all shipped definitions of a type, CodeSystem, ValueSet or ConceptMap, in order."""
    return tuple(_index()[resource_type])


@cache
def versions() -> dict[str, str]:
    """The url of every code system of R4 with its version, "" for none."""
    return {url: (_resource("CodeSystem", url) or {}).get("version", "") for url in urls("CodeSystem")}


@lru_cache(maxsize=64)
def _value_set(url: str) -> ValueSet | None:
    resource = _resource("ValueSet", url)
    if resource is not None:
        return read_value_set(resource)
    implicit = implicit_value_set(url)
    if implicit is not None:
        return implicit
    system = _code_system(_index()["whole"].get(url, ""))
    return None if system is None else whole_system(system.url, system.version, url)


@lru_cache(maxsize=64)
def _code_system(url: str) -> ListedCodeSystem | None:
    resource = _resource("CodeSystem", url)
    return None if resource is None else read_code_system(resource)


@lru_cache(maxsize=64)
def _concept_map(url: str) -> ListedConceptMap | None:
    resource = _resource("ConceptMap", url)
    return None if resource is None else read_concept_map(resource)


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
