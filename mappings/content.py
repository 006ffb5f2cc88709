"""What of a component FHIR can hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mappings.hl7v2.message import Value

# FHIR's string excludes control characters but tab, line feed and carriage return (hl7.org/fhir/R4/datatypes);
# surrogates are what is left of bytes that no character set explains, and no UTF-8 can hold them.
_EXCLUDED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def clean(content: str) -> str:
    """A text without characters that FHIR's string excludes and without surrounding space."""
    return content.strip() if content.isprintable() else _EXCLUDED.sub("", content).strip()


def said(value: Value) -> str:
    """The text of a component, "" for an empty one and for `\"\"`."""
    return value.said
