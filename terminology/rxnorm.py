"""RxNorm as the rest of Baton asks of it: concepts, drugs and their ingredients, names, NDCs, classes.

Source: nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html (term types and relations)
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


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
    inferred: bool = False
    """True when the product was inferred from a strength that only one product has."""


@dataclass(frozen=True, slots=True)
class NameMatch:
    """Concepts a text may name: one, or several among which the text does not decide."""

    concepts: tuple[Concept, ...]
    exact: bool
    """The text is a name of the concept but for case and spacing; else it was read into parts."""
