"""What a stored resource is found by today: its index rows, made again from the bytes that are stored."""

from __future__ import annotations

from server.errors import FhirError
from server.fhir.custom_parameters import NO_CUSTOM_PARAMETERS, CustomParameters
from server.fhir.index_rows import IndexRows
from server.fhir.index_values import index_values
from server.fhir.json_codec import decode


def index_again(
    body: bytes, *, base_url: str, time_zone: str, custom: CustomParameters = NO_CUSTOM_PARAMETERS
) -> IndexRows | None:
    """The index rows that a write of the stored body would make now. Arguments as of `index_values`.

    None for a resource that would be refused as too costly today: it keeps the rows it has.
    """
    try:
        return index_values(decode(body), base_url=base_url, time_zone=time_zone, custom=custom)
    except FhirError:
        return None
