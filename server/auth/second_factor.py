"""The second factor of an account: set up, asked for, replaced, taken away. No web framework.

The secret is kept sealed (AES-256-GCM under a key derived from BATON_SECRET_KEY, bound to the account),
recovery codes as keyed hashes. A code is taken once, in one process of all; so is a recovery code. Sources:
RFC 6238 section 5.2, NIST SP 800-63B sections 5.1.4 and 5.1.2 (look-up secrets).
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from typing import NoReturn
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.auth import totp
from server.auth.context import AuthContext, record
from server.auth.credentials import derived_key
from server.auth.throttle import Key, Throttled, begin, succeeded
from server.policy.second_factor import needs_second_factor
from server.storage.authorization import UserRow
from server.storage.sign_in import SecondFactorRow

RECOVERY_CODES = 10
_RECOVERY_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is mistaken for another
_RECOVERY_LENGTH = 10  # 49 bits
_NONCE_BYTES = 12
_TYPED_LIMIT = 64


class CodeRefused(Exception):
    """The code is not right, or was used before; the text is for the person."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the person takes over into an authenticator app, by typing or by its QR code."""

    secret: str
    uri: str


def is_enrolled(context: AuthContext, username: str) -> bool:
    """Whether the account has a second factor in force."""
    row = context.store.sign_in.second_factor(username)
    return row is not None and bool(row.secret)


def is_needed(context: AuthContext, user: UserRow) -> bool:
    """Whether the account may not be without one."""
    return needs_second_factor(user.role, context.second_factor)


def begin_enrolment(context: AuthContext, username: str) -> None:
    """A new secret to be confirmed. One that is in force stays so until then."""
    row = context.store.sign_in.second_factor(username) or SecondFactorRow(username)
    pending = _sealed(context, username, secrets.token_bytes(totp.SECRET_BYTES))
    context.store.sign_in.put_second_factor(replace(row, pending=pending))


def enrolment(context: AuthContext, username: str) -> Enrolment | None:
    """The secret that waits to be confirmed, None where there is none."""
    row = context.store.sign_in.second_factor(username)
    secret = _opened(context, username, row.pending) if row else None
    if secret is None:
        return None
    issuer = f"Baton {urlsplit(context.base_url).hostname}"
    return Enrolment(totp.secret_text(secret), totp.key_uri(secret, issuer, username))


def confirm_enrolment(context: AuthContext, user: UserRow, typed: str) -> tuple[str, ...]:
    """Put the new secret into force by a first code; the recovery codes, shown this once.

    Raises: CodeRefused, Throttled.
    """
    username, key = user.username, Key("second-factor", user.username)
    _begin(context, username, key)
    row = context.store.sign_in.second_factor(username)
    secret = _opened(context, username, row.pending) if row else None
    now = context.clock()
    step = totp.matching_step(secret, _plain(typed), now, after=0) if secret else None
    if row is None or step is None:
        _refuse(context, username, "enrolment")
    with context.rows.transaction():
        context.store.sign_in.put_second_factor(
            SecondFactorRow(username, secret=row.pending, since=now, last_step=step)
        )
        codes = _put_recovery_codes(context, username)
        succeeded(context, forget=(key,))
        record(context, "second-factor-enrol", 200, principal=_named(user), username=username)
    return codes


def check_code(context: AuthContext, user: UserRow, typed: str) -> str:
    """Take a code of the account's app, or a recovery code; "totp" or "recovery".

    Raises: CodeRefused, Throttled.
    """
    username, key = user.username, Key("second-factor", user.username)
    _begin(context, username, key)
    kind = _taken(context, username, _plain(typed))
    if not kind:
        _refuse(context, username, "")
    succeeded(context, forget=(key,))
    if kind == "recovery":
        record(context, "recovery-code-use", 200, principal=_named(user), username=username)
    return kind


def new_recovery_codes(context: AuthContext, user: UserRow) -> tuple[str, ...]:
    """Other recovery codes in place of those of before; shown this once."""
    with context.rows.transaction():
        codes = _put_recovery_codes(context, user.username)
        record(context, "recovery-codes", 200, principal=_named(user), username=user.username)
    return codes


def _taken(context: AuthContext, username: str, plain: str) -> str:
    """How the account proved itself, "" if it did not."""
    kept = context.store.sign_in
    row = kept.second_factor(username)
    secret = _opened(context, username, row.secret) if row else None
    if row is None or secret is None:
        return ""
    if len(plain) == totp.DIGITS and plain.isdigit():
        step = totp.matching_step(secret, plain, context.clock(), row.last_step)
        return "totp" if step is not None and kept.use_time_step(username, step) else ""
    return "recovery" if kept.use_recovery_code(username, _recovery_hash(context, username, plain)) else ""


def _begin(context: AuthContext, username: str, key: Key) -> None:
    try:
        begin(context, key)
    except Throttled:
        record(context, "second-factor-throttled", 429, principal=f"User/{username}", username=username)
        raise


def _refuse(context: AuthContext, username: str, detail: str) -> NoReturn:
    record(
        context,
        "second-factor-refused",
        401,
        principal=f"User/{username}",
        username=username,
        detail=detail,
    )
    raise CodeRefused("This code is not right, or was used before. Wait for the next one and type that.")


def _put_recovery_codes(context: AuthContext, username: str) -> tuple[str, ...]:
    codes = tuple(
        "".join(secrets.choice(_RECOVERY_LETTERS) for _ in range(_RECOVERY_LENGTH))
        for _ in range(RECOVERY_CODES)
    )
    context.store.sign_in.put_recovery_codes(
        username, [_recovery_hash(context, username, code) for code in codes]
    )
    half = _RECOVERY_LENGTH // 2
    return tuple(f"{code[:half]}-{code[half:]}" for code in codes)


def _recovery_hash(context: AuthContext, username: str, code: str) -> bytes:
    return context.hash(f"recovery {username} {code}")


def _plain(typed: str) -> str:
    """What was typed, without what people put between groups."""
    return "".join(letter for letter in typed[:_TYPED_LIMIT] if letter.isalnum()).lower()


def _named(user: UserRow) -> str:
    return f"Practitioner/{user.practitioner_id}" if user.practitioner_id else f"User/{user.username}"


def _sealing(context: AuthContext) -> AESGCM:
    return AESGCM(derived_key(context.token_key, "second factors"))


def _sealed(context: AuthContext, username: str, secret: bytes) -> str:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return b64encode(nonce + _sealing(context).encrypt(nonce, secret, username.encode())).decode()


def _opened(context: AuthContext, username: str, sealed: str) -> bytes | None:
    """None for none, and for one that was sealed under another BATON_SECRET_KEY: it is as good as lost."""
    if not sealed:
        return None
    packed = b64decode(sealed)
    try:
        return _sealing(context).decrypt(packed[:_NONCE_BYTES], packed[_NONCE_BYTES:], username.encode())
    except InvalidTag:
        return None
