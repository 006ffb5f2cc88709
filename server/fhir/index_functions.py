"""Which function indexes a value: by the type of the search parameter, and the datatype that it selects.

The generated extractors call the same functions (`generate_search_code`); this table is for parameters that are
not known before the server runs. Whole numbers of the narrower kinds count as integers, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from server.fhir import index_ranges, index_references, index_texts, index_tokens

# Called with the collector, the value as decoded JSON, and the entries (of a reference: links) of the
# parameters.
Function = Callable[[Any, Any, Any], None]

FUNCTIONS: Mapping[str, Mapping[str, Function]] = {
    "string": {
        "HumanName": index_texts.human_name,
        "Address": index_texts.address,
        "string": index_texts.string,
        "markdown": index_texts.string,
    },
    "token": {
        "CodeableConcept": index_tokens.codeable_concept,
        "Coding": index_tokens.coding,
        "Identifier": index_tokens.identifier,
        "ContactPoint": index_tokens.contact_point,
        "boolean": index_tokens.boolean,
        "code": index_tokens.code,
        "id": index_tokens.code,
        "uri": index_tokens.code,
        "string": index_tokens.string_token,
    },
    "reference": {
        "Reference": index_references.reference,
        "canonical": index_references.canonical,
        "uri": index_references.canonical,
    },
    "date": {
        "date": index_ranges.date,
        "dateTime": index_ranges.date,
        "instant": index_ranges.date,
        "Period": index_ranges.period,
        "Timing": index_ranges.timing,
    },
    "number": {
        "decimal": index_ranges.number,
        "integer": index_ranges.number,
        "Range": index_ranges.number_range,
    },
    "quantity": {
        "Quantity": index_ranges.quantity,
        "Age": index_ranges.quantity,
        "Duration": index_ranges.quantity,
        "Money": index_ranges.money,
        "Range": index_ranges.quantity_range,
        "SampledData": index_ranges.sampled_data,
    },
    "uri": {
        "uri": index_texts.uri,
        "url": index_texts.uri,
        "canonical": index_texts.uri,
    },
}
