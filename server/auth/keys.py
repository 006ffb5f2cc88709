"""Signing keys of the authorization server: RSA pairs that sign id tokens, and the public set of them.

A key lies in `BATON_HOME/keys/signing-NNNN.pem`, PKCS #8 encrypted under a passphrase derived from
BATON_SECRET_KEY, mode 0600. The newest signs; all are published until they are removed.
Sources: OpenID Connect Core 1.0 section 10, RFC 7517, RFC 7638 (`kid`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from server.auth.credentials import derived_key

ALGORITHM = "RS256"
KEY_BITS = 2048


class SigningKeyError(Exception):
    """A key file cannot be read with this BATON_SECRET_KEY; the text says which."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """keys: oldest first, never empty."""

    keys: tuple[RSAKey, ...]

    def sign(self, claims: dict[str, Any]) -> str:
        """A compact JWT of the claims, signed by the newest key."""
        key = self.keys[-1]
        return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}, claims, key, [ALGORITHM])

    def public_set(self) -> dict[str, Any]:
        """The JWK Set to publish."""
        return {
            "keys": [
                {**key.as_dict(private=False), "kid": key.kid, "use": "sig", "alg": ALGORITHM}
                for key in self.keys
            ]
        }


def signing_keys(home: Path, secret_key: bytes) -> SigningKeys:
    """The keys of BATON_HOME, newest last; the first one is made when there is none.

    Raises: SigningKeyError when a file was encrypted under another BATON_SECRET_KEY.
    """
    folder = home / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    passphrase = derived_key(secret_key, "signing keys").hex()
    if not any(folder.glob("signing-*.pem")):
        _write_key(folder / "signing-0001.pem", passphrase)
    return SigningKeys(tuple(_read_key(path, passphrase) for path in sorted(folder.glob("signing-*.pem"))))


def _write_key(path: Path, passphrase: str) -> None:
    """Write a new key whole or not at all; where another process was quicker, keep that one's."""
    pem = RSAKey.generate_key(KEY_BITS).as_pem(private=True, password=passphrase)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def _read_key(path: Path, passphrase: str) -> RSAKey:
    try:
        return _import_key(path.read_bytes(), passphrase)
    except (ValueError, TypeError):
        raise SigningKeyError(
            f"keys/{path.name} was written under another BATON_SECRET_KEY: restore that key, or move the file "
            "away to start with a new one (id tokens signed before can then no longer be verified)"
        ) from None


@lru_cache(maxsize=8)
def _import_key(pem: bytes, passphrase: str) -> RSAKey:
    """The key of a file. Checking an RSA key costs 50 ms, so a process does it once for each content."""
    key = RSAKey.import_key(pem, password=passphrase)
    key.ensure_kid()
    return key
