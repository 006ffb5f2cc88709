"""Signed 64-bit hashes of the token index: what a search probes instead of text.

A hash is the first 8 bytes of BLAKE2b over a tagged, length-delimited text, so no two kinds of entry share
a preimage. One law that SQL relies on:

    link_hash(parameter, reference_hash(r)) == reference_hash(r) XOR parameter_mask(parameter)

so that a row's own `self_hash` (the reference_hash of its "Type/id") and a parameter's mask give, inside SQL,
the hash under which other resources refer to it. The hashes are stored: never change a tag or an encoding.
At 64 bits one million values collide with probability 3e-8; where a collision would matter (conditional
create) the caller checks the body of the hit.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache


def hash64(*parts: str) -> int:
    """Hash of the parts in their order; ("a", "bc") and ("ab", "c") differ."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def presence_hash(parameter: int) -> int:
    """The parameter selects at least one value of the resource (`:missing`)."""
    return hash64("present", str(parameter))


def token_hash(parameter: int, system: str, code: str) -> int:
    """`system|code`; system "" for a value without a system (`|code`)."""
    return hash64("token", str(parameter), system, code)


def code_hash(parameter: int, code: str) -> int:
    """`code` in any system or none."""
    return hash64("code", str(parameter), code)


def system_hash(parameter: int, system: str) -> int:
    """`system|`: any code of the system."""
    return hash64("system", str(parameter), system)


def identifier_hash(parameter: int, system: str | None, value: str) -> int:
    """`reference:identifier=system|value` of a logical reference; system None: in any system or none."""
    if system is None:
        return hash64("identifier-value", str(parameter), value)
    return hash64("identifier", str(parameter), system, value)


def reference_hash(reference: str) -> int:
    """A reference target wherever it is referred from: "Type/id" of this server, or an absolute or canonical URL."""
    return hash64("reference", reference)


@lru_cache(maxsize=8192)
def parameter_mask(parameter: int) -> int:
    """What turns a reference hash into the one of a parameter's reference (XOR)."""
    return hash64("mask", str(parameter))


def link_hash(parameter: int, target: int) -> int:
    """The parameter refers to the target. target: a reference_hash."""
    return target ^ parameter_mask(parameter)
