"""Reading JSON that may be malformed: the parts of a Dosage."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    # JSON comes as dict: the check for any other mapping costs ten times as much.
    return value if isinstance(value, (dict, Mapping)) else {}


def decimal(value: object) -> Decimal | None:
    """A finite JSON number, exactly; anything else is None."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def concept_words(concept: Mapping[str, Any]) -> str:
    """What a CodeableConcept says: its text, else a display, else a code; empty if it says nothing."""
    codings = [mapping(coding) for coding in concept.get("coding") or ()]
    displays = [str(coding.get("display") or "") for coding in codings]
    codes = [str(coding.get("code") or "") for coding in codings]
    return next((words for words in [str(concept.get("text") or ""), *displays, *codes] if words), "")
