"""ST, TX, FT, ID, IS: texts and codes as sent (HL7 v2.9 ch. 2A)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mappings.datatypes.reading import as_code, as_uri, text
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition


def st(value: Repetition, scope: Scope) -> str | None:
    """ST, TX, FT and every other: the first component -> string."""
    return text(value, scope) or None


def id_code(value: Repetition, scope: Scope) -> str | None:
    """ID, IS and the first component of every other -> code, as sent."""
    return as_code(text(value, scope)) or None


def uri(value: Repetition, scope: Scope) -> str | None:
    """ST -> uri, as sent without spaces."""
    return as_uri(text(value, scope)) or None
