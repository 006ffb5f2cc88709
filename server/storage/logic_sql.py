"""AND and OR of many predicates, bracketed as balanced trees: SQLite refuses expressions deeper than 1,000."""

from __future__ import annotations

from collections.abc import Iterable

TRUE = "1 = 1"
FALSE = "1 = 0"


def any_of(parts: Iterable[str]) -> str:
    """Any of the predicates holds; FALSE for none. Safe to put beside an AND."""
    kept = [part for part in dict.fromkeys(parts) if part != FALSE]
    return TRUE if TRUE in kept else _tree(kept, "OR", FALSE)


def all_of(parts: Iterable[str]) -> str:
    """All of the predicates hold; TRUE for none. Safe to put beside an OR."""
    kept = [part for part in dict.fromkeys(parts) if part != TRUE]
    return FALSE if FALSE in kept else _tree(kept, "AND", TRUE)


def _tree(parts: list[str], operator: str, empty: str) -> str:
    if not parts:
        return empty
    if len(parts) == 1:
        return f"({parts[0]})"
    if len(parts) <= 8:
        return "(" + f" {operator} ".join(f"({part})" for part in parts) + ")"
    middle = len(parts) // 2
    left, right = (_tree(half, operator, empty) for half in (parts[:middle], parts[middle:]))
    return f"({left} {operator} {right})"
