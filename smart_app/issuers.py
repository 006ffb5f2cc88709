"""Which FHIR servers may launch the app, and who the app is there: BATON_HOME/app-issuers.json.

The file is a list of `{iss, client_id, label, store, auth, client_secret?, frame_ancestors?,
worker_client_id?, exchange_client_id?, exchange?}`, mode
0600. In demo mode the own store is there by default. The file is read again when it changes, so that
an issuer added beside a running app is known at once.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import msgspec

from smart_app.settings import Settings

ClientAuth = Literal["private_key_jwt", "client_secret_basic", "none"]
CLIENT_AUTHS: tuple[ClientAuth, ...] = get_args(ClientAuth)
DEMO_CLIENT = "baton-app"
DEMO_WORKER = "baton-app-worker"
DEMO_EXCHANGE = "baton-app-exchange"
FILE_NAME = "app-issuers.json"
_TEXTS = ("iss", "client_id", "label", "auth", "client_secret", "worker_client_id", "exchange_client_id")


class IssuerFault(ValueError):
    """An issuer's configuration cannot be used; the text names the field."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """One FHIR server that may launch the app.

    iss: its FHIR base URL, without trailing slash. store: whether it is the store as well, so that
    its tokens may save and sign. auth: how the app proves itself at the token endpoint.
    frame_ancestors: origins that may frame the app, beside the origin of `iss`.
    """

    iss: str
    client_id: str
    label: str
    store: bool = False
    auth: ClientAuth = "private_key_jwt"
    client_secret: str = field(default="", repr=False)
    frame_ancestors: tuple[str, ...] = ()
    worker_client_id: str = DEMO_WORKER
    """The backend client of the app's worker, where this is the store."""
    exchange_client_id: str = DEMO_EXCHANGE
    """Who the app is where it exchanges another EHR's id tokens, where this is the store."""
    exchange: bool = False
    """Whether its users and patients can be connected with the store, by exchange of its id tokens."""

    @property
    def ancestors(self) -> tuple[str, ...]:
        """Every origin that may show the app in a frame."""
        return tuple(dict.fromkeys((origin(self.iss), *self.frame_ancestors)))


def origin(url: str) -> str:
    """Scheme and host of an address, as a browser compares them."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def issuer_from_record(record: Any) -> Issuer:
    """One entry of the file, or of the command line. Raises: IssuerFault."""
    if not isinstance(record, dict):
        raise IssuerFault("an issuer is not an object")
    texts = {name: record.get(name, "") for name in _TEXTS}
    if not all(isinstance(text, str) for text in texts.values()):
        raise IssuerFault("a field of an issuer is not text")
    iss = texts["iss"].rstrip("/")
    try:
        parts = urlsplit(iss)
    except ValueError:
        raise IssuerFault("iss is not an address") from None
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise IssuerFault("iss is not an http or https address without query")
    if not texts["client_id"]:
        raise IssuerFault("client_id is missing")
    auth = next((kind for kind in CLIENT_AUTHS if kind == (texts["auth"] or CLIENT_AUTHS[0])), None)
    if auth is None:
        raise IssuerFault(f"auth is not one of {', '.join(CLIENT_AUTHS)}")
    if auth == "client_secret_basic" and not texts["client_secret"]:
        raise IssuerFault("client_secret is missing")
    if record.get("store") is True and record.get("exchange") is True:
        raise IssuerFault("the store needs no exchange: it is for EHRs that are not the store")
    ancestors = record.get("frame_ancestors", [])
    if not isinstance(ancestors, list) or not all(_is_origin(text) for text in ancestors):
        raise IssuerFault("frame_ancestors is not a list of origins such as https://ehr.example")
    return Issuer(
        iss=iss,
        client_id=texts["client_id"],
        label=texts["label"] or parts.netloc,
        store=record.get("store") is True,
        auth=auth,
        client_secret=texts["client_secret"],
        frame_ancestors=tuple(ancestors),
        worker_client_id=texts["worker_client_id"] or DEMO_WORKER,
        exchange_client_id=texts["exchange_client_id"] or DEMO_EXCHANGE,
        exchange=record.get("exchange") is True,
    )


def _is_origin(text: Any) -> bool:
    """Whether the text is an origin and nothing that could end a CSP directive."""
    if not isinstance(text, str) or any(character in text for character in " ;,'\"\r\n"):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https") and bool(parts.netloc) and text == f"{parts.scheme}://{parts.netloc}"
    )


class Issuers:
    """The known issuers, as the file has them now."""

    def __init__(self, home: Path, defaults: Iterable[Issuer] = ()) -> None:
        self._path = home / FILE_NAME
        self._defaults = {issuer.iss: issuer for issuer in defaults}
        self._read_at: tuple[int, int] | None = None
        self._known: dict[str, Issuer] = dict(self._defaults)

    def all(self) -> tuple[Issuer, ...]:
        self._read()
        return tuple(self._known.values())

    def find(self, iss: str) -> Issuer | None:
        """The issuer of that FHIR base URL; a trailing slash makes no difference."""
        self._read()
        return self._known.get(iss.rstrip("/"))

    def store(self) -> Issuer | None:
        """The issuer that is the store, if one is configured."""
        return next((issuer for issuer in self.all() if issuer.store), None)

    def add(self, issuer: Issuer) -> None:
        """Write an issuer into the file; one of the same `iss` is replaced."""
        kept = [record for record in self._records() if issuer_from_record(record).iss != issuer.iss]
        self._write([*kept, _record(issuer)])

    def remove(self, iss: str) -> bool:
        """Take an issuer out of the file; False if it was not there."""
        records = self._records()
        kept = [record for record in records if issuer_from_record(record).iss != iss.rstrip("/")]
        if len(kept) == len(records):
            return False
        self._write(kept)
        return True

    def _records(self) -> list[Any]:
        try:
            records = msgspec.json.decode(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except msgspec.DecodeError as error:
            raise IssuerFault(f"{FILE_NAME} is not JSON: {error}") from None
        if not isinstance(records, list):
            raise IssuerFault(f"{FILE_NAME} is not a list")
        return records

    def _read(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
        except FileNotFoundError:
            stamp = None
        if stamp == self._read_at:
            return
        listed = {issuer.iss: issuer for issuer in map(issuer_from_record, self._records())}
        self._known, self._read_at = self._defaults | listed, stamp

    def _write(self, records: list[Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{FILE_NAME}.")
        with os.fdopen(descriptor, "wb") as stream:  # mkstemp opens with mode 0600
            stream.write(msgspec.json.format(msgspec.json.encode(records), indent=2))
        Path(name).replace(self._path)


def _record(issuer: Issuer) -> dict[str, Any]:
    record: dict[str, Any] = {
        "iss": issuer.iss,
        "client_id": issuer.client_id,
        "label": issuer.label,
        "store": issuer.store,
        "auth": issuer.auth,
    }
    if issuer.client_secret:
        record["client_secret"] = issuer.client_secret
    if issuer.store:
        record["worker_client_id"] = issuer.worker_client_id
        record["exchange_client_id"] = issuer.exchange_client_id
    if issuer.exchange:
        record["exchange"] = True
    if issuer.frame_ancestors:
        record["frame_ancestors"] = list(issuer.frame_ancestors)
    return record


def read_issuers(settings: Settings) -> Issuers:
    """The issuers of an installation; a demonstration knows its own store from the start."""
    own = Issuer(settings.store_base, DEMO_CLIENT, "Baton", store=True)
    return Issuers(settings.home, (own,) if settings.demo else ())
