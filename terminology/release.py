"""What RxNorm says about each drug, resolved from the concepts and relations of a release.

Reads the file that is being built, so that a release of any size is resolved alike and memory grows with
its drugs alone. What the release cannot resolve stays unresolved.
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from terminology.dose_form import DoseForm, dose_forms, package_of, release_of, trailing_form
from terminology.tables import rows
from terminology.units import canonical_unit

_STRENGTH = re.compile(r"^(?P<name>.+?) (?P<value>[0-9.]+) (?P<unit>[A-Z%/-]+)$")
_BRAND = re.compile(r"^(?P<generic>.+) \[(?P<brand>[^\]]+)\]$")
_GROUPED_FORM = frozenset({"SCDF", "SCDFP", "SBDF", "SBDFP", "SCDG", "SCDGP", "SBDG"})
_QUANTITY = re.compile(
    r"^(?:(?:A?NDA\d+|BLA\d+|Abuse-Deterrent|Matrix Delivery|Once-Daily|Osmotic|Sensor) )*"
    r"(?:[0-9.]+ (?:ACTUAT|DAY|HR|MG|ML|UNT) )?"
)
_FILLER = "inert ingredients"


ComponentRow = tuple[str | None, str, str | None, str | None, str | None]
"""RxCUI of the IN, name as written, value, UCUM unit, UCUM denominator."""


@dataclass(slots=True)
class DrugRow:
    """One resolved drug, as the store keeps it (see `rxnorm.Drug` for the meaning of each field)."""

    rxcui: str
    precision: str
    components: list[ComponentRow] = field(default_factory=list)
    product: str | None = None
    brand: str | None = None
    form: str | None = None
    release: str | None = None
    route: str | None = None
    package: str | None = None
    inferred: bool = False

    @property
    def ingredient_key(self) -> str | None:
        """RxCUIs of the ingredients, sorted and joined by +; None unless all are known."""
        found = [component[0] for component in self.components]
        known = sorted({rxcui for rxcui in found if rxcui})
        return "+".join(known) if known and all(found) else None


def _strength(value: str, unit: str) -> tuple[str | None, str | None, str | None]:
    """A strength as RxNorm writes it -> value, UCUM unit, UCUM denominator; unknown units stay unknown."""
    numerator, _, denominator = unit.partition("/")
    top, bottom = canonical_unit(numerator), canonical_unit(denominator) if denominator else None
    if top is None or top.factor != 1 or (denominator and (bottom is None or bottom.factor != 1)):
        return None, None, None
    return value, top.unit, bottom.unit if bottom else None


class Release:
    """One version of RxNorm, joined. Build once, read `drugs`, drop."""

    def __init__(self, database: sqlite3.Connection, system: int) -> None:
        self._database = database
        self._system = system
        self.concepts: dict[str, tuple[str, str]] = {
            code: (kind, display)
            for code, kind, display in database.execute(
                "select code, kind, display from concept where cs = ? order by code", (system,)
            )
        }
        self._ingredient_by_name = self._index_ingredient_names()
        self._generic_by_name = {
            name.lower(): rxcui for rxcui, (tty, name) in self.concepts.items() if tty in ("SCD", "GPCK")
        }

    def _parents(self, rxcui: str, rel: str) -> list[str]:
        """What a concept stands in a relation to."""
        found = self._database.execute(
            "select p.code from concept c join edge on child = c.id join concept p on p.id = parent"
            " where c.cs = ? and c.code = ? and rel = ? order by p.code",
            (self._system, rxcui, rel),
        )
        return [code for (code,) in found]

    def _children(self, rxcui: str, rel: str) -> list[str]:
        """What stands in a relation to a concept."""
        found = self._database.execute(
            "select c.code from concept p join edge on parent = p.id and rel = ?3"
            " join concept c on c.id = child"
            " where p.cs = ?1 and p.code = ?2 order by c.code",
            (self._system, rxcui, rel),
        )
        return [code for (code,) in found]

    def _index_ingredient_names(self) -> dict[str, str]:
        """Names of ingredients -> IN; a salt goes to its IN where a component states both."""
        found = {name.lower(): rxcui for rxcui, (tty, name) in self.concepts.items() if tty == "IN"}
        for rxcui, (tty, _) in self.concepts.items():
            if tty != "SCDC":
                continue
            bases, salts = (self._parents(rxcui, r) for r in ("has_ingredient", "has_precise_ingredient"))
            if len(bases) == len(salts) == 1 and salts[0] in self.concepts:
                found.setdefault(self.concepts[salts[0]][1].lower(), bases[0])
        found.update((row["name"], row["rxcui"]) for row in rows("rxnorm/ingredient_aliases.tsv"))
        return found

    def _ingredient(self, name: str) -> str | None:
        return self._ingredient_by_name.get(name.lower())

    def _form(self, name: str, quantity: str, drug: DrugRow) -> None:
        form: DoseForm | None = dose_forms().get(name)
        if form is not None:
            drug.form, drug.route = form.form, form.route
            drug.release = release_of(form, quantity)
        drug.package = package_of(quantity)

    def drugs(self) -> Iterator[DrugRow]:
        """Every concept that resolves to ingredients, products first."""
        products: dict[str, DrugRow] = {}
        for rxcui, (tty, name) in self.concepts.items():
            if tty in ("SCD", "SBD"):
                products[rxcui] = self._product(rxcui, tty, name)
        yield from products.values()
        by_brand: dict[str, set[str]] = defaultdict(set)
        for drug in products.values():
            if drug.brand:
                by_brand[drug.brand].add(drug.ingredient_key or "")
        for rxcui, (tty, name) in self.concepts.items():
            match tty:
                case "SCDC":
                    drug = self._component(rxcui, name, products)
                case "IN":
                    drug = DrugRow(rxcui, "ingredient", [(rxcui, name, None, None, None)])
                case "PIN" | "MIN":
                    drug = DrugRow(rxcui, "ingredient", self._named(name))
                case "GPCK" | "BPCK":
                    drug = self._pack(rxcui, tty, name, products)
                case "BN":
                    keys = by_brand.get(name, set())
                    parts: list[ComponentRow] = [
                        (part, self.concepts[part][1], None, None, None)
                        for part in (min(keys).split("+") if len(keys) == 1 else [])
                        if part in self.concepts
                    ]
                    drug = DrugRow(rxcui, "ingredient", parts, brand=name)
                case _ if tty in _GROUPED_FORM:
                    drug = self._grouped(rxcui, name)
                case _:
                    continue
            if drug.ingredient_key:
                yield drug

    def _named(self, names: str) -> list[ComponentRow]:
        return [(self._ingredient(name), name, None, None, None) for name in names.split(" / ")]

    def _product(self, rxcui: str, tty: str, name: str) -> DrugRow:
        """A drug from its normalised name: quantity, ingredients with strengths, dose form, brand."""
        drug = DrugRow(rxcui, "product")
        named = _BRAND.match(name) if tty == "SBD" else None
        generic_name = named["generic"] if named else name
        if tty == "SBD":
            drug.brand = named["brand"] if named else None
            linked = self._parents(rxcui, "tradename_of")
            drug.product = linked[0] if linked else self._generic_by_name.get(generic_name.lower())
        else:
            drug.product = rxcui
        form = trailing_form(generic_name) or ""
        quantity = _QUANTITY.match(generic_name)
        prefix = quantity[0].strip() if quantity else ""
        stem = generic_name.removeprefix(prefix).removesuffix(form).strip() if form else ""
        drug.components = self._parts(drug.product or rxcui, stem)
        self._form(form, prefix, drug)
        return drug

    def _parts(self, product: str, stem: str) -> list[ComponentRow]:
        """The components of a product: by its name where that reads whole, else by its relations."""
        read = [found for part in stem.split(" / ") if (found := _STRENGTH.match(part))]
        if len(read) == stem.count(" / ") + 1:
            components: list[ComponentRow] = [
                (self._ingredient(part["name"]), part["name"], *_strength(part["value"], part["unit"]))
                for part in read
            ]
            if all(component[0] for component in components):
                return components
            known = {name.lower(): rxcui for rxcui, name, *_ in self._parts_by_relation(product)}
            return [
                (rxcui or known.get(name.lower()), name, value, unit, per)
                for rxcui, name, value, unit, per in components
            ]
        return self._parts_by_relation(product)

    def _parts_by_relation(self, product: str) -> list[ComponentRow]:
        return [
            part
            for code in self._parents(product, "consists_of")
            for part in self._component(code, self.concepts[code][1], {}).components
        ]

    def _component(self, rxcui: str, name: str, products: dict[str, DrugRow]) -> DrugRow:
        drug = DrugRow(rxcui, "component")
        bases = self._parents(rxcui, "has_ingredient")
        for part in name.split(" / "):
            if found := _STRENGTH.match(part):
                base = self._ingredient(found["name"]) or (bases[0] if len(bases) == 1 else None)
                drug.components.append((base, found["name"], *_strength(found["value"], found["unit"])))
        only = [
            product
            for product in self._children(rxcui, "consists_of")
            if product in products and len(products[product].components) == len(drug.components)
        ]
        if len(only) == 1:
            one = products[only[0]]
            drug.product, drug.form, drug.release = one.rxcui, one.form, one.release
            drug.route, drug.package, drug.inferred = one.route, one.package, True
        return drug

    def _pack(self, rxcui: str, tty: str, name: str, products: dict[str, DrugRow]) -> DrugRow:
        named = _BRAND.match(name)
        drug = DrugRow(rxcui, "product", brand=named["brand"] if named else None, form="Pack")
        if tty == "GPCK":
            drug.product = rxcui
        elif named:
            drug.product = self._generic_by_name.get(named["generic"].lower())
        parts = [products[part] for part in self._parents(rxcui, "contains") if part in products]
        inside = {
            component[0]: (component[0], component[1], None, None, None)
            for part in parts
            for component in part.components
            if component[1] != _FILLER
        }
        drug.components = [inside[key] for key in sorted(inside, key=str)]
        releases, routes = {part.release for part in parts}, {part.route for part in parts}
        drug.release = releases.pop() if len(releases) == 1 else None
        drug.route = routes.pop() if len(routes) == 1 else None
        return drug

    def _grouped(self, rxcui: str, name: str) -> DrugRow:
        named = _BRAND.match(name)
        generic = named["generic"] if named else name
        drug = DrugRow(rxcui, "form", brand=named["brand"] if named else None)
        if form := trailing_form(generic):
            self._form(form, "", drug)
            drug.components = self._named(generic.removesuffix(" " + form))
        return drug
