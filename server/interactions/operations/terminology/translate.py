"""$translate: what a code is in another system, by the concept maps that are known here.

Source: hl7.org/fhir/R4/conceptmap-operation-translate.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from server.errors import FhirError
from server.interactions.call import Call
from server.interactions.operations.definition import Arguments
from server.interactions.operations.terminology.asking import Asking, asking, coded_of, parameters
from server.interactions.request import InteractionResponse
from server.storage.interface import Reader
from server.terminology.code_validation import Coded
from server.terminology.concept_maps import ConceptMap, Product, Translation
from server.terminology.definitions import Definitions, split_canonical

_FORMS = ("code", "coding", "codeableConcept")
_OTHERS_MAXIMUM = 10  # maps that name each other for what they do not map


def translate(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """A Parameters resource: `result`, whether there is a match, and every `match` with its map.

    Raises: FhirError required, not-found, deleted, invalid-resource.
    """
    with asking(call, arguments) as asked:
        found: dict[tuple[str, str, str, str], Translation] = {}
        target, back = arguments.one("targetsystem") or "", bool(arguments.one("reverse"))
        for coded in _coded(asked):
            for concept_map in _maps(asked, coded, back):
                for row in _translations(asked.definitions, concept_map, coded, target, back):
                    found.setdefault((row.system, row.code, row.equivalence, row.map), row)
        result = any(row.is_match for row in found.values())
        rows: list[dict[str, Any]] = [{"name": "result", "valueBoolean": result}]
        if not result:
            rows.append({"name": "message", "valueString": "no concept map that is known here has a match"})
        rows += (_match(asked.definitions, row) for row in found.values())
        return parameters(rows)


def _coded(asked: Asking) -> list[Coded]:
    one = asked.arguments.one
    if sum(asked.is_given(name) for name in _FORMS) != 1:
        raise FhirError("required", f"one of {', '.join(_FORMS)} is needed", asked.place("code"))
    if asked.is_given("codeableConcept"):
        codings = one("codeableConcept").get("coding", [])
    else:
        codings = (
            [one("coding")]
            if asked.is_given("coding")
            else [{"code": one("code"), "system": one("system") or ""}]
        )
    found = [coded for coding in codings if (coded := coded_of(coding)).code]
    if not found:
        raise FhirError("required", "there is no code in it", asked.place("codeableConcept"))
    if not all(coded.system for coded in found):
        raise FhirError("required", "the code system of the code is needed", asked.place("system"))
    return found


def _maps(asked: Asking, coded: Coded, back: bool) -> Iterable[ConceptMap]:
    """The map that is named, or else all that translate from the code's system and fit the value sets given."""
    if asked.call.request.id or asked.is_given("url", "conceptMap"):
        return (asked.concept_map(),)
    wanted = [(name, split_canonical(asked.arguments.one(name) or "")[0]) for name in ("source", "target")]
    maps = (asked.definitions.concept_maps_to if back else asked.definitions.concept_maps_from)(coded.system)
    return (
        found
        for found in maps
        if all(url in ("", split_canonical(getattr(found, name))[0]) for name, url in wanted)
    )


def _translations(
    definitions: Definitions, concept_map: ConceptMap, coded: Coded, target: str, back: bool
) -> Iterator[Translation]:
    if back:
        yield from concept_map.translations_back(coded.system, coded.code, target)
        return
    asked: ConceptMap | None = concept_map
    for _ in range(_OTHERS_MAXIMUM):
        if asked is None:
            return
        yield from asked.translations(coded.system, coded.code, target)
        other = asked.other(coded.system, coded.code, target)
        asked = definitions.concept_map(*split_canonical(other)) if other else None


def _match(definitions: Definitions, row: Translation) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"name": "equivalence", "valueCode": row.equivalence}]
    if row.code:
        coding = {"system": row.system, "code": row.code} if row.system else {"code": row.code}
        if display := row.display or _display(definitions, row):
            coding["display"] = display
        parts.append({"name": "concept", "valueCoding": coding})
    parts += map(_product, row.products)
    if row.map:
        parts.append({"name": "source", "valueUri": row.map})
    return {"name": "match", "part": parts}


def _display(definitions: Definitions, row: Translation) -> str:
    source = definitions.code_system(row.system, "") if row.system else None
    concept = None if source is None else source.concept(row.code)
    return concept.display if concept else ""


def _product(product: Product) -> dict[str, Any]:
    coding = {"code": product.value}
    if product.system:
        coding["system"] = product.system
    if product.display:
        coding["display"] = product.display
    return {
        "name": "product",
        "part": [{"name": "element", "valueUri": product.property}, {"name": "concept", "valueCoding": coding}],
    }
