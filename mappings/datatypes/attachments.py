"""ED, RP -> Attachment (v2-to-FHIR datatype maps; tables 0191, 0291, 0299)."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mappings.datatypes.reading import as_code, said
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*", re.ASCII)
_SUBTYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*", re.ASCII)
_MAJOR = frozenset({"application", "audio", "image", "text", "video", "model", "multipart"})
_SPACE = re.compile(r"\s+")
_ANY = "application/octet-stream"


def ed(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """ED -> Attachment with its content; what does not decode as it says is kept as the text it came as."""
    leaf = value.value(5)
    sent = said(leaf)
    if not sent:
        return None
    declared = media_type(value, scope, 2, 3)
    try:
        content, is_text = _decoded(value, sent, declared, scope)
    except ValueError:
        scope.warn("encoding-unknown", leaf, "does not decode as it says; kept as the text it came as")
        content, is_text, declared = sent.encode(), True, ""
    if not declared:
        declared = "text/plain" if is_text else _ANY
        if not is_text:
            scope.warn("media-type-unknown", leaf, "nothing says what kind of content it is")
    scope.used(leaf, "data")
    return {"contentType": declared, "data": base64.b64encode(content).decode("ascii")}


def _decoded(value: Repetition, sent: str, declared: str, scope: Scope) -> tuple[bytes, bool]:
    """Content as bytes, and whether it is text. Raises ValueError for what does not decode as it says."""
    encoding = value.value(4)
    kind = said(encoding).upper()
    packed = _SPACE.sub("", sent)
    content = b""
    if kind == "BASE64" or (not kind and declared and not declared.startswith("text/")):
        content = base64.b64decode(packed, validate=True)
    elif kind == "HEX":
        content = bytes.fromhex(packed)
    elif kind not in ("", "A"):
        scope.warn("encoding-unknown", encoding, "an encoding that table 0299 does not have; kept as text")
        return sent.encode(), True
    scope.used(encoding, "data")
    return (content, False) if content else (sent.encode(), True)


def rp(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """RP -> Attachment with a url."""
    leaf = value.value(1)
    pointer = said(leaf)
    if not pointer:
        return None
    scope.used(leaf, "url")
    found = {"url": quote(pointer, safe="!#$%&'()*+,/:;=?@[]~-._")}
    declared = media_type(value, scope, 3, 4)
    return {"contentType": declared, **found} if declared else found


def media_type(value: Repetition, scope: Scope, major: int, minor: int) -> str:
    """The media type that a type of data and its subtype say, "" for none; used for `contentType`."""
    kind, subtype = value.value(major), value.value(minor)
    whole, part = as_code(said(kind)), as_code(said(subtype))
    found, row = "", scope.table("0291", part) if part else None
    for sent in (part, whole):
        if not found and _MEDIA_TYPE.fullmatch(sent):
            found = sent.lower()
    if not found and row is not None:
        found = row.target
    if not found and whole.lower() in _MAJOR and _SUBTYPE.fullmatch(part):
        found = f"{whole}/{part}".lower()
    if found and part:
        scope.used(subtype, "contentType", row.name if row else "")
    general = scope.table("0191", whole) if whole else None
    if not found and general is not None and general.target:
        found = general.target
    if found and whole:
        scope.used(kind, "contentType", general.name if general else "")
    return found
