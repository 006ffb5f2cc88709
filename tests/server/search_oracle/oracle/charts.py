"""Random valid resources of many types. TYPES names each type's elements by what makes them.

All of it is synthetic. An element that FHIR requires has no `maybe`; one ending in _x is a choice of forms.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from random import Random

from search_oracle.administrative_types import ADMINISTRATIVE
from search_oracle.clinical_types import CLINICAL
from search_oracle.makers import Json, Make, Maker, backbone

TYPES: Mapping[str, Mapping[str, Make]] = {**CLINICAL, **ADMINISTRATIVE}


def resource(random: Random, resource_type: str, id: str, types: Collection[str] = ()) -> Json:
    """A resource of one of TYPES. types: those that it mostly refers to."""
    m = Maker(random, types)
    made: Json = {"resourceType": resource_type, "id": id}
    if meta := m.meta():
        made["meta"] = meta
    return made | backbone(**TYPES[resource_type])(m)
