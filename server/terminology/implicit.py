"""Value sets that exist by their url alone.

Sources: hl7.org/fhir/R4/snomedct.html#implicit, loinc.html#implicit, ucum.html, rxnorm.html (property TTY). R4
has no such urls for RxNorm; their form is Baton's own after SNOMED CT's.
"""

from __future__ import annotations

import re

from server.terminology.value_sets import Component, Filter, ValueSet, whole_system

_SNOMED = "http://snomed.info/sct"
_RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
_WHOLE = {
    f"{_SNOMED}?fhir_vs": _SNOMED,
    "http://loinc.org/vs": "http://loinc.org",
    "http://unitsofmeasure.org/vs": "http://unitsofmeasure.org",
    f"{_RXNORM}?fhir_vs": _RXNORM,
}
# With an edition, and a version of it, in the url: then they are the version of the system.
_OF_SNOMED = re.compile(
    rf"{re.escape(_SNOMED)}(?P<version>/[0-9]+(?:/version/[0-9]+)?)?\?fhir_vs(?:=isa/(?P<isa>[0-9]{{6,18}}))?"
)
_OF_RXNORM = re.compile(rf"{re.escape(_RXNORM)}\?fhir_vs=tty/(?P<tty>[A-Z]+(?:,[A-Z]+)*)")


def implicit_value_set(url: str) -> ValueSet | None:
    """The value set that a url means by its form, None for any other url."""
    if url in _WHOLE:
        return whole_system(_WHOLE[url], "", url)
    if found := _OF_SNOMED.fullmatch(url):
        version = f"{_SNOMED}{found['version']}" if found["version"] else ""
        if not found["isa"]:
            return whole_system(_SNOMED, version, url)
        return _filtered(url, _SNOMED, Filter("concept", "is-a", found["isa"]), version)
    if found := _OF_RXNORM.fullmatch(url):
        return _filtered(url, _RXNORM, Filter("TTY", "in", found["tty"]))
    return None


def _filtered(url: str, system: str, asked: Filter, version: str = "") -> ValueSet:
    return ValueSet(url, version, (Component(system, version, filters=(asked,)),))
