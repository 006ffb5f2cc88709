"""Heads of the audit chain: signed by the deployment's signing key, checked with its published key set.

A head is a JWT (`typ` audit-head+jwt, so that it can pass for no other token of ours) that claims the number
and the hash of the chain's last row. Its public key is kept with it, because keys rotate; whether that is a key
of this deployment is for whoever checks to say. A head can be noted in a file, to be compared with later.
Sources: RFC 7515, RFC 7638 (thumbprints), RFC 8725 section 3.11 (explicit typing).
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from server.auth.keys import ALGORITHM, SigningKeys
from server.storage.audit_chain import ChainEnd, Sign, SignedHead

TYPE = "audit-head+jwt"


class HeadError(Exception):
    """A head is not what it claims to be; the text says why."""


def head_signer(keys: SigningKeys, issuer: str, clock: Callable[[], datetime]) -> Sign:
    """What signs heads. issuer: the server's base URL. The signer raises SigningKeyError."""

    def sign(end: ChainEnd) -> SignedHead:
        key, now = keys.signer(), clock()
        header = {"alg": ALGORITHM, "kid": key.kid, "typ": TYPE}
        claims = {
            "iss": issuer,
            "iat": int(now.timestamp()),
            "sequence": end.sequence,
            "hash": end.hash.hex(),
        }
        return SignedHead(
            sequence=end.sequence,
            signed=now,
            signature=jwt.encode(header, claims, key, [ALGORITHM]),
            public_key=json.dumps(key.as_dict(private=False), separators=(",", ":"), sort_keys=True),
        )

    return sign


def check_head(head: SignedHead) -> tuple[ChainEnd, str]:
    """What a head's signature is over, and the thumbprint of the key that made it.

    Raises: HeadError.
    """
    try:
        key = _key(head.public_key)
        token = jwt.decode(head.signature, key, [ALGORITHM])
    except (JoseError, ValueError, TypeError, KeyError):
        raise HeadError("its signature is not right") from None
    claims = token.claims
    try:
        end = ChainEnd(int(claims["sequence"]), bytes.fromhex(claims["hash"]))
        signed = int(claims["iat"])
    except (ValueError, TypeError, KeyError):
        raise HeadError("its signature is over something else") from None
    if token.header.get("typ") != TYPE:
        raise HeadError("its signature is over something else")
    if end.sequence != head.sequence or signed != int(head.signed.timestamp()):
        raise HeadError("its signature is over another row or moment")
    return end, key.thumbprint()


def key_thumbprints(keys: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The thumbprints of the RSA keys of a JWK Set, by which keys are known to be ours.

    Raises: HeadError for a key that cannot be read.
    """
    try:
        return frozenset(
            RSAKey.import_key({"n": key["n"], "e": key["e"], "kty": "RSA"}).thumbprint()
            for key in keys
            if key.get("kty") == "RSA"
        )
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise HeadError("a key of the key set cannot be read") from None


def note_end(path: Path, end: ChainEnd, head: SignedHead | None) -> None:
    """Write down how far the chain reaches, with the newest head, as JSON; whole or not at all.

    Raises: OSError.
    """
    noted: dict[str, Any] = {"sequence": end.sequence, "hash": end.hash.hex()}
    if head is not None:
        noted["signed_sequence"] = head.sequence
        noted["signature"] = head.signature
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(noted, stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def noted_end(path: Path) -> ChainEnd:
    """What `note_end` wrote. Raises: OSError, HeadError."""
    try:
        noted = json.loads(path.read_bytes())
        return ChainEnd(int(noted["sequence"]), bytes.fromhex(noted["hash"]))
    except (ValueError, TypeError, KeyError):
        raise HeadError(f"{path.name} is no head of an audit chain") from None


@lru_cache(maxsize=32)
def _key(public_key: str) -> RSAKey:
    """A key of a head, as what its numbers say and nothing else it may claim."""
    known = json.loads(public_key)
    return RSAKey.import_key({"kty": "RSA", "n": known["n"], "e": known["e"]})
