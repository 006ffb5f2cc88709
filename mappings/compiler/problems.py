"""What is wrong with a map, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A mistake or (`is_warning`) something that is probably one. line, column: 1-based."""

    file: str
    line: int
    column: int
    text: str
    is_warning: bool = False

    def __str__(self) -> str:
        kind = "warning: " if self.is_warning else ""
        return f"{self.file}:{self.line}:{self.column}: {kind}{self.text}"


class MappingErrors(Exception):
    """Maps that cannot be used. `problems`: all of them, in the order of files and lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` - did you mean X?` for the known word that is most like this one, "" where none is."""
    names = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), names, 1, 0.6)
    return f"; did you mean {names[close[0]]!r}?" if close else ""
