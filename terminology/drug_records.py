"""What RxNorm says of a drug, taken apart: concepts, components with their strengths, names that were read.

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
