"""Random searches: every parameter the server says it answers, with values that are likely to be found.

Which parameters it answers the server says in its CapabilityStatement, which forms by answering one search
of each (`FORMS`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from search_oracle.charts import TYPES
from search_oracle.clauses import PARTS
from search_oracle.definitions import COMPARTMENTS, Parameter, parameters
from search_oracle.definitions import compartment as compartment_of
from search_oracle.evaluator import Held, Include, Key, Token
from search_oracle.makers import IDS
from search_oracle.terminology import HIERARCHIES
from search_oracle.values import Values
from search_oracle.wording import Wording

# A form of a search -> a search of that form.
FORMS: Mapping[str, str] = {
    "chains of several links": "Encounter?part-of:Encounter.subject:Patient.active=true",
    "chains in _has": "Patient?_has:Observation:patient:performer:Practitioner.active=true",
    "_has in _has": "Practitioner?_has:Patient:general-practitioner:_has:Observation:patient:status=final",
    "_has in chains": "Observation?patient._has:Encounter:patient:status=finished",
    ":text": "Observation?code:text=a",
    ":of-type": "Patient?identifier:of-type=urn:x|b|c",
    ":in": "Observation?status:in=http://hl7.org/fhir/ValueSet/observation-status",
    "hierarchies of codes": "Observation?status:below=http://hl7.org/fhir/observation-status|amended",
    "hierarchies of resources": "Observation?encounter:below=Encounter/a",
    "versions of canonicals": "ServiceRequest?instantiates-canonical:below=http://example.org/plan|1",
    "paths of uris": "ValueSet?url:below=http://example.org/a",
    "_list": "Observation?_list=a,b",
    ":iterate": "Observation?_include=Observation:encounter&_include:iterate=Encounter:part-of",
    "_revinclude=*": "Patient?_revinclude=*",
    "several types": "?_type=Patient,Observation",
    "all types": "?_id=a",
    "compartments": "Encounter/a/Observation",
    "whole compartments": "Patient/a/*",
}
ORDERED = ("string", "date", "number", "quantity", "uri")
CHARTED = tuple(TYPES)
# A form -> the modifiers that it is about.
MODIFIERS: Mapping[str, Sequence[str]] = {
    ":text": ("text",),
    ":of-type": ("of-type", "of-type"),
    ":in": ("in", "not-in"),
    "hierarchies of codes": ("above", "below"),
    "hierarchies of resources": ("above", "below"),
    "versions of canonicals": ("below",),
    "paths of uris": ("above", "below"),
}

ANY = ("", "not", "exact", "contains")  # of any parameter of their type

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Offered:
    """codes: resource type -> codes of its parameters. forms: those of FORMS that are answered."""

    codes: Mapping[str, frozenset[str]]
    forms: frozenset[str]


@dataclass(frozen=True, slots=True)
class Question:
    """One search. types: what is searched, () for all types. pairs: its conditions.

    shape: what shapes the result beside sort, count and includes. compartment: the resource in whose
    compartment it is asked, None for everywhere.
    """

    types: tuple[str, ...]
    pairs: tuple[Pair, ...]
    sort: str
    count: int
    includes: tuple[Include, ...]
    shape: tuple[Pair, ...]
    compartment: Key | None
    token: Token
    post: bool

    @property
    def path(self) -> str:
        """What stands before the question mark, relative to the base."""
        place = "/".join(self.compartment) + "/" if self.compartment else ""
        if len(self.types) == 1:
            return place + self.types[0]
        return place + "*" if place else ""

    def query(self) -> list[Pair]:
        """Everything after the question mark."""
        query = [*self.pairs, *self.shape, ("_count", str(self.count))]
        if len(self.types) > 1:
            query.append(("_type", ",".join(self.types)))
        if self.sort:
            query.append(("_sort", self.sort))
        for include in self.includes:
            name = ("_revinclude" if include.reverse else "_include") + (":iterate" if include.iterate else "")
            query.append((name, ":".join(filter(None, (include.source, include.code, include.target)))))
        return query


class Asker(Wording):
    """Makes questions about what is held. Most are about some resource's own values, so that they find it."""

    def __init__(self, random: Random, held: Sequence[Held], offered: Offered) -> None:
        super().__init__(random, held)
        self.offered = offered
        self.types = sorted({held.key[0] for held in held})

    def question(self) -> Question:
        random = self.random
        if random.random() < 0.08:
            return self.of_types()
        found = random.choice(self.held)
        resource_type = random.choice(CHARTED) if random.random() < 0.03 else found.key[0]
        about = found if resource_type == found.key[0] else None
        count = random.choice((0, 0, 1, 1, 1, 2, 2, 3))
        shape: list[Pair] = []
        if random.random() < 0.2:
            shape.append(("_total", random.choice(("accurate", "estimate", "none"))))
        return Question(
            (resource_type,),
            tuple(self.condition(resource_type, about, 0) for _ in range(count)),
            self.sort(resource_type),
            random.choice((1, 2, 3, 5, 50)),
            tuple(dict.fromkeys(self.includes(resource_type))),
            tuple(shape),
            self.compartment(resource_type, about) if random.random() < 0.1 else None,
            self.token(about),
            random.random() < 0.1,
        )

    def of_types(self) -> Question:
        """A search of several types, or of all: by parameters that all of them have."""
        random, forms = self.random, self.offered.forms
        about = random.choice(self.held)
        types = tuple(dict.fromkeys((about.key[0], *random.sample(self.types, 2))))
        compartment = None
        if random.random() < 0.4 and "whole compartments" in forms:
            compartment = self.compartment(about.key[0], about)
            types = types if random.random() < 0.5 and "several types" in forms else ()
            if compartment is not None:
                types = tuple(kind for kind in types if kind in compartment_of(compartment[0]))
        elif "several types" not in forms or ("all types" in forms and random.random() < 0.3):
            types = ()
        if len(types) == 1 or (not types and not compartment and "all types" not in forms):
            types = (about.key[0],)
        among = [self.kinds_of(kind) for kind in types or CHARTED]
        common = {code for code, kind in among[0].items() if all(other.get(code) == kind for other in among)}
        sort = [code for code in sorted(common) if code == "_id" or among[0][code] in ORDERED]
        return Question(
            types,
            tuple(self.clause(about.key[0], about, common, types) for _ in range(random.choice((0, 1, 1, 2)))),
            ",".join(random.choice(("", "-")) + code for code in random.sample(sort, random.choice((0, 1, 2)))),
            random.choice((1, 3, 50)),
            tuple(self.include(about.key[0])) if random.random() < 0.3 and about.key[0] in types else (),
            (),
            compartment,
            self.token(about),
            random.random() < 0.1,
        )

    def kinds_of(self, resource_type: str) -> dict[str, str]:
        """Code -> type of the parameters that the server answers."""
        return {parameter.code: parameter.type for parameter in self.codes(resource_type)}

    def compartment(self, resource_type: str, about: Held | None) -> Key | None:
        """A resource in whose compartment the resource is, or another."""
        if "compartments" not in self.offered.forms:
            return None
        known = [of for of in COMPARTMENTS if resource_type in compartment_of(of)]
        found = sorted(key for of in known for key in (about.compartments(of) if about else ()))
        if found and self.random.random() < 0.9:
            return self.random.choice(found)
        return (self.random.choice(known), self.random.choice(IDS)) if known else None

    def patient(self, about: Held | None) -> str:
        """The id of a patient, mostly one in whose chart the resource is."""
        return self.random.choice(sorted(about.patients() if about else ()) or IDS)

    def token(self, about: Held | None) -> Token:
        form = self.random.randrange(6)
        if form < 3:
            return Token()
        patient = self.patient(about)
        if form < 5:
            return Token(patient)
        kinds = self.random.sample(self.types, len(self.types) // 2 + 1)
        criteria = (("status", self.random.choice(("final", "amended", "final,amended"))),)
        narrow = ("Observation", criteria)
        return Token(
            patient, (("Patient", ()), narrow, *((kind, ()) for kind in kinds if kind != "Observation"))
        )

    def codes(self, resource_type: str) -> list[Parameter]:
        """The parameters that the server answers."""
        known = parameters(resource_type)
        return [known[code] for code in sorted(self.offered.codes[resource_type]) if code in known]

    # -- conditions

    def condition(self, resource_type: str, about: Held | None, depth: int) -> Pair:
        """A clause, or one across references; about: a resource of the type that it may well find."""
        random, forms = self.random, self.offered.forms
        form = random.random() if depth < 3 else 1.0
        if form < 0.2 and (depth == 0 or {"chains of several links", "chains in _has"} <= forms):
            return self.chain(resource_type, about, depth)
        if form < 0.35 and (depth == 0 or {"_has in _has", "_has in chains"} <= forms):
            return self.has(resource_type, about, depth)
        lists = self.lists(about)
        if form < (0.42 if lists else 0.36) and "_list" in forms:
            return "_list", ",".join(
                (random.choice(lists or IDS), *random.choices(IDS, k=random.choice((0, 1))))
            )
        return self.clause(resource_type, about)

    def lists(self, about: Held | None) -> list[str]:
        """Ids of the lists that the resource is on."""
        item = parameters("List")["item"]
        lists = [held for held in self.held if held.key[0] == "List"]
        return [held.key[1] for held in lists if about is not None and held.refers_to(item, about.key)]

    def references(self, resource_type: str) -> list[Parameter]:
        """Parameters that refer to a type of TYPES."""
        return [
            parameter
            for parameter in self.codes(resource_type)
            if parameter.type == "reference" and any(map(parameter.may_target, CHARTED))
        ]

    def chain(self, resource_type: str, about: Held | None, depth: int) -> Pair:
        """Along a reference of the resource to another that is held, or anywhere."""
        ways = [
            (link, other)
            for link in self.references(resource_type)
            for other in self.held
            if about is not None and about.refers_to(link, other.key)
        ]
        if not ways:
            return self.clause(resource_type, about)
        link, reached = self.random.choice(ways)
        name, text = self.condition(reached.key[0], reached, depth + 1)
        own = name.startswith("_")  # of every type: without a type too many would be asked
        typed = own or len(link.targets) > 4 or self.random.random() < 0.7
        return f"{link.code}:{reached.key[0]}.{name}" if typed else f"{link.code}.{name}", text

    def has(self, resource_type: str, about: Held | None, depth: int) -> Pair:
        """Back along a reference to the resource."""
        ways = [
            (link, other)
            for other in self.held
            for link in self.references(other.key[0])
            if about is not None and link.may_target(resource_type) and other.refers_to(link, about.key)
        ]
        if not ways:
            return self.clause(resource_type, about)
        link, source = self.random.choice(ways)
        name, text = self.condition(link.resource_type, source, depth + 1)
        return f"_has:{link.resource_type}:{link.code}:{name}", text

    def clause(
        self,
        resource_type: str,
        about: Held | None,
        among: Collection[str] | None = None,
        types: Sequence[str] = (),
    ) -> Pair:
        """One parameter of the type with values; among: the codes to choose from; types: all that are asked."""
        known = [one for one in self.codes(resource_type) if among is None or one.code in among]
        if about is not None and about.key[0] == resource_type and self.random.random() < 0.9:
            known = [parameter for parameter in known if about.values(parameter).present] or known
        often = [one for one in known if one.type in ("composite", "quantity", "number")]
        parameter = self.random.choice(often if often and self.random.random() < 0.2 else known)
        if parameter.code not in ("_id", "_lastUpdated") and self.random.random() < 0.08:
            return f"{parameter.code}:missing", self.random.choice(("true", "false"))
        modifier = self.random.choice(self.modifiers(parameter, about))
        if among is not None and not self.is_for_all(modifier, parameter.code, types):
            modifier = ""
        several = self.random.choice((1, 1, 1, 2, 3))
        found = [self.value(parameter, modifier, about) for _ in range(several)]
        name = f"{parameter.code}:{modifier}" if modifier else parameter.code
        return name, ",".join(found)

    def is_for_all(self, modifier: str, code: str, types: Sequence[str]) -> bool:
        """Whether the parameter of that code takes a modifier on each of the types, as far as is known of what
        is held. What all types have is one parameter."""
        if modifier in TYPES:  # not all may refer to it
            return False
        if modifier in ANY or code.startswith("_"):
            return True
        return all(
            any(
                modifier in self.modifiers(parameters(kind)[code], one)
                for one in self.held
                if one.key[0] == kind
            )
            for kind in types
        )

    def modifiers(self, parameter: Parameter, about: Held | None) -> Sequence[str]:
        """Modifiers that a parameter may have, the empty one most often."""
        if parameter.code in ("_id", "_lastUpdated"):
            return ("",)
        if parameter.type == "string":
            return ("", "", "exact", "contains")
        found = [""] * 4 + ["not"] * (parameter.type == "token")
        values = self.own(parameter, about)
        if parameter.type == "reference" and "Reference" in values.types:
            kinds = [kind for kind in self.types if parameter.may_target(kind)]
            found += self.random.sample(kinds, min(2, len(kinds)))
            found += ["identifier"] * 3 * any(link.identifier for link in values.links)
        for form, modifiers in MODIFIERS.items():
            if form in self.offered.forms and self.takes(form, parameter, values):
                found += modifiers
        return found

    def takes(self, form: str, parameter: Parameter, values: Values) -> bool:
        """Whether a modifier goes with what the parameter selects of a resource."""
        concepts = {"CodeableConcept", "Coding"} & values.types
        match form:
            case ":text":
                return bool({"CodeableConcept", "Coding", "Identifier"} & values.types)
            case ":of-type":
                return any(token.kinds for token in values.tokens)
            case ":in":
                bound = "code" in values.types and any(token.system for token in values.tokens)
                return parameter.type == "token" and bool(concepts or bound) and bool(self.sets_of(values))
            case "hierarchies of codes":
                return any(token.code in HIERARCHIES.get(token.system, ()) for token in values.tokens)
            case "hierarchies of resources":
                return any(link.key is not None and link.key[0] in PARTS for link in values.links)
            case "versions of canonicals":
                return "canonical" in values.types and parameter.type == "reference"
            case _:
                return parameter.type == "uri"

    # -- order and includes

    def sort(self, resource_type: str) -> str:
        if self.random.random() < 0.45:
            return ""
        known = [p for p in self.codes(resource_type) if p.code == "_id" or p.type in ORDERED]
        own = [p for p in known if not p.code.startswith("_")]
        keys = self.random.sample(known, min(len(known), self.random.choice((1, 1, 2, 3))))
        if own and self.random.random() < 0.7:
            keys[0] = self.random.choice(own)
        codes = dict.fromkeys(parameter.code for parameter in keys)
        return ",".join(self.random.choice(("", "-")) + code for code in codes)

    def includes(self, resource_type: str) -> list[Include]:
        if self.random.random() < 0.6:
            return []
        if "_revinclude=*" in self.offered.forms and self.random.random() < 0.1:
            return [Include("", "*", reverse=True)]
        found = [one for _ in range(self.random.choice((1, 1, 2))) for one in self.include(resource_type)]
        if ":iterate" in self.offered.forms and self.random.random() < 0.6:
            for link in self.random.choices(self.links(""), k=2):
                reverse = self.random.random() < 0.3
                found.append(Include(link.resource_type, link.code, "", reverse, iterate=True))
        return found

    def links(self, target: str) -> list[Parameter]:
        """Reference parameters of what is held that may refer to a type ("": any) and do refer to something."""
        return [
            link
            for kind in self.types
            for link in self.references(kind)
            if (not target or link.may_target(target))
            and any(one.links(link) for one in self.held if one.key[0] == kind)
        ]

    def include(self, resource_type: str) -> list[Include]:
        reverse = self.random.random() < 0.5
        links = self.links(resource_type) if reverse else self.references(resource_type)
        if not links:
            return []
        link = self.random.choice(links)
        code = "*" if self.random.random() < 0.15 else link.code
        targets = (
            [resource_type]
            if reverse
            else [kind for kind in self.types if link.may_target(kind)] or ["Patient"]
        )
        target = self.random.choice(targets) if self.random.random() < 0.3 else ""
        return [Include(link.resource_type, code, target, reverse)]
