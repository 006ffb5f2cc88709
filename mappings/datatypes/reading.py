"""Components as FHIR can hold them: without surrounding space, without characters that its texts exclude."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mappings.content import clean, said
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition

__all__ = ["LONGEST", "as_code", "as_uri", "clean", "said", "text", "words"]

# A string of FHIR holds at most 1 MiB; longer content belongs into an Attachment.
LONGEST = 1024 * 1024


def text(
    value: Repetition,
    scope: Scope,
    path: str = "",
    component: int = 1,
    subcomponent: int = 1,
    *,
    table: str = "",
) -> str:
    """A component as a string, counted as used for `path`; cut at FHIR's 1 MiB, with a finding."""
    content = value.said(component, subcomponent)
    if not content:
        return ""
    leaf = value.value(component, subcomponent)
    if len(content) > LONGEST:
        scope.warn("text-too-long", leaf, "longer than a string of FHIR may be (1 MiB); the rest is left out")
        content = content[:LONGEST].rstrip()
    scope.used(leaf, path, table)
    return content


def words(value: Repetition) -> str:
    """All of a value as one text: a separator within a text was not always meant as one."""
    filled = [leaf for leaf in value.filled() if said(leaf)]
    return said(filled[0]) if len(filled) == 1 else clean(value.text) if filled else ""


def as_code(content: str) -> str:
    """A text as FHIR's code: single spaces inside."""
    return " ".join(content.split())


def as_uri(content: str) -> str:
    """A text as FHIR's uri: no spaces at all."""
    return "".join(content.split())
