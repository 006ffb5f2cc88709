"""Which concepts of a code system a filter of a value set selects.

Source: hl7.org/fhir/R4/valueset-filter-operator.html, hl7.org/fhir/R4/codesystem.html#properties
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

from server.terminology.concepts import CodeSystem, Concept
from server.terminology.patterns import Pattern, UnsupportedPattern
from server.terminology.value_sets import Filter

# How a filter names the concept itself, whose hierarchy `is-a` and its like are about.
ITSELF = frozenset({"concept", "code"})
# Properties that every concept has, whatever its system declares.
_OWN = frozenset({"display", "parent", "child"})


Spend = Callable[[int], None]
Test = Callable[[Concept], bool]


class UnsupportedFilter(ValueError):
    """A filter that this code system or this server cannot answer; the text says why."""


def test_of(system: CodeSystem, asked: Filter, spend: Spend) -> Test:
    """Whether a filter selects a concept of a code system.

    spend: told of work beyond one step a concept; may raise. Raises: UnsupportedFilter.
    """
    if asked.op in _HIERARCHICAL:
        if asked.property not in ITSELF:
            raise UnsupportedFilter(f"{asked.op} is known of the property concept alone")
        require_hierarchy(system)
        if system.concept(asked.value) is None:
            raise UnsupportedFilter(f"{asked.op} names a code that the code system lacks")
        among = _HIERARCHICAL[asked.op]
        return lambda concept: among(system, asked.value, concept.code)
    if asked.op not in _VALUES:
        raise UnsupportedFilter("the filter's operator is not known")
    if asked.property not in ITSELF | _OWN | system.properties.keys():
        raise UnsupportedFilter("the code system does not define the property of the filter")
    test = _VALUES[asked.op](asked.value, spend)
    return lambda concept: test(tuple(_values(system, concept, asked.property)))


def codes_of(system: CodeSystem, asked: Filter) -> Iterable[str] | None:
    """The codes that a filter selects, where they are found without looking at every concept."""
    if asked.op in _LISTED:
        return _LISTED[asked.op](system, asked.value)
    if asked.op not in ("=", "in"):
        return None
    wanted = [asked.value] if asked.op == "=" else list(dict.fromkeys(_parts(asked.value)))
    if asked.property in ITSELF:
        return (code for code in wanted if system.concept(code) is not None)
    return None if asked.property in _OWN else system.having(asked.property, wanted)


def require_hierarchy(system: CodeSystem) -> None:
    """Raises: UnsupportedFilter where the hierarchy of a code system is unknown or no subsumption."""
    if not system.meaning:
        raise UnsupportedFilter("the hierarchy of the code system is not known to this server")
    if system.meaning != "is-a":
        raise UnsupportedFilter("the hierarchy of the code system is no subsumption")


def require_subsumption(system: CodeSystem) -> None:
    """Raises: UnsupportedFilter where not all that a code subsumes can be told."""
    if not system.is_complete:
        raise UnsupportedFilter("not all codes of the code system are known to this server")
    require_hierarchy(system)


def _values(system: CodeSystem, concept: Concept, name: str) -> Iterator[str]:
    if name in ITSELF:
        yield concept.code
    elif name == "display" and concept.display:
        yield concept.display
    elif name == "parent":
        yield from concept.parents
    elif name == "child":
        yield from system.children(concept.code)
    else:
        yield from (item.text for item in concept.properties if item.code == name)


# Operator -> whether a concept's code is selected by the filter's value.
_HIERARCHICAL: Mapping[str, Callable[[CodeSystem, str, str], bool]] = {
    "is-a": lambda system, value, code: system.subsumes(value, code),
    "descendent-of": lambda system, value, code: code != value and system.subsumes(value, code),
    "is-not-a": lambda system, value, code: not system.subsumes(value, code),
    "generalizes": lambda system, value, code: system.subsumes(code, value),
}
_LISTED: Mapping[str, Callable[[CodeSystem, str], Iterable[str]]] = {
    "is-a": lambda system, value: system.below(value),
    "descendent-of": lambda system, value: (code for code in system.below(value) if code != value),
    "generalizes": lambda system, value: system.above(value),
}

_Test = Callable[[tuple[str, ...]], bool]


def _equal(value: str, spend: Spend) -> _Test:
    return lambda found: value in found


def _in(value: str, spend: Spend) -> _Test:
    wanted = frozenset(_parts(value))
    return lambda found: not wanted.isdisjoint(found)


def _not_in(value: str, spend: Spend) -> _Test:
    wanted = frozenset(_parts(value))
    return lambda found: wanted.isdisjoint(found)


def _exists(value: str, spend: Spend) -> _Test:
    if value not in ("true", "false"):
        raise UnsupportedFilter("exists takes true or false")
    return lambda found: bool(found) is (value == "true")


def _regex(value: str, spend: Spend) -> _Test:
    try:
        pattern = _pattern(value)
    except UnsupportedPattern as error:
        raise UnsupportedFilter(f"the regular expression is not supported: {error}") from error

    def test(found: tuple[str, ...]) -> bool:
        spend(sum(map(len, found)) * pattern.states // _STATES_A_STEP)
        return any(pattern.matches(text) for text in found)

    return test


# A step of work is as long as so many states of a pattern for one character.
_STATES_A_STEP = 10
_pattern = lru_cache(maxsize=32)(Pattern)


def _parts(value: str) -> Iterable[str]:
    return (part.strip() for part in value.split(","))


_VALUES: Mapping[str, Callable[[str, Spend], _Test]] = {
    "=": _equal,
    "in": _in,
    "not-in": _not_in,
    "exists": _exists,
    "regex": _regex,
}
