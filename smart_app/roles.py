"""Which role a person has in the app, by PractitionerRole.code and Practitioner.qualification (pure).

The table is `data/practitioner-roles.toml`; a person who fits no row has no role and may only look.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

Resource = Mapping[str, Any]


@cache
def _rows() -> tuple[tuple[str, frozenset[str], frozenset[str]], ...]:
    text = resources.files("smart_app").joinpath("data/practitioner-roles.toml").read_text()
    return tuple(
        (row["role"], frozenset(row["codes"]), frozenset(row["words"])) for row in tomllib.loads(text)["role"]
    )


def role_of(practitioner: Resource, practitioner_roles: Sequence[Resource] = ()) -> str:
    """The role, "" for none. What a PractitionerRole says goes before a qualification.

    Inactive PractitionerRoles do not count. Within one source the order of the table decides.
    """
    concepts = [
        [
            concept
            for role in practitioner_roles
            if role.get("active") is not False
            for concept in _list(role, "code")
        ],
        [item.get("code") for item in _list(practitioner, "qualification") if isinstance(item, dict)],
    ]
    for source in concepts:
        codes, words = set(_codes(source)), set(_words(source))
        for role, role_codes, role_words in _rows():
            if codes & role_codes or words & role_words:
                return role
    return ""


def display_name(practitioner: Resource) -> str:
    """The name people use: `text`, else prefix, given, family; "" where there is none."""
    for name in _list(practitioner, "name"):
        if not isinstance(name, dict):
            continue
        if isinstance(name.get("text"), str):
            return name["text"]
        parts = [*_list(name, "prefix"), *_list(name, "given"), name.get("family")]
        words = " ".join(part for part in parts if isinstance(part, str))
        suffix = ", ".join(part for part in _list(name, "suffix") if isinstance(part, str))
        if words:
            return f"{words}, {suffix}" if suffix else words
    return ""


def _list(resource: Resource, name: str) -> list[Any]:
    value = resource.get(name)
    return value if isinstance(value, list) else []


def _codings(concepts: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for concept in concepts:
        if isinstance(concept, dict):
            yield from (coding for coding in _list(concept, "coding") if isinstance(coding, dict))


def _codes(concepts: Sequence[Any]) -> Iterator[str]:
    for coding in _codings(concepts):
        yield f"{coding.get('system', '')}|{coding.get('code', '')}"


def _words(concepts: Sequence[Any]) -> Iterator[str]:
    texts = [concept.get("text") for concept in concepts if isinstance(concept, dict)]
    texts += [coding.get("display") for coding in _codings(concepts)]
    for text in texts:
        if isinstance(text, str):
            yield " ".join(text.casefold().split())
