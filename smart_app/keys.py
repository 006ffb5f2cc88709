"""The app's own key pairs, with which it proves itself to authorization servers (private_key_jwt).

BATON_HOME/app-keys.json holds the private keys (mode 0600), BATON_HOME/app-jwks.json the public ones
for whoever registers the app. Both algorithms that SMART names are there, since a server need support
only one. Source: hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

ALGORITHMS = ("ES384", "RS384")  # in the order of preference
PRIVATE_FILE = "app-keys.json"
PUBLIC_FILE = "app-jwks.json"
ASSERTION_SECONDS = 300  # SMART: exp no more than five minutes ahead


@dataclass(frozen=True, slots=True)
class AppKeys:
    """The private keys, by algorithm."""

    keys: dict[str, ECKey | RSAKey]

    def algorithm(self, announced: Sequence[str]) -> str:
        """Our best algorithm of those a server announces; none announced: our best."""
        return next((name for name in ALGORITHMS if name in announced), ALGORITHMS[0])

    def assertion(self, client_id: str, audience: str, algorithm: str, *, now: int, jti: str) -> str:
        """A client assertion, good for five minutes from `now` (seconds of the epoch)."""
        key = self.keys[algorithm]
        header = {"alg": algorithm, "typ": "JWT", "kid": key.kid}
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
            "jti": jti,
        }
        return jwt.encode(header, claims, key, algorithms=[algorithm])

    def public_jwks(self) -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False) for key in self.keys.values()]}


def load_keys(home: Path) -> AppKeys:
    """The keys of an installation. Raises: FileNotFoundError before `prepare_keys`."""
    record = msgspec.json.decode((home / PRIVATE_FILE).read_bytes())
    keys = KeySet.import_key_set(record).keys
    return AppKeys({str(key.get("alg")): key for key in keys if isinstance(key, ECKey | RSAKey)})


def prepare_keys(home: Path) -> AppKeys:
    """Create the key pairs once, and write the public ones beside them; safe when two start at once."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / PRIVATE_FILE
    if not path.exists():
        fresh: list[ECKey | RSAKey] = [
            ECKey.generate_key("P-384", {"use": "sig", "alg": "ES384"}, auto_kid=True),
            RSAKey.generate_key(3072, {"use": "sig", "alg": "RS384"}, auto_kid=True),
        ]
        record = {"keys": [key.as_dict(private=True) for key in fresh]}
        _place_once(path, msgspec.json.encode(record), 0o600)
    keys = load_keys(home)
    public = msgspec.json.encode(keys.public_jwks())
    target = home / PUBLIC_FILE
    if not target.exists() or target.read_bytes() != public:
        draft = home / f".{PUBLIC_FILE}.{os.getpid()}"
        draft.write_bytes(public)
        draft.replace(target)
    return keys


def _place_once(path: Path, content: bytes, mode: int) -> None:
    """Write a file that appears whole or not at all; the first writer wins."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
