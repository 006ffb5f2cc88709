"""SMART scopes in plain words, for the consent page and the page of what was granted (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from server.auth.narrowing import Option, options
from server.auth.scopes import Scope, parse_scopes
from server.policy.scope_choices import kind_of, scope_choices

_EVERYTHING = "Everything"
_LEVELS = {
    "patient": "In this patient's record",
    "user": "In every record you may use",
}
_OF_OTHERS = {
    _LEVELS["patient"]: "In one patient's record",
    _LEVELS["user"]: "In every record the person may use",
}
_VERBS = (("rs", "see"), ("c", "add"), ("u", "change"), ("d", "delete"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One line with its tick box. id: of the element. narrower: what may be ticked in its place."""

    id: str
    scope: str
    title: str
    text: str
    narrower: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """What reaches the same records."""

    title: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Holding:
    """What an app has of one type. kinds: the only ones it has, none where it has all of them."""

    title: str
    verbs: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """What an app has in the same records."""

    title: str
    holdings: tuple[Holding, ...]


def consent_groups(asked: str) -> tuple[Group, ...]:
    """The resource scopes of a request as tick boxes, by what they reach."""
    entries = [
        (option.scope.level, _entry(f"scope-{number}", option)) for number, option in enumerate(options(asked))
    ]
    return tuple(
        Group(title, tuple(entry for of, entry in entries if of == level))
        for level, title in _LEVELS.items()
        if any(of == level for of, _ in entries)
    )


def scope_sentences(scope: str) -> tuple[str, ...]:
    """What a granted scope lets a program do, told to others: a sentence for each set of records it reaches."""
    return tuple(
        f"{_OF_OTHERS[group.title]}: {', '.join(map(_in_short, group.holdings))}."
        for group in held_groups(scope)
    )


def _in_short(holding: Holding) -> str:
    only = f", only {', '.join(holding.kinds)}" if holding.kinds else ""
    return f"{holding.title} ({holding.verbs}{only})"


def held_groups(granted: str) -> tuple[Held, ...]:
    """What a granted scope holds, kinds of one type together, by what it reaches."""
    scopes = parse_scopes(granted)
    return tuple(
        Held(title, _holdings(scope for scope in scopes if scope.level == level))
        for level, title in _LEVELS.items()
        if any(scope.level == level for scope in scopes)
    )


def _holdings(scopes: Iterable[Scope]) -> tuple[Holding, ...]:
    found: dict[tuple[str, str], list[str] | None] = {}
    for scope in scopes:
        key = (_title(scope.resource_type), _verbs(scope))
        kinds = found.setdefault(key, [])
        if not scope.criteria:
            found[key] = None
        elif kinds is not None:
            kinds.append(_limits(scope))
    return tuple(
        Holding(title, verbs, tuple(dict.fromkeys(kinds or ()))) for (title, verbs), kinds in found.items()
    )


def _entry(id: str, option: Option, *, within: str = "") -> Entry:
    """within: the type whose kinds these are, "" for none."""
    scope = option.scope
    limits, title = _limits(scope), _title(scope.resource_type)
    text = _verbs(scope).capitalize()
    if within:
        title, text = limits, ""
    elif limits:
        text += f", only {limits}"
    elif scope.resource_type == "*":
        text += ", also what is added to records later"
    inner = scope.resource_type if scope.resource_type != "*" else ""
    return Entry(
        id,
        scope.written,
        title,
        text,
        tuple(
            _entry(f"{id}-{number}", narrower, within=inner) for number, narrower in enumerate(option.narrower)
        ),
    )


def _title(resource_type: str) -> str:
    """What people call a type; for one without such a word its FHIR name, taken apart."""
    if resource_type == "*":
        return _EVERYTHING
    title = scope_choices().types.get(resource_type)
    if title is None:
        words = re.findall(r"[A-Z][a-z]*", resource_type)
        title = " ".join([words[0], *(word.lower() for word in words[1:])])
    return title


def _verbs(scope: Scope) -> str:
    verbs = [verb for letters, verb in _VERBS if set(letters) & set(scope.permissions)]
    return " and ".join([", ".join(verbs[:-1]), verbs[-1]] if len(verbs) > 1 else verbs)


def _limits(scope: Scope) -> str:
    """What a granular scope is limited to, "" where it is not."""
    return "; ".join(_limit(scope.resource_type, criterion) for criterion in scope.criteria)


def _limit(resource_type: str, criterion: tuple[str, str]) -> str:
    kind = kind_of(resource_type, criterion)
    name, value = criterion
    return kind.title if kind is not None else f"where {name} is {value.rpartition('|')[2]}"
