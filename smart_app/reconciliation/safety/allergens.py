"""AllergyIntolerance -> Allergy: active ones, with the ingredients and families of medicines that they name.

Coded substances (RxNorm, SNOMED CT) and findings ("Allergy to penicillin"), else the words, of code and
reaction.substance. A family is one of `allergy_families.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from smart_app.reconciliation.chart_index import mappings
from smart_app.reconciliation.normalise import normalise
from smart_app.reconciliation.records import Allergy, DrugLookup, Ingredient
from smart_app.reconciliation.safety.data_files import rows, table
from terminology.systems import SNOMED_CT

_GONE = {"inactive", "resolved"}
_NOT_TRUE = {"refuted", "entered-in-error"}
_AROUND = re.compile(
    r"^(?:allerg(?:y|ic|ic reaction)|hypersensitivity|intolerance|adverse reaction) to\s+"
    r"|\s*\((?:substance|finding|disorder|product|medication)\)$"
    r"|\s+(?:allergy|intolerance|hypersensitivity|adverse reaction)$"
)
"""What stands around the substance in the name of a finding."""


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
    reactions = mappings(resource.get("reaction"))
    concepts = [resource.get("code"), *(reaction.get("substance") for reaction in reactions)]
    ingredients: dict[str, Ingredient] = {}
    families: set[str] = set()
    text = ""
    for concept in concepts:
        if not isinstance(concept, Mapping):
            continue
        medication = normalise(concept, terminology)
        text = text or medication.original
        named = list(medication.ingredients)
        for words in _words(concept):
            families |= _family_names().get(words, frozenset())
            if not named:
                named += normalise({"text": words}, terminology).ingredients
        for rxcui, family in _by_snomed(concept):
            if rxcui and not named:
                known = terminology.concept(rxcui)
                named += [Ingredient(rxcui, known.name)] if known else []
            elif not rxcui:
                families.add(family)
        ingredients.update((ingredient.rxcui, ingredient) for ingredient in named)
    return Allergy(
        reference=reference,
        version=(resource.get("meta") or {}).get("versionId"),
        text=text or "Allergy without a name",
        ingredients=tuple(ingredients[rxcui] for rxcui in sorted(ingredients)),
        kind=resource.get("type"),
        criticality=resource.get("criticality"),
        verification=min(_codes(resource, "verificationStatus"), default=None),
        families=tuple(sorted(families)),
        recorded=str(resource.get("recordedDate") or "") or None,
        reaction_severity=_gravest(reactions),
    )


def _words(concept: Mapping[str, Any]) -> Iterator[str]:
    """The names of a concept as written and without what stands around the substance, in lower case."""
    for text in (concept.get("text"), *(c.get("display") for c in mappings(concept.get("coding")))):
        if isinstance(text, str) and text.strip():
            words = " ".join(text.casefold().split())
            yield words
            bare = _AROUND.sub("", _AROUND.sub("", words))
            if bare and bare != words:
                yield bare


@cache
def _family_names() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for family in table("allergy_families.toml")["family"]:
        for name in family["names"]:
            found.setdefault(name, set()).add(family["id"])
    return {name: frozenset(families) for name, families in found.items()}


@cache
def _snomed() -> dict[str, tuple[str, str]]:
    return {row["code"]: (row["rxcui"], row["family"]) for row in rows("snomed_allergens.tsv")}


def _by_snomed(concept: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for coding in mappings(concept.get("coding")):
        if coding.get("system") == SNOMED_CT and (found := _snomed().get(str(coding.get("code")))):
            yield found


def _gravest(reactions: Iterable[Mapping[str, Any]]) -> str | None:
    said = {reaction.get("severity") for reaction in reactions}
    return next((severity for severity in ("severe", "moderate", "mild") if severity in said), None)
