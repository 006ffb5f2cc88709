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
    mime-type          type/subtype       a MIME type, whatever its parameters, in lower case (`:below`)
    version            url, version       a canonical of this version or one below it: 1 of 1.2.3 (`:below`)
    reference          "Type/id" or URL   a reference, canonical or uri

The length before each part keeps ("a", "bc") and ("ab", "c") apart. One law that SQL relies on:

    link_hash(parameter, reference_hash(r)) == reference_hash(r) XOR parameter_mask(parameter)

so that a row's own `self_hash` (the reference_hash of its "Type/id") and a parameter's mask give, inside SQL,
the hash under which other resources refer to it. At 64 bits one million values collide with probability
3e-8; where a collision would matter (conditional create) the caller checks the body of the hit.

Rows of dates, texts and quantities carry the number of their parameter, or in its place

    number XOR hash64("canonical")      quantities of a system: in base units if it is UCUM
    entry of a composite's token        what stands beside that token in one element; `code` and `token`
                                        entries. Then the entry is the number of all else, of masks too.

    unit of a quantity = hash64("unit", text) as written, 0 for none; in the rows of a system
                         hash64("dimension", base units) of UCUM, else hash64("unit-system", system, code)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b

from server.fhir.search_query import (
    EntriesValue,
    InCompartment,
    MissingValue,
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
    return PRESENT_ENTRY ^ parameter_mask(parameter)


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


def of_type_entry(type_system: str, type_code: str, value: str) -> int:
    """The same before the parameter's mask."""
    return hash64("of-type", type_system, type_code, value)


def code_entries(system: str, codes: Iterable[str]) -> Iterator[int]:
    """`system|code` of each code, before a parameter's mask."""
    return (hash64("token", system, code) for code in codes)


def system_entry(system: str) -> int:
    """`system|`, before a parameter's mask."""
    return hash64("system", system)


def mime_type_entry(mime_type: str) -> int:
    """A MIME type whatever its parameters, before a parameter's mask."""
    return hash64("mime-type", mime_type.partition(";")[0].strip().lower())


def version_entry(url: str, version: str) -> int:
    """A canonical of this version or one below it, before a parameter's mask."""
    return hash64("version", url, version)


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


def dimension_hash(dimension: str) -> int:
    """The unit of a quantity in base units. dimension: see `units.Unit`."""
    return hash64("dimension", dimension)


def canonical_number(parameter: int) -> int:
    """What stands in the place of the parameter's number in the rows of quantities of a system."""
    return parameter ^ CANONICAL


def probes(parameter: SearchParameter, modifier: str, value: Value) -> tuple[int, ...]:
    """The hashes of which any one, found in the token index, means that the value matches.

    For token, reference and uri values and for `:missing` (then: the presence hashes, whatever is asked).
    A bare id of a parameter with many target types has one hash a type. Raises: TypeError for values
    that are not answered by tokens (string, date, number, quantity).
    """
    number = parameter.number
    if isinstance(value, MissingValue):
        return tuple(presence_hash(part) for part in parameter.parts or (number,))
    if isinstance(value, EntriesValue):
        mask = parameter_mask(number)
        return tuple(entry ^ mask for entry in value.entries)
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


def compartment_probes(asked: InCompartment) -> tuple[int, ...]:
    """The hashes of which any one, found in the token index, puts a resource into the compartment."""
    target = reference_hash(f"{asked.resource_type}/{asked.id}")
    return tuple(link_hash(parameter.number, target) for parameter in asked.parameters)


# The parameter selects at least one value, before its mask.
PRESENT_ENTRY = hash64("present")
# What makes the number of a parameter the one of its quantities of a system (XOR).
CANONICAL = hash64("canonical")
