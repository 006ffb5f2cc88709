"""The searches that US Core asks for (searches.toml), and the judgement of what they find."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from us_core.values import at, escaped, holds, span, tokens, words

TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("searches.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of a type."""

    name: str
    kind: str
    paths: tuple[str, ...]

    def values(self, resource: dict[str, Any]) -> list[Any]:
        return [value for path in self.paths for value in at(resource, path.split("."))]

    def asked(self, resource: dict[str, Any]) -> str | None:
        """A value that finds this resource; None if it has none."""
        if self.kind == "id":
            return str(resource["id"])
        for value in self.values(resource):
            if self.kind == "reference":
                text = value.get("reference", "")
                return text.removeprefix("Patient/") if self.name == "patient" else text
            if self.kind == "canonical":
                return str(value)
            if self.kind == "token":
                for _, code in tokens(value):
                    return escaped(code)
            if self.kind == "string":
                for word in words(value):
                    return escaped(word)
            if self.kind == "date" and span(value):
                return value if isinstance(value, str) else f"ge{value['start']}" if "start" in value else None
        return None

    def fulfilled(self, resource: dict[str, Any], asked: str, strictly: bool) -> bool:
        """Whether one of the values, of which any will do, finds the resource. strictly: beyond any slack."""
        return any(self._fulfilled(resource, one, strictly) for one in re.split(r"(?<!\\),", asked))

    def _fulfilled(self, resource: dict[str, Any], asked: str, strictly: bool) -> bool:
        values = self.values(resource)
        plain = re.sub(r"\\(.)", r"\1", asked)
        if self.kind == "id":
            return bool(resource["id"] == plain)
        if self.kind == "reference":
            wanted = plain if "/" in plain else f"/{plain}"
            return any(value.get("reference", "").endswith(wanted) for value in values)
        if self.kind == "canonical":
            return any(value.partition("|")[0] == plain.partition("|")[0] for value in values)
        if self.kind == "token":
            system, bar, code = plain.rpartition("|")
            return any(
                own == code and (not bar or where in (system, ""))
                for value in values
                for where, own in tokens(value)
            )
        if self.kind == "string":
            return any(
                word.casefold().startswith(plain.casefold()) for value in values for word in words(value)
            )
        return any(holds(found, asked, strictly) for found in map(span, values) if found)


@dataclass(frozen=True, slots=True)
class Search:
    """A row of the table."""

    resource_type: str
    by: tuple[Parameter, ...]
    several: tuple[str, ...]

    def sample(self, resources: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The first resource that has a value of every parameter."""
        return next((r for r in resources if all(parameter.asked(r) for parameter in self.by)), None)

    def values(self, resource: dict[str, Any]) -> dict[str, str]:
        return {parameter.name: parameter.asked(resource) or "" for parameter in self.by}


def parameter_of(resource_type: str, name: str) -> Parameter:
    """The row of a type's parameter. Raises: KeyError if the table has none."""
    kind, *paths = TABLE[resource_type]["parameters"][name].split()
    return Parameter(name, kind, tuple(paths))
