"""$subsumes: how two codes of a code system stand to each other.

Where not all of a code system is known, that a code subsumes another can be told and that it does not cannot.
Source: hl7.org/fhir/R4/codesystem-operation-subsumes.html
"""

from __future__ import annotations

from dataclasses import replace

from server.errors import FhirError
from server.interactions.call import Call
from server.interactions.operations.definition import Arguments
from server.interactions.operations.terminology.asking import asking, parameters
from server.interactions.request import InteractionResponse
from server.storage.interface import Reader
from server.terminology.filters import require_hierarchy, require_subsumption


def subsumes(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """A Parameters resource with `outcome`: equivalent, subsumes, subsumed-by or not-subsumed.

    Raises: FhirError required, not-found (system or code), invalid-search (two systems), not-determinable (the
    hierarchy is not known).
    """
    with asking(call, arguments) as asked:
        pair = [asked.coded(f"code{which}", f"coding{which}") for which in ("A", "B")]
        systems = {coded.system for coded in pair if coded.system}
        if len(systems) > 1:
            raise FhirError("invalid-search", "both codes are of one code system", asked.place("codingB"))
        first = replace(pair[0], system=next(iter(systems), ""))
        source = asked.system(first, arguments.one("version") or "")
        one, two = (coded.code for coded in pair)
        for which, code in (("A", one), ("B", two)):
            if source.concept(code) is None:
                name = f"coding{which}" if asked.is_given(f"coding{which}") else f"code{which}"
                raise FhirError("not-found", "the code system has no such code here", asked.place(name))
        if one == two:
            outcome = "equivalent"
        else:
            require_hierarchy(source)
            above, below = source.subsumes(one, two), source.subsumes(two, one)
            if not (above or below):
                require_subsumption(source)
            outcome = (
                "equivalent"
                if above and below
                else "subsumes"
                if above
                else "subsumed-by"
                if below
                else "not-subsumed"
            )
        return parameters([{"name": "outcome", "valueCode": outcome}])
