"""ST, TX, FT, ID, IS: texts and switches (HL7 v2.9 ch. 2A)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mappings.datatypes.reading import as_code, as_uri, said, text
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition

# Table 0136, which everybody knows; some senders write the words or digits.
_YES_NO = {"Y": True, "YES": True, "1": True, "T": True, "TRUE": True} | dict.fromkeys(
    ("N", "NO", "0", "F", "FALSE"), False
)


def st(value: Repetition, scope: Scope) -> str | None:
    """ST, TX, FT and every other: the first component -> string."""
    return text(value, scope) or None


def id_code(value: Repetition, scope: Scope) -> str | None:
    """ID, IS and the first component of every other -> code, as sent."""
    return as_code(text(value, scope)) or None


def uri(value: Repetition, scope: Scope) -> str | None:
    """ST -> uri, as sent without spaces."""
    return as_uri(text(value, scope)) or None


def yes_no(value: Repetition, scope: Scope) -> bool | None:
    """ID of table 0136 -> boolean; None, with a finding, for what is neither yes nor no."""
    leaf = value.value(1)
    content = said(leaf)
    if not content:
        return None
    found = _YES_NO.get(content.upper())
    if found is None:
        scope.warn("code-unknown", leaf, "neither yes nor no (table 0136)")
        return None
    scope.used(leaf)
    return found
