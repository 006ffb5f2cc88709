"""Secrets of the authorization server: opaque values, their stored form, passwords, derived keys.

Stored is only what cannot be used to impersonate: opaque values as HMAC-SHA256 under a key derived from
BATON_SECRET_KEY (whoever can write the database but lacks the key cannot make a token), passwords as scrypt.
Sources: RFC 5869; RFC 7914; scrypt's cost from the OWASP Password Storage Cheat Sheet.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from server.policy.common_passwords import is_common

# scrypt's n, r and p: 2**15 * 8 * 128 = 32 MiB, three passes: about 0.1 s a check.
PASSWORD_COST = (2**15, 8, 3)
PASSWORD_LEAST = 12  # characters
_PASSWORD_LIMIT = 1024


def new_secret() -> str:
    """An opaque value of 256 random bits, 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def derived_key(secret_key: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose out of BATON_SECRET_KEY (HKDF-SHA256)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"baton " + purpose.encode()).derive(secret_key)


def keyed_hash(key: bytes, value: str) -> bytes:
    """The stored form of an opaque value: 32 bytes."""
    return hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256")


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32
    )


def hash_password(password: str) -> str:
    """`scrypt$n$r$p$salt$hash`, with a fresh salt."""
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, *PASSWORD_COST)
    parts = ("scrypt", *PASSWORD_COST, b64encode(salt).decode(), b64encode(digest).decode())
    return "$".join(map(str, parts))


def verify_password(password: str, stored: str) -> bool:
    """Whether the password is the one hashed. A stored value of "" costs the same time and is never equal."""
    if len(password) > _PASSWORD_LIMIT:
        return False
    if not stored:
        _scrypt(password, b"no such account.", *PASSWORD_COST)
        return False
    _, n, r, p, salt, digest = stored.split("$")
    return hmac.compare_digest(_scrypt(password, b64decode(salt), int(n), int(r), int(p)), b64decode(digest))


def password_fault(password: str, username: str) -> str | None:
    """Why the password cannot be an account's, None when it can: length, name, and not one of those that are
    guessed first; no rules of composition.

    Source: NIST SP 800-63B section 5.1.1.2.
    """
    if len(password) < PASSWORD_LEAST:
        return f"the password has fewer than {PASSWORD_LEAST} characters"
    if len(password) > _PASSWORD_LIMIT:
        return f"the password has more than {_PASSWORD_LIMIT} characters"
    if password.casefold() == username.casefold():
        return "the password is the user name"
    if is_common(password):
        return "the password is among those that are guessed first, or made of one of them"
    return None
