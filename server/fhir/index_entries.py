"""What a search parameter needs to know of itself while a value is indexed under it.

A value is given with the entries of every parameter that selects it, so that it is hashed once.
"""

from __future__ import annotations

from server.fhir.hashing import parameter_mask, presence_hash

# (parameter number, mask, presence hash)
Entries = tuple[tuple[int, int, int], ...]
# ... and the only resource type that counts or "", whether it puts into a compartment, and into a chart
Links = tuple[tuple[int, int, int, str, bool, bool], ...]

# The same few codes, displays and units come again and again and are remembered; longer texts never are, so
# that what is remembered stays small whatever is sent.
USUAL_LENGTH = 200


def entries(*numbers: int) -> Entries:
    """Entries of parameters by number."""
    return tuple((number, parameter_mask(number), presence_hash(number)) for number in numbers)


def links(*parameters: tuple[int, str, bool, bool]) -> Links:
    """Entries of reference parameters: (number, only this type or "", in compartment, in chart)."""
    return tuple(
        (number, parameter_mask(number), presence_hash(number), only, compartment, chart)
        for number, only, compartment, chart in parameters
    )
