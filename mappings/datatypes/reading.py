"""Components as FHIR can hold them: without surrounding space, without characters that its texts exclude."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition, Value

# FHIR's string excludes control characters but tab, line feed and carriage return (hl7.org/fhir/R4/datatypes);
# surrogates are what is left of bytes that no character set explains, and no UTF-8 can hold them.
_EXCLUDED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACE = re.compile(r"\s+")
# A string of FHIR holds at most 1 MiB; longer content belongs into an Attachment.
LONGEST = 1024 * 1024


def clean(content: str) -> str:
    """A text without characters that FHIR's string excludes and without surrounding space."""
    return _EXCLUDED.sub("", content).strip()


def said(value: Value) -> str:
    """The text of a component, "" for an empty one and for `\"\"`. Nothing is counted as used."""
    return clean(value.text)


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
    leaf = value.value(component, subcomponent)
    content = said(leaf)
    if not content:
        return ""
    if len(content) > LONGEST:
        scope.warn("text-too-long", leaf, "longer than a string of FHIR may be (1 MiB); the rest is left out")
        content = content[:LONGEST].rstrip()
    scope.used(leaf, path, table)
    return content


def as_code(content: str) -> str:
    """A text as FHIR's code: single spaces inside."""
    return _SPACE.sub(" ", content)


def as_uri(content: str) -> str:
    """A text as FHIR's uri: no spaces at all."""
    return _SPACE.sub("", content)
