"""FHIR JSON, losslessly: decimals keep their digits, 1.50 stays 1.50.

Source: hl7.org/fhir/R4/json.html (precision of decimals must be preserved)
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

Resource = dict[str, Any]
"""A FHIR resource as parsed JSON; decimals are `Decimal`."""

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def decode(body: bytes) -> Resource:
    """A JSON object. Raises: ValueError if it is anything else, or nested beyond reason."""
    try:
        value = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError, ArithmeticError, UnicodeDecodeError):
        raise ValueError("not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def encode(resource: Resource) -> bytes:
    return _ENCODER.encode(resource)
