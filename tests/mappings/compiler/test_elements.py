"""The tables of R4 that maps are checked against are those of the server (mappings/compiler/r4.json.gz)."""

from __future__ import annotations

import gzip

from mappings.compiler import generate_elements
from mappings.compiler.elements import codes_of, elements_of, required_in, resource_types
from server.fhir.generated.resource_types import RESOURCE_TYPES


def test_the_tables_are_current() -> None:
    shipped = gzip.decompress(generate_elements.TARGET.read_bytes())
    assert shipped == gzip.decompress(generate_elements.generate()), "run `make generate`"


def test_types_elements_and_codes_are_known() -> None:
    assert resource_types() == set(RESOURCE_TYPES)
    assert elements_of("Patient")["name"].is_list
    assert elements_of("Encounter.location")["location"].targets == {"Location"}
    assert required_in("Encounter") == ("class", "status")
    assert "female" in codes_of(elements_of("Patient")["gender"].value_set)
