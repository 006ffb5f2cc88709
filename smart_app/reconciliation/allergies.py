"""AllergyIntolerance -> Allergy: active ones, with the drug ingredients they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from smart_app.reconciliation.normalise import normalise
from smart_app.reconciliation.records import Allergy, DrugLookup, Ingredient

_GONE = {"inactive", "resolved"}
_NOT_TRUE = {"refuted", "entered-in-error"}


def read_allergies(
    resources: Iterable[tuple[str, Mapping[str, Any]]], terminology: DrugLookup
) -> tuple[Allergy, ...]:
    """Active allergies and intolerances that may be of a medicine, by reference.

    Food and environment are left out only where the category says nothing else.
    """
    found = []
    for reference, resource in resources:
        try:
            if _is_active(resource):
                found.append(_allergy(reference, resource, terminology))
        except (AttributeError, KeyError, TypeError, ValueError):
            # Of the wrong shape: it stays visible among what was not checked.
            found.append(Allergy(reference, None, "Allergy that cannot be read", (), None, None, None))
    return tuple(found)


def _is_active(resource: Mapping[str, Any]) -> bool:
    if _codes(resource, "clinicalStatus") & _GONE or _codes(resource, "verificationStatus") & _NOT_TRUE:
        return False
    categories = set(resource.get("category") or ())
    return not categories or bool(categories & {"medication", "biologic"})


def _codes(resource: Mapping[str, Any], name: str) -> set[str]:
    concept = resource.get(name)
    codings = concept.get("coding") or () if isinstance(concept, Mapping) else ()
    return {str(coding.get("code")) for coding in codings}


def _allergy(reference: str, resource: Mapping[str, Any], terminology: DrugLookup) -> Allergy:
    concepts = [resource.get("code")]
    concepts += [reaction.get("substance") for reaction in resource.get("reaction") or ()]
    ingredients: dict[str, Ingredient] = {}
    text = ""
    for concept in concepts:
        if not isinstance(concept, Mapping):
            continue
        medication = normalise(concept, terminology)
        text = text or medication.original
        ingredients.update((ingredient.rxcui, ingredient) for ingredient in medication.ingredients)
    return Allergy(
        reference=reference,
        version=(resource.get("meta") or {}).get("versionId"),
        text=text or "Allergy without a name",
        ingredients=tuple(ingredients[rxcui] for rxcui in sorted(ingredients)),
        kind=resource.get("type"),
        criticality=resource.get("criticality"),
        verification=min(_codes(resource, "verificationStatus"), default=None),
    )
