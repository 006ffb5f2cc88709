"""A resource to its index rows: every value that a supported search parameter selects.

The work is done by generated code, one module a resource type (`generate_search`), which calls
`index_tokens`, `index_texts`, `index_references` and `index_ranges` for each value.
Sources: hl7.org/fhir/R4/search.html, hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.fhir.custom_parameters import NO_CUSTOM_PARAMETERS, CustomParameters
from server.fhir.generated.search import PATIENT_COMPARTMENT
from server.fhir.index_collector import Collector
from server.fhir.index_rows import DateRow, IndexRows, QuantityRow, ReferenceRow, StringRow, UriRow
from server.fhir.search_parameters import generated_module
from server.policy.relationships import relations


def index_values(
    resource: Mapping[str, Any],
    *,
    base_url: str = "",
    time_zone: str = "UTC",
    custom: CustomParameters = NO_CUSTOM_PARAMETERS,
) -> IndexRows:
    """The index rows of a validated resource.

    base_url: the FHIR base without a trailing slash; references below it count as local. time_zone: IANA
    name of the zone in which dates without a zone are meant. custom: the site's own parameters; what is stored
    needs those of today (`storage.custom_parameters`). Rows come in the order of finding, each once.
    Raises: KeyError for an unknown resource type; FhirError
    too-costly for more text than index_texts.TEXT_MAXIMUM, or too many relationships.
    """
    resource_type = resource["resourceType"]
    module = generated_module(resource_type)
    o = Collector(base_url, time_zone)
    module.index(resource, o)
    o.add_references(resource)
    if own := custom.of(resource_type):
        from server.fhir.index_custom import index_custom  # most servers never need it

        index_custom(resource, own, o)
    if resource_type == "Patient" and "id" in resource:
        o.compartments[resource["id"]] = None
        o.charts = {resource["id"]: None}
    if resource_type not in PATIENT_COMPARTMENT:
        o.compartments.clear()
    main_date = module.MAIN_DATE
    return IndexRows(
        tokens=frozenset(o.tokens),
        dates=tuple(map(DateRow._make, o.dates)),
        strings=tuple(map(StringRow._make, o.strings)),
        quantities=tuple(map(QuantityRow._make, o.quantities)),
        uris=tuple(map(UriRow._make, o.uris)),
        references=tuple(map(ReferenceRow._make, o.references)),
        compartments=tuple(o.compartments),
        patient=next(iter(o.charts)) if len(o.charts) == 1 else None,
        main_date=min((low for number, low, _ in o.dates if number == main_date), default=None),
        epoch=custom.epoch,
        relations=relations(resource, o.target, o.local),
    )
