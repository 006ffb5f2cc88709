"""A drug's name as people write it -> the concepts it may name: exact, read word by word, or with slips.

Several concepts that fit are never narrowed by preference; a text that is not understood to the last word
names nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, lru_cache

from terminology.drug_records import Component, Concept, Drug, NameMatch
from terminology.lexicon import Lexicon
from terminology.names import DrugText, WrittenStrength, fold, read_drug_text
from terminology.store import Store


class NameReader:
    """Reads names against one release; `drug` and `products` are the lookups of `RxNorm`."""

    def __init__(
        self,
        store: Store,
        drug: Callable[[str], Drug | None],
        products: Callable[[Sequence[str]], tuple[Drug, ...]],
    ) -> None:
        self._store = store
        self._drug = drug
        self._products = products
        self._names = lru_cache(maxsize=16384)(self._find_names)

    def read(self, text: str) -> NameMatch | None:
        """Concepts that a text names; None if a word of it is not understood or nothing is named.

        An exact name wins. Else the text is read into names, strengths, form and release, and every
        product that agrees with all of it is a candidate; with no strength the ingredients are all
        that is known. More than one candidate is never narrowed by preference. A word that is not
        known may be a misspelt one, if only one word can be meant (`spelling`).
        """
        exact = self._exact(text)
        if exact or len(text) > _LONGEST:
            return exact
        return self._parts(text) or self._misspelt(text)

    def _exact(self, text: str) -> NameMatch | None:
        exact = [Concept(*row) for row in self._store.named(fold(text))]
        keys = {self._ingredient_key(concept) for concept in exact}
        if len(keys) != 1:
            return None
        best = min(exact, key=lambda concept: (_SPECIFIC.get(concept.tty, 9), concept.rxcui))
        drug = self._drug(best.rxcui)
        named = tuple(c.ingredient for c in drug.components if c.ingredient) if drug else ()
        return NameMatch((best,), named, exact=True)

    @cached_property
    def _lexicon(self) -> Lexicon:
        return Lexicon(self._store)

    def _misspelt(self, text: str) -> NameMatch | None:
        """The text with its unknown words as known ones that lie near, if that can mean one drug only.

        A stated strength has to be one of the drug's: that is what tells near words apart. Without
        a strength no second word may lie near.
        """
        words = fold(text).split()
        unread = list(dict.fromkeys(read_drug_text(text, self._names).unread))
        if not 0 < len(unread) <= _MOST_MISSPELT:
            return None
        near = [self._lexicon.spelling.near(word) for word in unread]
        if not all(near) or math.prod(map(len, near)) > _MOST_READINGS:
            return None
        found: list[tuple[int, NameMatch]] = []
        for choice in itertools.product(*near):
            meant_by = dict(zip(unread, (word for _, word in choice), strict=True))
            meant = " ".join(meant_by.get(word, word) for word in words)
            match = self._exact(meant) or self._parts(meant)
            stated = bool(read_drug_text(meant, self._names).strengths)
            if match and (match.exact or match.of_strength if stated else math.prod(map(len, near)) == 1):
                slips = sum(slips for slips, _ in choice)
                found.append((slips, replace(match, exact=False, corrections=tuple(meant_by.items()))))
        if len({match.ingredients for _, match in found}) != 1:
            return None
        concepts = {concept for _, match in found for concept in match.concepts}
        nearest = min(found, key=lambda pair: pair[0])[1]
        return replace(nearest, concepts=tuple(sorted(concepts, key=lambda concept: concept.rxcui)))

    def _ingredient_key(self, concept: Concept) -> frozenset[str]:
        drug = self._drug(concept.rxcui)
        return frozenset(c.ingredient.rxcui for c in drug.components if c.ingredient) if drug else frozenset()

    def _find_names(self, folded: str) -> tuple[str, ...]:
        """Codes of the ingredients and brands of a name; a brand without a code is known by its products."""
        named = self._store.named(folded)
        found = tuple(code for code, tty, _ in named if tty in ("IN", "PIN", "MIN", "BN"))
        return found or self._lexicon.branded.get(folded, ())

    def _parts(self, text: str) -> NameMatch | None:
        read = read_drug_text(text, self._names)
        if read.unread or not read.names:
            return None
        named = [drug for codes in read.names for code in codes if (drug := self._drug(code))]
        if not named or any(not any(self._drug(code) for code in codes) for codes in read.names):
            return None
        brands = {drug.brand for drug in named if drug.brand}
        generic = [drug for drug in named if not drug.brand]
        by_rxcui = {
            component.ingredient.rxcui: component.ingredient
            for drug in named
            for component in drug.components
            if component.ingredient
        }
        if len(brands) > 1 and generic and all(_key(drug) == set(by_rxcui) for drug in named):
            brands = set()  # "lisinopril (Prinivil, Zestril)": the generic, with the brands it may come as.
        if brands and (len(brands) > 1 or any(_key(d) != set(by_rxcui) for d in named if d.brand)):
            return None
        ingredients = tuple(by_rxcui[code] for code in sorted(by_rxcui))
        salts = {c.name.lower() for drug in generic for c in drug.components if drug.concept.tty == "PIN"}
        candidates = [
            drug
            for drug in self._products(sorted(by_rxcui))
            if drug.brand == (min(brands) if brands else None) and _agrees(drug, read, salts)
        ]
        if not candidates and 0 < len(read.strengths) < len(read.names) and not brands:
            return None  # A word beside the drug is a name of its own: a salt written as another.
        if not read.strengths or not candidates:
            only = generic[0].concept if len(named) == 1 and generic else None
            branded = named[0].concept if len(named) == 1 and brands and not named[0].product else None
            concept = only or branded
            return NameMatch((concept,) if concept else (), ingredients, exact=False)
        concepts = tuple(drug.concept for drug in candidates)
        named_form = bool(brands or read.forms)
        return NameMatch(concepts, ingredients, exact=False, of_strength=True, form_named=named_form)


_LONGEST = 400
"""Characters of a text that is still read word by word."""
_MOST_MISSPELT = 2
_MOST_READINGS = 32
"""Unknown words of a text, and readings of them, that are tried: more could mean anything."""
_SPECIFIC = {"SCD": 0, "SBD": 0, "GPCK": 1, "BPCK": 1, "SCDC": 2, "IN": 3, "MIN": 3, "PIN": 4, "BN": 5}


def _key(drug: Drug) -> set[str]:
    return {component.ingredient.rxcui for component in drug.components if component.ingredient}


def _agrees(drug: Drug, read: DrugText, salts: set[str]) -> bool:
    """Nothing that was read contradicts the drug; strengths agree one to one, percent as g per 100."""
    names = {component.name.lower() for component in drug.components}
    if salts and not salts <= names:
        return False
    form = drug.form or ""
    if not all(any(word in form for word in words.split("|")) for words in read.forms):
        return False
    if read.routes and drug.route not in read.routes:
        return False
    if read.releases and not any((drug.release or "").startswith(release) for release in read.releases):
        return False
    if read.hours is not None and f"{read.hours} h" not in (drug.release or ""):
        return False
    stated = sorted(_stated(strength) for strength in read.strengths)
    actual = sorted(_actual(component) for component in drug.components)
    return not stated or stated == actual


def _stated(strength: WrittenStrength) -> tuple[Fraction, str, str]:
    if strength.unit == "%":
        return strength.value * 10, "mg", "mL"
    return strength.value, strength.unit, strength.per or ""


def _actual(component: Component) -> tuple[Fraction, str, str]:
    if component.value is None:
        return Fraction(0), "", ""
    if component.per == "mg" and component.unit == "mg":
        return Fraction(component.value) * 1000, "mg", "mL"
    return Fraction(component.value), component.unit or "", component.per or ""
