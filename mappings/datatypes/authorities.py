"""HD and the like: who assigned an identifier or defined a code, as a URI (HL7 v2.9 ch. 2A, HD; table 0301)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from mappings.datatypes.reading import as_uri, said
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition, Value

_OID = re.compile(r"(?:urn:oid:)?([0-2](?:\.(?:0|[1-9][0-9]*))+)", re.ASCII)
_UUID = re.compile(r"(?:urn:uuid:)?\{?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\}?", re.ASCII)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?", re.ASCII)


def _oid(sent: str) -> str:
    found = _OID.fullmatch(sent)
    return f"urn:oid:{found[1]}" if found else ""


def _uuid(sent: str) -> str:
    found = _UUID.fullmatch(sent)
    return f"urn:uuid:{found[1].lower()}" if found else ""


def _uri(sent: str) -> str:
    return sent if _URI.fullmatch(sent) else ""


def _dns(sent: str) -> str:
    return f"urn:dns:{sent}" if _NAME.fullmatch(sent) else ""


# Universal id type (table 0301) -> its URI. A universal id without a type is tried in this order.
_KINDS: dict[str, Callable[[str], str]] = {
    "ISO": _oid,
    "UUID": _uuid,
    "GUID": _uuid,
    "URI": _uri,
    "URL": _uri,
    "DNS": _dns,
}
_UNMARKED = (_oid, _uuid, _uri)


@dataclass(frozen=True, slots=True)
class Authority:
    """An HD: namespace id, universal id, universal id type."""

    namespace: Value
    universal: Value
    kind: Value

    @classmethod
    def of(cls, value: Repetition, first: int = 1) -> Authority:
        """The HD that starts at a component (2 in an EI)."""
        return cls(value.value(first), value.value(first + 1), value.value(first + 2))


def oid_uri(sent: str) -> str:
    """An OID as a URI, "" for what is none."""
    return _oid(sent)


def uri_as_sent(sent: str) -> str:
    """What is a URI or an OID by itself, as a URI; else ""."""
    return _oid(sent) or _uri(sent)


@lru_cache(1024)
def local_uri(name: str) -> str:
    """The URI of a name that has no other."""
    return f"urn:id:{quote(name, safe='-._~')}"


def source_uri(scope: Scope, kind: str) -> str:
    """The URI of what only this source knows the meaning of: its beds, its local codes."""
    return f"{local_uri(scope.source.name)}:{quote(kind, safe='-._~')}"


def configured(scope: Scope, name: str) -> str:
    """The URI that a name or OID has for this source, else the one that table `authorities` gives, else ""."""
    found = scope.source.systems.get(name)
    if found:
        return as_uri(found)
    row = scope.table("authorities", name)
    return row.target if row is not None else ""


def system(authority: Authority, scope: Scope, path: str = "system", name_path: str = "") -> str:
    """The URI of an authority, "" where nothing names one; components are counted as used for `path`.

    A universal id says it best; with a namespace only, the source's configuration does, or it becomes
    `urn:id:<namespace>` with a finding. A namespace beside a universal id goes to `name_path`, if one is given.
    """
    namespace, universal = said(authority.namespace), said(authority.universal)
    found = _universal(authority, universal, scope) if universal else ""
    if found:
        scope.used(authority.universal, path)
        scope.used(authority.kind, path)
    elif namespace:
        found = configured(scope, namespace)
        if not found:
            found = local_uri(namespace)
            scope.warn("namespace-unknown", authority.namespace, "no system is configured for this namespace")
        scope.used(authority.namespace, path)
        return found
    elif universal:
        found = local_uri(universal)
        scope.used(authority.universal, path)
        scope.used(authority.kind, path)
    if namespace and name_path:
        scope.used(authority.namespace, name_path)
    return found


def _universal(authority: Authority, universal: str, scope: Scope) -> str:
    known = configured(scope, universal)
    if known:
        return known
    kind = said(authority.kind).upper()
    if not kind:
        return next((uri for rule in _UNMARKED if (uri := rule(universal))), "")
    rule = _KINDS.get(kind)
    if rule is None:
        return ""
    found = rule(universal)
    if not found:
        scope.warn("uri-invalid", authority.universal, "not of the kind that its type (table 0301) says")
    return found


def hd(value: Repetition, scope: Scope) -> str | None:
    """HD -> uri."""
    return system(Authority.of(value), scope, "") or None


def hd_name(value: Repetition, scope: Scope) -> str | None:
    """HD -> string: its namespace, else its universal id (the name of an application or facility)."""
    for leaf in (value.value(1), value.value(2)):
        if said(leaf):
            scope.used(leaf)
            return said(leaf)
    return None
