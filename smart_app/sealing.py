"""Seals values that the app keeps at rest: AES-256-GCM under a key derived from the secret.

The name under which a value is kept is authenticated with it, so that a row cannot be moved to
another session. Sources: RFC 5869 (HKDF), NIST SP 800-38D (GCM).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12


class Unreadable(Exception):
    """The value was not sealed by this key under this name."""


def derive_key(secret: bytes, purpose: str) -> bytes:
    """A 256-bit key for one purpose."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"baton-app/" + purpose.encode()).derive(secret)


def fingerprint(secret: str) -> str:
    """What the database keeps of a random credential of 256 bits: its SHA-256, never itself."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Seal:
    """Seals and opens values, and signs short tokens."""

    def __init__(self, secret: bytes, purpose: str, random: Callable[[int], bytes] = os.urandom) -> None:
        self._cipher = AESGCM(derive_key(secret, purpose))
        self._signing_key = derive_key(secret, f"{purpose}/tokens")
        self._random = random

    def seal(self, value: bytes, name: str) -> bytes:
        nonce = self._random(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Raises: Unreadable (another key, another name, or damaged)."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError):
            raise Unreadable from None

    def token(self, *parts: str) -> str:
        """A token that only the holder of the secret can make for these parts."""
        text = "\x00".join(parts).encode()
        return hmac.new(self._signing_key, text, hashlib.sha256).hexdigest()

    def is_token(self, given: str, *parts: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token(*parts).encode())
