"""Random values of FHIR's datatypes, so few of each that searches often find something. All are synthetic."""

from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal
from random import Random
from typing import Any

from search_oracle.units import UCUM

Json = dict[str, Any]
BASE = "http://127.0.0.1:8000/fhir/"

IDS = ("a", "A", "b", "c-1.x", "d", "e")
SYSTEMS = ("urn:example:x", "urn:example:y", "http://example.org/codes")
CODES = ("a", "A", "b", "a,b", "x|y", "1$2", "back\\slash")
PARTS = ("p", "q")  # codes of components; an Observation's own code must not be one of them
DISPLAYS = ("Blood pressure", "blood-sugar", "Bluthochdruck", "Größe, stehend")
NAMES = (
    "Eve",
    "Evelyn",
    "Ève",
    "steve",
    "O'Brien",
    "Smith-Jones",
    "Zoë Anna",
    "李",
    "van der  Berg",
    "Straße",
    "J.R.",
)
DAYS = (
    "2023",
    "2024",
    "2024-02",
    "2024-02-10",
    "2024-02-29",
    "2024-03-10",  # a night of summer time in the practice's zone
    "2024-12-31",
    "2025-01-01",
    "1999-12-31",
)
MOMENTS = (
    "2024-02-10T00:00:00-05:00",
    "2024-02-10T08:00:00Z",
    "2024-02-10T08:00:00.250+01:00",
    "2024-02-11T03:30:00Z",
    "2025-01-01T04:59:59Z",
    "1999-12-31T23:59:59.999Z",
)
NUMBERS = ("0", "1", "5", "5.4", "5.40", "5.449", "5.45", "99.5", "100", "105", "-3", "0.001", "1000")
UNITS = (
    ("mg", "mg"),
    ("mg", "milligram"),
    ("g", "g"),
    ("kg", "kg"),
    ("ug", "mcg"),
    ("[lb_av]", "lb"),
    ("Cel", "°C"),
    ("[degF]", "°F"),
    ("/min", "per minute"),
)
URIS = (
    "http://example.org/a",
    "http://example.org/a/b",
    "http://example.org/a/b/c",
    "http://example.org/ab",
    "urn:oid:1.2.3",
    "urn:oid:1.2.3.4",
)
LINES = ("12 Main St.", "Apt #4", "Rue de l'Église 3")
CITIES = ("Springfield", "SPRING", "St. Louis", "Zürich")


class Maker:
    """Makes values from one source of chance. types: those that references are mostly to."""

    def __init__(self, random: Random, types: Collection[str] = ()) -> None:
        self.random, self.types = random, types

    def one(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def some(self, make: Callable[[], Any], most: int = 2) -> list[Any]:
        """A list of up to `most`; an empty one is left out of the resource."""
        return [make() for _ in range(self.random.randint(0, most))]

    def day(self) -> str:
        return str(self.one(*DAYS))

    def moment(self) -> str:
        return str(self.one(*MOMENTS))

    def date_time(self) -> str:
        return str(self.one(*DAYS, *MOMENTS))

    def period(self) -> Json:
        """A Period, either end possibly open."""
        form = self.random.randrange(4)
        start = self.one("2023", "2023-12-31T22:00:00Z", "2024-02-10", "2024-02-10T08:00:00Z")
        end = self.one("2024-02-29", "2024-03", "2025", "2024-03-10T12:00:00Z")
        return {0: {"start": start}, 1: {"end": end}}.get(form, {"start": start, "end": end})

    def timing(self) -> Json:
        return self.one(
            {"event": [self.date_time() for _ in "12"]},
            {"repeat": {"boundsPeriod": self.period()}},
            {"event": [self.date_time()], "repeat": {"boundsPeriod": self.period()}},
        )

    def coding(self, codes: tuple[str, ...] = CODES) -> Json:
        made: Json = {"code": self.one(*codes)}
        if self.random.random() < 0.8:
            made["system"] = self.one(*SYSTEMS)
        if self.random.random() < 0.5:
            made["display"] = self.one(*DISPLAYS)
        return made

    def concept(self, codes: tuple[str, ...] = CODES) -> Json:
        made: Json = {}
        codings = self.some(lambda: self.coding(codes))
        if codings:
            made["coding"] = codings
        if not codings or self.random.random() < 0.3:
            made["text"] = self.one(*DISPLAYS)
        return made

    def bound(self, system: str, *codes: str) -> Json:
        """A CodeableConcept of a required value set."""
        return {
            "coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": self.one(*codes)}]
        }

    def identifier(self) -> Json:
        made: Json = {"value": self.one("1", "22", "A-3", "a-3", "x|y")}
        if self.random.random() < 0.8:
            made["system"] = self.one(*SYSTEMS)
        if self.random.random() < 0.5:
            made["type"] = self.concept()
        return made

    def number(self) -> Decimal:
        return Decimal(self.one(*NUMBERS))

    def quantity(self) -> Json:
        code, unit = self.one(*UNITS)
        form = self.random.randrange(4)
        made: Json = {"value": self.number()}
        if form:
            made |= {"unit": unit}
        if form > 1:
            made |= {"system": self.one(UCUM, UCUM, "urn:example:units"), "code": code}
        if self.random.random() < 0.15:
            made["comparator"] = self.one("<", "<=", ">=", ">")
        return made

    def plain_quantity(self) -> Json:
        """A SimpleQuantity: without a comparator."""
        made = self.quantity()
        made.pop("comparator", None)
        return made

    def duration(self) -> Json:
        return {"value": self.number(), "system": UCUM, "code": self.one("min", "h", "d")}

    def range(self) -> Json:
        """A Range in one unit; the lower end is not above the upper."""
        code, unit = self.one(*UNITS)
        low, high = sorted((self.number(), self.number()))
        ends = {end: {"value": value, "unit": unit, "system": UCUM, "code": code} for end, value in
                (("low", low), ("high", high))}  # fmt: skip
        if self.random.random() < 0.3:
            del ends[self.one("low", "high")]
        return ends

    def samples(self) -> Json:
        return {
            "origin": {"value": Decimal(self.one("0", "5")), "unit": "mg", "system": UCUM, "code": "mg"},
            "period": Decimal(10),
            "dimensions": 1,
            "data": self.one("1 2 3", "5 E 100", "-3 0.5 U", "99"),
        }

    def money(self) -> Json:
        return {"value": self.number(), "currency": self.one("USD", "EUR")}

    def name(self) -> Json:
        made: Json = {"family": self.one(*NAMES)}
        given = self.some(lambda: self.one(*NAMES))
        if given:
            made["given"] = given
        if self.random.random() < 0.3:
            made |= {"prefix": [self.one("Dr.", "Ms")], "text": self.one(*NAMES)}
        return made

    def address(self) -> Json:
        made: Json = {"city": self.one(*CITIES), "use": self.one("work", "temp")}
        if self.random.random() < 0.5:
            made |= {"line": [self.one(*LINES)], "state": self.one("NY", "MA"), "country": self.one("US", "us")}
        if self.random.random() < 0.5:
            made |= {"postalCode": self.one("12345", "1234"), "district": self.one(*CITIES)}
        return made

    def contact(self) -> Json:
        return {
            "system": self.one("phone", "email"),
            "value": self.one("555-0100", "eve@example.org", "EVE@example.org"),
            "use": self.one("work", "mobile"),
        }

    def to(self, *types: str) -> Json:
        """A Reference to one of the types, in one of its forms."""
        near = [kind for kind in types if kind in self.types]
        kind = self.one(*(near if near and self.random.random() < 0.9 else types))
        id = self.one(*IDS)
        form = self.random.random()
        if form < 0.68:
            return {"reference": f"{kind}/{id}"}
        if form < 0.74:
            return {"reference": f"{kind}/{id}/_history/1"}
        if form < 0.80:
            return {"reference": f"{BASE}{kind}/{id}"}
        if form < 0.86:
            return {"reference": f"http://elsewhere.example.org/fhir/{kind}/{id}"}
        if form < 0.98:
            return {"type": kind, "identifier": self.identifier()}
        return {"type": kind, "display": self.one(*DISPLAYS)}

    def meta(self) -> Json:
        made: Json = {}
        if self.random.random() < 0.2:
            made["tag"] = [self.coding()]
        if self.random.random() < 0.1:
            made["security"] = [self.coding()]
        if self.random.random() < 0.2:
            made["profile"] = [f"http://example.org/fhir/StructureDefinition/{self.one('one', 'two')}"]
        if self.random.random() < 0.1:
            made["source"] = self.one(*URIS)
        return made


Make = Callable[[Maker], Any]


def maybe(make: Make, chance: float = 0.6) -> Make:
    return lambda m: make(m) if m.random.random() < chance else None


def many(make: Make, most: int = 2) -> Make:
    return lambda m: [value for value in m.some(lambda: make(m), most) if value != {}]


def choice(**forms: Make) -> Make:
    """One form of a choice element, such as valueQuantity, or none; the key of it ends in _x."""

    def make(m: Maker) -> Json:
        name = m.one(*forms, "")
        return {name: forms[name](m)} if name else {}

    return make


def code(*codes: str) -> Make:
    return lambda m: m.one(*codes)


def ref(*types: str) -> Make:
    return lambda m: m.to(*types)


def backbone(**elements: Make) -> Make:
    def make(m: Maker) -> Json:
        found = {name: value for name, make in elements.items() if (value := make(m)) not in (None, [], {})}
        return {key: value for name, held in found.items() for key, value in
                (held.items() if name.endswith("_x") else [(name, held)])}  # fmt: skip

    return make


# -- elements of many types

concept: Make = Maker.concept
identifiers = many(Maker.identifier)


def words(m: Maker) -> str:
    return str(m.one(*DISPLAYS))


def true_or_false(m: Maker) -> bool:
    return bool(m.one(True, False))


subject = ref("Patient", "Patient", "Patient", "Group")
patient = ref("Patient")
practitioner = ref("Practitioner", "PractitionerRole")
encounter = maybe(ref("Encounter"))
