"""Signed 64-bit hashes of the token index: what a search probes instead of text.

Layout, stored for ever (never change a tag, an order or an encoding; golden vectors stand in the tests):

    text       = concatenation over parts of  <number of characters in decimal> ":" <part>
    hash64     = first 8 bytes of BLAKE2b(digest size 8) over the UTF-8 of text, big-endian, signed
    mask       = hash64("mask", <parameter number in decimal>)
    entry of a parameter = hash64(<tag>, <field>, ...) XOR mask

    tag                field ...          stands for
    present            -                  the parameter selects at least one value (`:missing`)
    token              system, code       `system|code`, and with system "" `|code`
    code               code               `code`, whatever its system
    system             system             `system|`
    identifier         system, value      `reference:identifier=system|value`, and with system "" `|value`
    identifier-value   value              `reference:identifier=value`
    identifier-system  system             `reference:identifier=system|`
    of-type            system, code, value   an identifier by its type (`:of-type`)
    reference          "Type/id" or URL   a reference, canonical or uri

The length before each part keeps ("a", "bc") and ("ab", "c") apart. One law that SQL relies on:

    link_hash(parameter, reference_hash(r)) == reference_hash(r) XOR parameter_mask(parameter)

so that a row's own `self_hash` (the reference_hash of its "Type/id") and a parameter's mask give, inside SQL,
the hash under which other resources refer to it. At 64 bits one million values collide with probability
3e-8; where a collision would matter (conditional create) the caller checks the body of the hit.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from server.fhir.search_query import (
    MissingValue,
    QuantityValue,
    ReferenceValue,
    SearchParameter,
    TokenValue,
    UriValue,
    Value,
)


def hash64(*parts: str) -> int:
    """Hash of the parts in their order; ("a", "bc") and ("ab", "c") differ."""
    text = "".join([f"{len(part)}:{part}" for part in parts])
    return int.from_bytes(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True
    )


@lru_cache(maxsize=8192)
def parameter_mask(parameter: int) -> int:
    """What makes an entry the one of a parameter (XOR)."""
    return hash64("mask", str(parameter))


def presence_hash(parameter: int) -> int:
    """The parameter selects at least one value of the resource (`:missing`)."""
    return _PRESENT ^ parameter_mask(parameter)


def token_hash(parameter: int, system: str, code: str) -> int:
    """`system|code`; system "" for a value without a system (`|code`)."""
    return hash64("token", system, code) ^ parameter_mask(parameter)


def code_hash(parameter: int, code: str) -> int:
    """`code` in any system or none."""
    return hash64("code", code) ^ parameter_mask(parameter)


def system_hash(parameter: int, system: str) -> int:
    """`system|`: any code of the system."""
    return hash64("system", system) ^ parameter_mask(parameter)


def identifier_hash(parameter: int, system: str | None, value: str | None) -> int:
    """`reference:identifier=system|value` of a logical reference.

    system None: in any system or none; "": without a system. value None: any value of the system.
    """
    if system is None:
        return hash64("identifier-value", value or "") ^ parameter_mask(parameter)
    if value is None:
        return hash64("identifier-system", system) ^ parameter_mask(parameter)
    return hash64("identifier", system, value) ^ parameter_mask(parameter)


def of_type_hash(parameter: int, type_system: str, type_code: str, value: str) -> int:
    """`identifier:of-type=system|code|value`."""
    return hash64("of-type", type_system, type_code, value) ^ parameter_mask(parameter)


@lru_cache(maxsize=8192)  # the resources of one chart refer to the same few others
def reference_hash(reference: str) -> int:
    """A target, whoever refers to it: "Type/id" of this server, or an absolute or canonical URL."""
    return hash64("reference", reference)


def link_hash(parameter: int, target: int) -> int:
    """The parameter refers to the target. target: a reference_hash."""
    return target ^ parameter_mask(parameter)


def unit_hash(system: str | None, code: str) -> int:
    """The unit of a quantity: of `number|system|code`, and with system None of `number||code`."""
    return hash64("unit", code) if system is None else hash64("unit-system", system, code)


def probes(parameter: SearchParameter, modifier: str, value: Value) -> tuple[int, ...]:
    """The hashes of which any one, found in the token index, means that the value matches.

    For token, reference and uri values and for `:missing` (then: the presence hash, whatever is asked).
    A bare id of a parameter with many target types has one hash a type. Raises: TypeError for values
    that are not answered by tokens (string, date, number, quantity).
    """
    number = parameter.number
    if isinstance(value, MissingValue):
        return (presence_hash(number),)
    if isinstance(value, TokenValue):
        if modifier == "identifier":
            return (identifier_hash(number, value.system, value.code),)
        if value.code is None:
            return (system_hash(number, value.system or ""),)
        code = value.code.casefold() if parameter.folds_case else value.code
        if value.system is None:
            return (code_hash(number, code),)
        return (token_hash(number, value.system, code),)
    if isinstance(value, ReferenceValue):
        if value.url is not None:
            return (link_hash(number, reference_hash(value.url)),)
        types = parameter.targets if value.resource_type is None else (value.resource_type,)
        return tuple(link_hash(number, reference_hash(f"{name}/{value.id}")) for name in types)
    if isinstance(value, UriValue):
        return (link_hash(number, reference_hash(value.uri)),)
    raise TypeError(f"{type(value).__name__} is not answered by the token index")


def unit_probe(value: QuantityValue) -> int | None:
    """The unit hash a quantity row must carry, None when a search names no unit."""
    return None if value.code is None else unit_hash(value.system, value.code)


_PRESENT = hash64("present")
