"""What a search asks, as values. `search_parsing` makes them from a query string, `storage` answers them.

Nothing here knows SQL or HTTP. A SearchQuery is complete: two equal queries ask the same thing.
Source: hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Prefix = Literal["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]
ParameterType = Literal[
    "string", "token", "reference", "date", "number", "quantity", "uri", "composite", "special"
]


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One search parameter as it applies to one resource type.

    number: the parameter's number in the append-only registry (`parameter_numbers.json`); it is stored
    in index rows and hashes and therefore never reused. Parameters that select the same values of a type
    (`patient` and `subject` of Observation restricted to Patient) keep numbers of their own unless the
    registry names an alias.
    expression: R4's own FHIRPath of it. targets: resource types a reference may name.
    datatypes: the FHIR datatypes it selects on this resource type, e.g. ("CodeableConcept",).
    parts: numbers of the parameters that together select what it selects; then it has no index rows of its own.
    components: of a composite, in the order of their values; they carry its number.
    """

    number: int
    code: str
    type: ParameterType
    resource_type: str
    expression: str
    url: str
    targets: tuple[str, ...] = ()
    datatypes: tuple[str, ...] = ()
    parts: tuple[int, ...] = ()
    components: tuple[SearchParameter, ...] = ()

    @property
    def folds_case(self) -> bool:
        """Whether a token ignores case: only where the element is a string (R4 search, Token)."""
        return "string" in self.datatypes or "markdown" in self.datatypes


@dataclass(frozen=True, slots=True)
class TokenValue:
    """`code` (system None: any system), `system|code`, `|code` (system "": none), `system|` (code None)."""

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class StringValue:
    """Text as written; compared by `folding.fold` from the start, for `exact` as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """`Type/id` or bare `id` (resource_type None) of this server, or an absolute or canonical `url`."""

    resource_type: str | None
    id: str | None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class DateValue:
    """[low, high) in UTC microseconds since 1970, at the precision that was written.

    Against a stored range [a, b):
        eq  low <= a and b <= high        ne  not eq
        gt  b > high                      lt  a < low
        ge  b > high or eq                le  a < low or eq
        sa  a >= high                     eb  b <= low
        ap  a < high and b > low, with low and high already widened by a tenth of the time from now
    """

    prefix: Prefix
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class NumberValue:
    """[low, high) is the implicit range of the written precision: 2.0 is [1.95, 2.05).

    Against a stored range [a, b], a point (a = b) unless the value is a Range or has a comparator:
        eq  low <= a and b < high         ne  not eq
        gt  b > value                     lt  a < value
        ge  b >= value                    le  a <= value
        sa  a > value                     eb  b < value
        ap  a < high and b >= low, with low and high a tenth of the value apart from it
    """

    prefix: Prefix
    value: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class QuantityValue:
    """A number and its unit: code None any unit, system None the code or the unit as written."""

    number: NumberValue
    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class UriValue:
    uri: str


@dataclass(frozen=True, slots=True)
class CompositeValue:
    """`value$value`: one of each component, all of one element."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Amount:
    """A NumberValue or QuantityValue as the rows of quantities are compared with it: see NumberValue.

    unit: the hash that a row must carry, None for any.
    """

    prefix: Prefix
    value: float
    low: float
    high: float
    unit: int | None


@dataclass(frozen=True, slots=True)
class AmountPair:
    """Two numbers of one element: its row has the first in place of its lower end, the second of its upper."""

    first: Amount
    second: Amount


@dataclass(frozen=True, slots=True)
class MissingValue:
    missing: bool


@dataclass(frozen=True, slots=True)
class EntriesValue:
    """Any of these entries of the token index, as they are before the parameter's mask (see `hashing`)."""

    entries: tuple[int, ...]

    @classmethod
    def of(cls, entries: Iterable[int]) -> EntriesValue:
        """Each entry once and in order, so that equal values are written equally in every process."""
        return cls(tuple(sorted(set(entries))))


@dataclass(frozen=True, slots=True)
class ValueSetValue:
    """The codes of a value set: `id` of one of this server, or its canonical url and version ("": any)."""

    id: str
    url: str
    version: str


@dataclass(frozen=True, slots=True)
class ConceptValue:
    """A concept and all above or below it; system "": of the value set the element is bound to."""

    system: str
    code: str


@dataclass(frozen=True, slots=True)
class TreeValue:
    """A resource of this server, of any of these types, and all that it is a part of or that is part of it."""

    types: tuple[str, ...]
    id: str


# What only definitions or other resources can tell: resolved to an EntriesValue before anything is matched.
UnresolvedValue = ValueSetValue | ConceptValue | TreeValue

Value = (
    TokenValue
    | StringValue
    | ReferenceValue
    | DateValue
    | NumberValue
    | QuantityValue
    | UriValue
    | MissingValue
    | EntriesValue
    | UnresolvedValue
    | CompositeValue
    | Amount
    | AmountPair
)


# Modifiers under which a clause is true where none of its values matches.
NEGATIONS = frozenset({"not", "not-in"})


@dataclass(frozen=True, slots=True)
class Clause:
    """`code:modifier=value,value`: true where any of the values matches (of NEGATIONS: where none does).

    modifier: "" or exact, contains, not, missing, identifier, ... ; for missing, values is one MissingValue.
    """

    parameter: SearchParameter
    modifier: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Chained:
    """`link:Type.condition`: true where a resource referred to by `link` fulfils the condition of its type.

    targets: (resource type, condition on that type); any of them. The referred resource must itself be
    visible to the caller.
    """

    link: SearchParameter
    targets: tuple[tuple[str, Condition], ...]


@dataclass(frozen=True, slots=True)
class Has:
    """`_has:Type:link:condition`: true where a visible `resource_type` refers here by `link` and fulfils it."""

    resource_type: str
    link: SearchParameter
    condition: Condition


@dataclass(frozen=True, slots=True)
class InCompartment:
    """Where a resource is in the compartment of `resource_type/id`.

    parameters: of the type that is asked; any of them refers there. itself: the type is the compartment's own,
    so that the resource may be that very one.
    """

    resource_type: str
    id: str
    parameters: tuple[SearchParameter, ...]
    itself: bool = False


Condition = Clause | Chained | Has | InCompartment


@dataclass(frozen=True, slots=True)
class SortKey:
    parameter: SearchParameter
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Include:
    """`_include=Source:code[:Target]` (links=that parameter) or, reverse, `_revinclude`.

    parameter None means `*`: all reference parameters of source_type, which may then be "" for any type.
    iterate: starts from what was included as well.
    """

    source_type: str
    parameter: SearchParameter | None
    target_type: str | None = None
    reverse: bool = False
    iterate: bool = False


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """All of it ANDed. `after` continues a page: the sort values of the last row and its row id.

    parts: of a search over several types, what is asked of each one: its conditions and its sort keys, which
    mean the same for all. Then resource_type is "" and the rest stands here alone.
    self_parameters: the parameters that were applied, as written, for link[self].
    ignored: names of parameters that lenient handling left out.
    """

    resource_type: str
    conditions: tuple[Condition, ...] = ()
    sort: tuple[SortKey, ...] = ()
    count: int = 50
    includes: tuple[Include, ...] = ()
    total: Literal["default", "none", "estimate", "accurate"] = "default"
    summary: Literal["", "true", "text", "data", "count", "false"] = ""
    elements: tuple[str, ...] = ()
    after: tuple[str | int | float | None, ...] | None = None
    self_parameters: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    parts: tuple[SearchQuery, ...] = ()


def is_unresolved(asked: SearchQuery | Condition) -> bool:
    """Whether a value of a query or condition has yet to be resolved."""
    if isinstance(asked, SearchQuery):
        return any(is_unresolved(inner) for inner in (*asked.conditions, *asked.parts))
    if isinstance(asked, Chained):
        return any(is_unresolved(inner) for _, inner in asked.targets)
    if isinstance(asked, Has):
        return is_unresolved(asked.condition)
    return isinstance(asked, Clause) and any(isinstance(value, UnresolvedValue) for value in asked.values)
