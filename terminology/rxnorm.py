"""RxNorm as the rest of Baton asks of it: concepts, drugs and their ingredients, names, NDCs, classes.

Source: nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html (term types and relations)
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from terminology.drug_records import Component, Concept, Drug, Precision
from terminology.name_reader import NameReader
from terminology.store import Store, open_store


class RxNorm:
    """Lookups over the built store. Answers are cached, bounded; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.version = store.version()
        self.concept = lru_cache(maxsize=8192)(self._concept)
        self.drug = lru_cache(maxsize=8192)(self._drug)
        self.by_name = lru_cache(maxsize=4096)(NameReader(store, self.drug, self.products).read)
        self.classes = lru_cache(maxsize=4096)(self._classes)

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
