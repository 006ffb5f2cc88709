"""A set of codes as entries of the token index: what a search with `:in`, `:above` or `:below` probes.

An element of type code has no system in the index; it has the one of the value set it is bound to. So there a
code counts only if its system is one that the binding lists it under.
Source: hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from functools import lru_cache

from server.fhir.bindings import bound_value_sets
from server.fhir.hashing import PRESENT_ENTRY, code_entries, system_entry
from server.fhir.search_query import SearchParameter
from server.terminology import shipped
from server.terminology.code_sets import CodeSet, union
from server.terminology.definitions import NotExpandable
from server.terminology.expansion import expand


def token_entries(parameter: SearchParameter, codes: CodeSet) -> frozenset[int]:
    """The entries of which any one means that a resource has one of the codes in the parameter's elements."""
    if parameter.datatypes == ("code",):
        codes = codes.intersection(_bound(bound_value_sets(parameter)))
        found = {entry for listed in codes.codes.values() for entry in code_entries("", listed)}
        return frozenset(found | {PRESENT_ENTRY} if codes.whole else found)
    found = {entry for system, listed in codes.codes.items() for entry in code_entries(system, listed)}
    return frozenset(found | {system_entry(system) for system in codes.whole})


@lru_cache(maxsize=256)
def _bound(value_sets: tuple[str, ...]) -> CodeSet:
    found = []
    for url in value_sets:
        value_set = shipped.value_set(url)
        if value_set is None:
            raise NotExpandable(f"the value set {url} is not known")
        found.append(expand(value_set, shipped))
    return union(found)
