"""What a concept is, and what a code system is to whoever asks it.

Sources: hl7.org/fhir/R4/codesystem.html, hl7.org/fhir/R4/codesystem-concept-properties.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from server.terminology.words import Words


@dataclass(frozen=True, slots=True)
class Designation:
    """Another term for a concept. use: a Coding, None where none is stated."""

    value: str
    language: str = ""
    use: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Property:
    """type: one of R4's types of concept properties. value: as JSON has it."""

    code: str
    type: str
    value: Any

    @property
    def text(self) -> str:
        """The value as filters compare it; of a Coding, its code."""
        value = self.value.get("code", "") if isinstance(self.value, Mapping) else self.value
        return ("true" if value else "false") if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Concept:
    """parents: codes of the concepts directly above it. abstract: it groups others and is not to be chosen."""

    code: str
    display: str
    parents: tuple[str, ...] = ()
    properties: tuple[Property, ...] = ()
    designations: tuple[Designation, ...] = ()
    inactive: bool = False
    abstract: bool = False

    def terms(self) -> Iterator[str]:
        """Everything the concept is called."""
        yield self.display
        yield from (designation.value for designation in self.designations)


class CodeSystem(Protocol):
    """One version of a code system, wherever it comes from.

    content: "complete" where all codes are known; otherwise nothing follows from what is missing. meaning: of
    the hierarchy, "" where none is known. case_sensitive: None where nobody says. properties: code -> type.
    """

    @property
    def url(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def content(self) -> str: ...
    @property
    def meaning(self) -> str: ...
    @property
    def case_sensitive(self) -> bool | None: ...
    @property
    def value_set(self) -> str:
        """Canonical of the value set of all codes, "" for none."""
        ...

    @property
    def properties(self) -> Mapping[str, str]: ...
    @property
    def is_complete(self) -> bool: ...
    @property
    def is_listed(self) -> bool:
        """Whether `codes` gives the codes that are known; those of a grammar can only be judged."""
        ...

    @property
    def cost(self) -> int:
        """What looking at a concept costs, in steps of a `Budget`."""
        ...

    def concept(self, code: str) -> Concept | None:
        """The concept of exactly this code."""
        ...

    def in_other_case(self, code: str) -> str:
        """The code that differs from this one in upper and lower case alone, "" for none or several."""
        ...

    def codes(self) -> Iterable[str]:
        """Every code, in a fixed order."""
        ...

    def matching(self, words: Words) -> Iterable[str]:
        """The codes of the concepts that are called so."""
        ...

    def having(self, name: str, values: Collection[str]) -> Iterable[str] | None:
        """The codes of the concepts with one of these values of a property; None where finding them means
        looking at every concept."""
        ...

    def children(self, code: str) -> Collection[str]: ...

    def below(self, code: str) -> Iterable[str]:
        """The code and all that it subsumes, in a fixed order; nothing for one that the system lacks."""
        ...

    def above(self, code: str) -> Iterable[str]:
        """The code and all that subsume it, in a fixed order; nothing for one that the system lacks."""
        ...

    def subsumes(self, above: str, below: str) -> bool:
        """Whether one code is the other or an ancestor of it."""
        ...
