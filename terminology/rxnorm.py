"""RxNorm as the rest of Baton asks of it: concepts, drugs and their ingredients, names, NDCs, classes.

Source: nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html (term types and relations)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path

from terminology.lexicon import Lexicon
from terminology.names import DrugText, WrittenStrength, fold, read_drug_text
from terminology.store import Store, open_store


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept: `tty` is RxNorm's term type (IN, PIN, SCDC, SCD, SBD, BN, GPCK ...) or EPC for a class."""

    rxcui: str
    tty: str
    name: str


class Precision(StrEnum):
    """How much of a drug a concept fixes."""

    PRODUCT = "product"
    COMPONENT = "component"
    FORM = "form"
    INGREDIENT = "ingredient"


@dataclass(frozen=True, slots=True)
class Component:
    """One ingredient of a drug with its strength. `ingredient` is None where the vocabulary has no IN."""

    ingredient: Concept | None
    name: str
    """As the drug's name has it, so with its salt: `metoprolol succinate`."""
    value: Decimal | None = None
    unit: str | None = None
    """UCUM numerator."""
    per: str | None = None
    """UCUM denominator, None where the strength is that of one dosage unit."""


@dataclass(frozen=True, slots=True)
class Drug:
    """What a concept says about a drug, a brand folded to its generic product."""

    concept: Concept
    precision: Precision
    components: tuple[Component, ...]
    product: Concept | None = None
    """The SCD (or GPCK) behind it; None below product precision."""
    brand: str | None = None
    form: str | None = None
    release: str | None = None
    route: str | None = None
    package: str | None = None
    """Quantity of a package that is part of the product: `10 mL`, `60 actuations`."""
    inferred: bool = False
    """True when the product was inferred from a strength that only one product has."""


@dataclass(frozen=True, slots=True)
class NameMatch:
    """Concepts a text may name: one, or several among which the text does not decide.

    None at all: the ingredients are known, a product of that strength and form is not.
    """

    concepts: tuple[Concept, ...]
    ingredients: tuple[Concept, ...]
    """What all candidates contain; empty where the vocabulary cannot say."""
    exact: bool
    """The text is a name of the concept but for case and spacing; else it was read into parts."""
    of_strength: bool = False
    """The concepts are products with the strength that the text states."""
    form_named: bool = True
    """The text says in what form it comes, or names a brand; else a single product is an inference."""
    corrections: tuple[tuple[str, str], ...] = ()
    """Words that were read as another: (as written, as read)."""


class RxNorm:
    """Lookups over the built store. Answers are cached, bounded; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.version = store.version()
        self.concept = lru_cache(maxsize=8192)(self._concept)
        self.drug = lru_cache(maxsize=8192)(self._drug)
        self.by_name = lru_cache(maxsize=4096)(self._by_name)
        self.classes = lru_cache(maxsize=4096)(self._classes)
        self._names = lru_cache(maxsize=16384)(self._find_names)

    def _concept(self, rxcui: str) -> Concept | None:
        """The concept of an RxCUI; None if this release does not have it (it is a fragment)."""
        found = self._store.concept(rxcui)
        return Concept(*found) if found else None

    def by_ndc(self, ndc: str) -> Concept | None:
        """The product of an NDC of 10 or 11 digits, with or without hyphens; None if not one product.

        Ten digits without hyphens may be any of three layouts; they count only if all that are
        known agree.
        Source: fda.gov "National Drug Code Database Background Information"
        """
        codes = {code for ndc11 in ndc11_forms(ndc) if (code := self._store.ndc(ndc11))}
        return self.concept(codes.pop()) if len(codes) == 1 else None

    def _drug(self, rxcui: str) -> Drug | None:
        """What a concept says about a drug; None if it is unknown or its ingredients cannot be resolved."""
        concept, body = self.concept(rxcui), self._store.drug(rxcui)
        if concept is None or body is None:
            return None
        precision, components, product, brand, form, release, route, package, inferred = body
        return Drug(
            concept=concept,
            precision=Precision(precision),
            components=tuple(self._component(*component) for component in components),
            product=self.concept(product) if product else None,
            brand=brand,
            form=form,
            release=release,
            route=route,
            package=package,
            inferred=inferred,
        )

    def _component(
        self, rxcui: str | None, name: str, value: str | None, unit: str | None, per: str | None
    ) -> Component:
        ingredient = self.concept(rxcui) if rxcui else None
        return Component(ingredient, name, Decimal(value) if value else None, unit, per)

    def _classes(self, ingredient: str) -> tuple[Concept, ...]:
        """Established pharmacologic classes of an ingredient; incomplete, so absence says nothing."""
        return tuple(Concept(code, "EPC", name) for code, name in self._store.classes(ingredient))

    def products(self, ingredients: Sequence[str]) -> tuple[Drug, ...]:
        """Every product (SCD, SBD, packs) with exactly these ingredients (RxCUIs of INs), by RxCUI."""
        codes = self._store.products("+".join(sorted(set(ingredients))))
        return tuple(drug for code in codes if (drug := self.drug(code)))

    def _by_name(self, text: str) -> NameMatch | None:
        """Concepts that a text names; None if a word of it is not understood or nothing is named.

        An exact name wins. Else the text is read into names, strengths, form and release, and every
        product that agrees with all of it is a candidate; with no strength the ingredients are all
        that is known. More than one candidate is never narrowed by preference. A word that is not
        known may be a misspelt one, if only one word can be meant (`spelling`).
        """
        return self._exact(text) or self._read(text) or self._read_misspelt(text)

    def _exact(self, text: str) -> NameMatch | None:
        exact = [Concept(*row) for row in self._store.named(fold(text))]
        keys = {self._ingredient_key(concept) for concept in exact}
        if len(keys) != 1:
            return None
        best = min(exact, key=lambda concept: (_SPECIFIC.get(concept.tty, 9), concept.rxcui))
        drug = self.drug(best.rxcui)
        named = tuple(c.ingredient for c in drug.components if c.ingredient) if drug else ()
        return NameMatch((best,), named, exact=True)

    @cached_property
    def _lexicon(self) -> Lexicon:
        return Lexicon(self._store)

    def _read_misspelt(self, text: str) -> NameMatch | None:
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
            match = self._exact(meant) or self._read(meant)
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
        drug = self.drug(concept.rxcui)
        return frozenset(c.ingredient.rxcui for c in drug.components if c.ingredient) if drug else frozenset()

    def _find_names(self, folded: str) -> tuple[str, ...]:
        """Codes of the ingredients and brands of a name; a brand without a code is known by its products."""
        named = self._store.named(folded)
        found = tuple(code for code, tty, _ in named if tty in ("IN", "PIN", "MIN", "BN"))
        return found or self._lexicon.branded.get(folded, ())

    def _read(self, text: str) -> NameMatch | None:
        read = read_drug_text(text, self._names)
        if read.unread or not read.names:
            return None
        named = [drug for codes in read.names for code in codes if (drug := self.drug(code))]
        if not named or any(not any(self.drug(code) for code in codes) for codes in read.names):
            return None
        brands = {drug.brand for drug in named if drug.brand}
        generic = [drug for drug in named if not drug.brand]
        by_rxcui = {
            component.ingredient.rxcui: component.ingredient
            for drug in named
            for component in drug.components
            if component.ingredient
        }
        if brands and (len(brands) > 1 or any(_key(d) != set(by_rxcui) for d in named if d.brand)):
            return None
        ingredients = tuple(by_rxcui[code] for code in sorted(by_rxcui))
        salts = {c.name.lower() for drug in generic for c in drug.components if drug.concept.tty == "PIN"}
        candidates = [
            drug
            for drug in self.products(sorted(by_rxcui))
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


def ndc11_forms(ndc: str) -> tuple[str, ...]:
    """The 11-digit forms (5-4-2) an NDC may stand for; empty if it is no NDC.

    4-4-2, 5-3-2 and 5-4-1 are padded in their short segment.
    """
    segments = ndc.strip().split("-")
    if not all(segment.isascii() and segment.isdigit() for segment in segments):
        return ()
    lengths = tuple(len(segment) for segment in segments)
    if lengths in ((5, 4, 2), (4, 4, 2), (5, 3, 2), (5, 4, 1)):
        return ("".join(s.zfill(n) for s, n in zip(segments, (5, 4, 2), strict=True)),)
    if lengths == (11,):
        return (segments[0],)
    if lengths == (10,):
        d = segments[0]
        return (f"0{d}", f"{d[:5]}0{d[5:]}", f"{d[:9]}0{d[9:]}")
    return ()


def open_rxnorm(directory: Path) -> RxNorm:
    """RxNorm from the store in `directory` (`$BATON_HOME/terminology`), built there if it is missing.

    Building takes a few seconds, once; opening takes microseconds of memory-mapped pages after that.
    """
    return RxNorm(open_store(directory))
