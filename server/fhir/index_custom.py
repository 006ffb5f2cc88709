"""The index rows of the search parameters that a site has defined: their expressions, evaluated on the
resource.

A parameter of this kind puts nothing into a compartment or a chart, whatever it refers to.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from server.errors import FhirError
from server.fhir.custom_definitions import Alternative, alternatives
from server.fhir.element_steps import KIND_OF, PathError, PathTooCostly, Walk
from server.fhir.element_tree import MalformedElement, Node, as_json, tree
from server.fhir.index_collector import Collector
from server.fhir.index_entries import entries, links
from server.fhir.index_functions import FUNCTIONS
from server.fhir.search_query import SearchParameter

# Elements that the expressions of one parameter may look at in one resource: that of a patient's chart has tens
# to hundreds, and the most that is stored (limit: elements) can be gone through four times.
WORK_MAXIMUM = 200_000


def index_custom(resource: Mapping[str, Any], parameters: Mapping[str, SearchParameter], o: Collector) -> None:
    """Add the rows of the parameters of the resource's type.

    An expression that FHIRPath gives no answer for on this resource (`single()` of several) selects nothing.
    Raises: FhirError too-costly beyond WORK_MAXIMUM, and as the functions that index.
    """
    try:
        root = tree(dict(resource))
    except MalformedElement:  # stored by a release that asked less of it
        return
    for parameter in parameters.values():
        walk = Walk(WORK_MAXIMUM)
        try:
            for alternative in alternatives(parameter.expression):
                _index(root, parameter, alternative, walk, o)
        except PathTooCostly:
            raise FhirError(
                "too-costly",
                f"the search parameter {parameter.code}, which was defined here, would look at more than"
                f" {WORK_MAXIMUM} elements of the resource",
            ) from None


def _index(root: Node, parameter: SearchParameter, one: Alternative, walk: Walk, o: Collector) -> None:
    rules = FUNCTIONS[parameter.type]
    try:
        nodes = one.path.nodes(root, walk)
    except PathTooCostly:
        raise
    except PathError:
        return
    walk.spend(len(nodes))
    for node in nodes:
        index = rules.get(node.type) or rules.get(KIND_OF.get(node.type, ""))
        if index is None:
            continue
        value = as_json(node) if node.value is None else node.value
        if value != {}:  # a primitive with nothing but extensions has no value
            index(o, value, _entries(parameter.number, parameter.type, one.resolves))


@lru_cache(maxsize=1024)
def _entries(number: int, kind: str, resolves: str) -> Any:
    return links((number, resolves, False, False)) if kind == "reference" else entries(number)
