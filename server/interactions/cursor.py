"""Paging cursors: opaque to clients, signed, good only for the question and the caller they were made for."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec

from server.errors import FhirError

PARAMETER = "_cursor"
_SIGNATURE_BYTES = 16
_FORM = b"2"  # of the payload: a cursor of an earlier release, which spoke JSON, is none of these


def seal_cursor(key: bytes, question: object, position: Any) -> str:
    """A cursor that continues `question` at `position`: text, numbers, None and lists of these.

    question: whatever must be equal when the cursor comes back; only its repr goes into the signature.
    """
    payload = msgspec.msgpack.encode(position)  # JSON has no infinity, and the start of "< 5" is minus that
    return urlsafe_b64encode(_sign(key, question, payload) + payload).decode().rstrip("=")


def open_cursor(key: bytes, question: object, cursor: str) -> Any:
    """The position a cursor stands for.

    Raises: FhirError invalid-search for anything but a cursor made here for the same question.
    """
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    if not payload or not hmac.compare_digest(signature, _sign(key, question, payload)):
        raise FhirError("invalid-search", "the cursor does not belong to this search; follow links unchanged")
    return msgspec.msgpack.decode(payload)


def _sign(key: bytes, question: object, payload: bytes) -> bytes:
    message = _FORM + hashlib.sha256(repr(question).encode("utf-8", "surrogatepass")).digest() + payload
    return hmac.digest(key, message, "sha256")[:_SIGNATURE_BYTES]
