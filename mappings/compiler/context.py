"""What the compiler knows at a place of a map: what is being built, what is being read, which names there
are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mappings.compiler.document import Node
from mappings.compiler.library import Library
from mappings.compiler.problems import Problem, did_you_mean
from mappings.compiler.v2_fields import NoField, datatype_of
from mappings.running.source_path import SourcePath, parse
from mappings.tables import Table


@dataclass(frozen=True, slots=True)
class Place:
    """type: of the element that rules write to, "" outside of resources. is_root: whether it is a resource.

    datatype: of the repetition that a loop is at, "" for one of an unknown type, None outside of such loops.
    pieces: those that this place is in.
    """

    type: str = ""
    is_root: bool = False
    datatype: str | None = None
    pieces: tuple[str, ...] = ()

    def building(self, type_name: str, *, is_root: bool = False) -> Place:
        return replace(self, type=type_name, is_root=is_root)


@dataclass(slots=True)
class Compilation:
    """One map on its way. references: names that rules use, each with where; names: those that resources have.

    paths: what is read, for documents. tables_used: code tables by name.
    """

    library: Library
    tables: Mapping[str, Table]
    problems: list[Problem] = field(default_factory=list)
    references: list[tuple[Node, str]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    tables_used: set[str] = field(default_factory=set)

    def wrong(self, node: Node, text: str) -> None:
        self.problems.append(node.problem(text))

    def doubtful(self, node: Node, text: str) -> None:
        self.problems.append(node.problem(text, is_warning=True))

    def only(self, node: Node, allowed: frozenset[str]) -> None:
        """Say of every key that is none of these that it is wrong."""
        for key, value in node.mapping.items():
            if key not in allowed:
                self.wrong(value, f"no word {key!r} here{did_you_mean(key, allowed)}")

    def path(self, node: Node, place: Place) -> tuple[SourcePath | None, str]:
        """The path that a node spells and the datatype there ("" unknown); None after saying what is wrong."""
        found = parse(node.text)
        if found is None:
            self.wrong(
                node, f"{node.text!r} is no place in a message: one is PID-3, PID-3[2].4.2 or, in a loop, .4"
            )
            return None, ""
        if not found.segment and place.datatype is None:
            self.wrong(node, f"{node.text!r} is read in a loop over repetitions (`foreach: PID-3`)")
            return None, ""
        try:
            return found, datatype_of(found, place.datatype or "")
        except NoField as error:
            self.wrong(node, str(error))
            return None, ""
