"""A coded or written medication -> Medication, with provenance and confidence (domain 3.2).

Order of trust: RxNorm code, NDC, exact name, name read word by word. A code that its own display
contradicts counts for nothing: wrong codes under right names are common, and the reader sees the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from smart_app.reconciliation.records import (
    DrugLookup,
    Ingredient,
    Mapping,
    MappingMethod,
    Medication,
    Strength,
)
from terminology.drug_records import Concept, Drug, NameMatch, Precision
from terminology.systems import NDC, RXNORM

_PRECISION = {Precision.PRODUCT: 0, Precision.COMPONENT: 1, Precision.FORM: 2, Precision.INGREDIENT: 3}
_NO_CONFIDENCE = Decimal("0")
_CODED = Decimal("1")
_INFERRED = Decimal("0.9")
_NAMED = Decimal("0.95")
_READ = Decimal("0.8")
_CORRECTED = Decimal("0.7")
_SEVERAL = Decimal("0.5")


def normalise(concept: Json[str, Any] | None, terminology: DrugLookup) -> Medication:
    """Understand a CodeableConcept of a medication (medicationCodeableConcept or Medication.code).

    Never raises and never guesses: what is not understood is unmapped, with the text kept.
    """
    concept = concept or {}
    codings = [coding for coding in concept.get("coding") or () if isinstance(coding, dict)]
    texts = _texts(concept, codings)
    original = texts[0] if texts else next((str(c["code"]) for c in codings if c.get("code")), "")
    coded = _coded(codings, terminology)
    if coded:
        return _from_codes(coded, texts, original, terminology)
    for text in texts:
        if match := terminology.by_name(text):
            return _from_name(match, text, original, terminology)
    return _unmapped(original, MappingMethod.UNMAPPED, f"No drug was recognised in “{original}”.")


def _texts(concept: Json[str, Any], codings: Sequence[Json[str, Any]]) -> list[str]:
    found = [concept.get("text"), *(coding.get("display") for coding in codings)]
    return list(dict.fromkeys(text.strip() for text in found if isinstance(text, str) and text.strip()))


def _coded(codings: Sequence[Json[str, Any]], terminology: DrugLookup) -> list[tuple[Drug, str]]:
    """The drugs that the codes name, with the words for their provenance; unknown codes are skipped."""
    found: list[tuple[Drug, str]] = []
    for coding in codings:
        code = str(coding.get("code") or "")
        if coding.get("system") == RXNORM:
            drug = terminology.drug(code)
            if drug and all(component.ingredient for component in drug.components):
                found.append((drug, f"RxNorm code {code}"))
        elif coding.get("system") == NDC and (product := terminology.by_ndc(code)):
            drug = terminology.drug(product.rxcui)
            if drug and all(component.ingredient for component in drug.components):
                found.append((drug, f"NDC {code}"))
    return [pair for pair in found if pair[0].components]


def _from_codes(
    coded: list[tuple[Drug, str]], texts: list[str], original: str, terminology: DrugLookup
) -> Medication:
    coded = sorted(coded, key=lambda pair: (_PRECISION[pair[0].precision], not pair[0].brand))
    drug, words = coded[0]
    for other, also in coded[1:]:
        if not _compatible(drug, other):
            against = f"{words} is {drug.concept.name}, but {also} is {other.concept.name}."
            return _contradicted(drug, _ingredients(other), (other.concept.rxcui,), against, original)
    for text in texts:
        match = terminology.by_name(text)
        if match and match.ingredients and not _names(match, drug, terminology):
            against = f"{words} is {drug.concept.name}, but the text says “{text}”."
            named = {ingredient.rxcui for ingredient in match.ingredients}
            others = tuple(concept.rxcui for concept in match.concepts or match.ingredients)
            return _contradicted(drug, named, others, against, original)
        if match is None and _unlike(text, drug, terminology):
            doubt = f"{words} is {drug.concept.name}, but no word of the text “{text}” is a name of it."
            return _contradicted(drug, _ingredients(drug), (), doubt, original)
    method = MappingMethod.NDC if words.startswith("NDC") else MappingMethod.RXCUI
    confidence = _CODED
    if drug.inferred and drug.product:
        confidence = _INFERRED
        words += f", which names no form; {drug.product.name} is the only product with that strength"
    found = _medication(drug, Mapping(method, confidence, words + "."), original)
    said = any(_says_product(text, drug, terminology) for text in texts)
    return replace(found, inferred=False) if said else found


def _says_product(text: str, drug: Drug, terminology: DrugLookup) -> bool:
    """Whether a text beside the code names the form that the code leaves open."""
    match = terminology.by_name(text)
    if match is None or not match.form_named or len(match.concepts) != 1:
        return False
    named = terminology.drug(match.concepts[0].rxcui)
    return named is not None and not named.inferred and named.product == drug.product


def _contradicted(
    drug: Drug, named: set[str], others: tuple[str, ...], words: str, original: str
) -> Medication:
    """Code against code or text: where the ingredients agree they are kept and the product is not."""
    candidates = (drug.concept.rxcui, *others)
    if named != _ingredients(drug):
        return _unmapped(original, MappingMethod.CONTRADICTION, words, candidates)
    agreed = tuple(_ingredient(c.ingredient) for c in drug.components if c.ingredient)
    return Medication(
        name=original,
        mapping=Mapping(MappingMethod.CONTRADICTION, _SEVERAL, words, candidates),
        original=original,
        ingredients=tuple(sorted(set(agreed), key=lambda ingredient: ingredient.rxcui)),
    )


def _compatible(one: Drug, other: Drug) -> bool:
    """Whether two codings of one medication can both be true: same ingredients, no two products."""
    if _ingredients(one) != _ingredients(other):
        return False
    both = one.product, other.product
    return None in both or both[0] == both[1]


def _names(match: NameMatch, drug: Drug, terminology: DrugLookup) -> bool:
    """Whether a text that names ingredients can mean the coded drug, as far as both say."""
    if {ingredient.rxcui for ingredient in match.ingredients} != _ingredients(drug):
        return False
    candidates = [found for c in match.concepts if (found := terminology.drug(c.rxcui))]
    return not candidates or any(
        _compatible(drug, found) and _amounts_agree(drug, found) for found in candidates
    )


def _unlike(text: str, drug: Drug, terminology: DrugLookup) -> bool:
    """Whether a text that was not read holds words, but none that could name the drug.

    "LISINOP 10MG TB" names lisinopril, "Coumadin 5 mg" does not: a wrong code beside a brand that the
    vocabulary has never heard of would else pass unseen.
    """
    named = _words(drug.brand or "")
    for component in drug.components:
        names = [component.name or "", component.ingredient.name if component.ingredient else ""]
        named |= _words(" ".join(names))
    written = _words(text)
    if any(one.startswith(other) or other.startswith(one) for one in written for other in named):
        return False
    meant = (terminology.by_name(word) for word in written)
    known = {ingredient.rxcui for match in meant if match for ingredient in match.ingredients}
    return bool(written) and not known & _ingredients(drug)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]{3,}", text.casefold()))


def _amounts_agree(one: Drug, other: Drug) -> bool:
    amounts = _amounts(one), _amounts(other)
    return [] in amounts or amounts[0] == amounts[1]


def _ingredients(drug: Drug) -> set[str]:
    return {component.ingredient.rxcui for component in drug.components if component.ingredient}


def _amounts(drug: Drug) -> list[tuple[str, str, str, str]]:
    return sorted(
        (
            c.ingredient.rxcui if c.ingredient else "",
            format(c.value.normalize(), "f"),
            c.unit or "",
            c.per or "",
        )
        for c in drug.components
        if c.value is not None
    )


def _from_name(match: NameMatch, text: str, original: str, terminology: DrugLookup) -> Medication:
    drugs = [drug for concept in match.concepts if (drug := terminology.drug(concept.rxcui))]
    if len(match.concepts) == 1 and len(drugs) == 1 and match.ingredients:
        method, confidence = _how(match)
        read = Mapping(method, confidence, f"“{text}” was read as {drugs[0].concept.name}.{_slips(match)}")
        found = _medication(drugs[0], read, original)
        return found if match.form_named or not found.product else replace(found, inferred=True)
    if not match.ingredients:
        return _unmapped(original, MappingMethod.UNMAPPED, f"The ingredients of “{text}” are not known.")
    names = " and ".join(ingredient.name for ingredient in match.ingredients)
    if not match.concepts:
        words = f"“{text}” names {names}; no single product is named."
    else:
        words = f"“{text}” may be any of {len(match.concepts)} products of {names}."
    several = Mapping(
        MappingMethod.AMBIGUOUS,
        _SEVERAL,
        words + _slips(match),
        tuple(concept.rxcui for concept in match.concepts),
    )
    return Medication(
        name=original,
        mapping=several,
        original=original,
        ingredients=tuple(_ingredient(concept) for concept in _by_code(match.ingredients)),
        strengths=_common_strengths(drugs),
        brand=_common([drug.brand for drug in drugs]),
        form=_common([drug.form for drug in drugs]),
        release=_common([drug.release for drug in drugs]),
        route=_common([drug.route for drug in drugs]),
    )


def _how(match: NameMatch) -> tuple[MappingMethod, Decimal]:
    """How a name that means one thing was understood, and how sure that is."""
    if match.exact:
        return MappingMethod.EXACT_NAME, _NAMED
    if match.corrections:
        return MappingMethod.MISSPELT_NAME, _CORRECTED
    return MappingMethod.NORMALISED_NAME, _READ


def _slips(match: NameMatch) -> str:
    return "".join(f" “{written}” was taken for {meant}." for written, meant in match.corrections)


def _by_code(concepts: Sequence[Concept]) -> list[Concept]:
    return sorted(concepts, key=lambda concept: concept.rxcui)


def _common(values: Sequence[str | None]) -> str | None:
    """What all candidates agree on; one that does not say makes it unknown."""
    return values[0] if values and len(set(values)) == 1 else None


def _common_strengths(drugs: Sequence[Drug]) -> tuple[Strength, ...]:
    if drugs and len({tuple(_amounts(drug)) for drug in drugs}) == 1:
        return _strengths(drugs[0])
    return ()


def _ingredient(concept: Concept, name: str | None = None) -> Ingredient:
    salt = name if name and name.lower() != concept.name.lower() else None
    return Ingredient(concept.rxcui, concept.name, salt)


def _strengths(drug: Drug) -> tuple[Strength, ...]:
    found = [
        Strength(c.ingredient.rxcui, c.value, c.unit, c.per)
        for c in drug.components
        if c.ingredient and c.value is not None and c.unit is not None
    ]
    one_each = len(found) == len(drug.components) == len({strength.ingredient for strength in found})
    return tuple(sorted(found, key=lambda strength: strength.ingredient)) if one_each else ()


def _medication(drug: Drug, mapping: Mapping, original: str) -> Medication:
    by_code = {c.ingredient.rxcui: _ingredient(c.ingredient, c.name) for c in drug.components if c.ingredient}
    return Medication(
        name=drug.concept.name,
        mapping=mapping,
        original=original or drug.concept.name,
        rxcui=drug.concept.rxcui,
        product=drug.product.rxcui if drug.product else None,
        ingredients=tuple(by_code[code] for code in sorted(by_code)),
        strengths=_strengths(drug),
        brand=drug.brand,
        form=drug.form,
        release=drug.release,
        route=drug.route,
        package=drug.package,
        inferred=drug.inferred and drug.product is not None,
    )


def _unmapped(original: str, method: MappingMethod, words: str, candidates: tuple[str, ...] = ()) -> Medication:
    name = original or "Medication without a name"
    return Medication(name, Mapping(method, _NO_CONFIDENCE, words, candidates), original)
