"""Products that generated cases may draw: `data/products.tsv`, relations between them, nothing else."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Product:
    """One generic product and a brand of it. Tuples run over its ingredients."""

    rxcui: str
    name: str
    ingredients: tuple[str, ...]
    ingredient_rxcuis: tuple[str, ...]
    salts: tuple[str, ...]
    strengths: tuple[Decimal, ...]
    unit: str
    form: str
    release: str
    drug_class: str
    """Therapeutic class within which one drug may replace another; empty: none."""
    kin: frozenset[str]
    """Families of drugs that must not meet by chance in one case."""
    brand_rxcui: str
    brand_name: str
    ndc11: str
    strength_rxcui: str
    """The SCDC: ingredient and strength without a form; empty for combinations."""

    @property
    def unit_word(self) -> str:
        """What is counted: tablet or capsule."""
        return self.form.split()[-1].lower()


def _rows(table: str) -> Iterator[dict[str, str]]:
    text = (files("smart_app.discharge_cases") / "data" / table).read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines(), delimiter="\t")


@cache
def products() -> tuple[Product, ...]:
    """All products, in the order of the file."""
    return tuple(
        Product(
            rxcui=row["rxcui"],
            name=row["name"],
            ingredients=tuple(row["ingredients"].split("+")),
            ingredient_rxcuis=tuple(row["ingredient_rxcuis"].split("+")),
            salts=tuple(row["salts"].split("+")),
            strengths=tuple(Decimal(value) for value in row["strengths"].split("+")),
            unit=row["unit"],
            form=row["form"],
            release=row["release"],
            drug_class=row["drug_class"],
            kin=frozenset(row["kin"].split("+")),
            brand_rxcui=row["brand_rxcui"],
            brand_name=row["brand_name"],
            ndc11=row["ndc11"],
            strength_rxcui=row["strength_rxcui"],
        )
        for row in _rows("products.tsv")
    )


@cache
def by_rxcui() -> dict[str, Product]:
    """Products by the RxCUI of the generic, of its brand, and of the strength alone that charts use for it."""
    found = {product.rxcui: product for product in products()}
    brands = {product.brand_rxcui: product for product in products() if product.brand_rxcui}
    loose = {row["chart"]: found[row["product"]] for row in _rows("chart_products.tsv")}
    return loose | brands | found


@cache
def other_strengths(product: Product) -> tuple[Product, ...]:
    """The same drug, salt, form and release in other strengths."""
    return tuple(
        other
        for other in products()
        if other.salts == product.salts
        and (other.form, other.release) == (product.form, product.release)
        and other.strengths != product.strengths
    )


@cache
def double_strength(product: Product) -> Product | None:
    """The product with twice the strength of every ingredient."""
    wanted = tuple(2 * strength for strength in product.strengths)
    return next((other for other in other_strengths(product) if other.strengths == wanted), None)


@cache
def other_releases(product: Product) -> tuple[Product, ...]:
    """The same ingredients, strengths and form, released otherwise; the salt may differ."""
    return tuple(
        other
        for other in products()
        if other.ingredients == product.ingredients
        and (other.strengths, other.unit, other.form) == (product.strengths, product.unit, product.form)
        and other.release != product.release
    )


@cache
def other_forms(product: Product) -> tuple[Product, ...]:
    """The same drug, salt, strength and release in another form."""
    return tuple(
        other
        for other in products()
        if (other.salts, other.strengths, other.release) == (product.salts, product.strengths, product.release)
        and other.form != product.form
    )


@cache
def classmates(product: Product) -> tuple[Product, ...]:
    """Products of other drugs of the same therapeutic class."""
    return tuple(
        other
        for other in products()
        if product.drug_class
        and other.drug_class == product.drug_class
        and other.ingredients != product.ingredients
    )


@cache
def parts(product: Product) -> tuple[Product, ...]:
    """Single products that together are a combination, strength by strength; empty if one is missing."""
    found = []
    for salt, strength in zip(product.salts, product.strengths, strict=True):
        single = next(
            (
                other
                for other in products()
                if (other.salts, other.strengths, other.release) == ((salt,), (strength,), product.release)
            ),
            None,
        )
        if single is None:
            return ()
        found.append(single)
    return tuple(found) if len(found) > 1 else ()
