"""Clients in the console: the form that registers one, and what is shown of one. Neither Flask nor SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server.auth import client_changes
from server.auth.actor import Actor
from server.auth.clients import ASYMMETRIC, PUBLIC, SYMMETRIC, Registration, RegistrationError
from server.auth.context import AuthContext
from server.storage.authorization import ClientRow
from server.storage.authorization_pages import ClientPage, ClientQuery

KINDS: Mapping[str, str] = {
    PUBLIC: "Public: a browser or mobile app that keeps no secret",
    SYMMETRIC: "With a secret: a server that keeps one",
    ASYMMETRIC: "With its own keys",
}
STATES: Mapping[str, bool | None] = {"": None, "enabled": False, "disabled": True}
FIELDS = (
    "name",
    "kind",
    "scope",
    "redirect_uris",
    "launch_url",
    "frame_ancestors",
    "jwks",
    "jwks_uri",
    "backend",
)
_FORM_LIMIT = 65_536  # characters of a field


@dataclass(frozen=True, slots=True)
class Key:
    """A public key of a client."""

    kid: str
    kind: str
    expires: str


@dataclass(frozen=True, slots=True)
class Action:
    """What an administrator can do to a client. event: of the audit trail. fits: to which ones.

    run: answers with a secret that is shown this once, "" for none. question: asked before, "" for none.
    """

    event: str
    button: str
    done: str
    run: Callable[[AuthContext, Actor, str], str | None]
    fits: Callable[[ClientRow], bool]
    question: str = ""


ACTIONS: Mapping[str, Action] = {
    "disable": Action(
        "client-disable",
        "Disable",
        "Disabled. Its grants and tokens have ended.",
        client_changes.disable,
        lambda row: not row.disabled,
        "Disable {name}? Its grants and tokens end at once, everywhere.",
    ),
    "enable": Action(
        "client-enable",
        "Enable",
        "Enabled. People and services ask for access anew.",
        client_changes.enable,
        lambda row: row.disabled,
    ),
    "rotate-secret": Action(
        "client-secret",
        "New secret",
        "The new secret counts from now on.",
        client_changes.rotate_secret,
        lambda row: row.kind == SYMMETRIC and not row.disabled,
        "Make a new secret for {name}? The old one is good for nothing at once; the app needs the new one to go"
        " on.",
    ),
}


def clients_page(context: AuthContext, query: ClientQuery) -> ClientPage:
    """A page of clients; one whose id is the text stands alone."""
    exact = context.rows.client(query.text) if query.text and query.after is None else None
    if exact is not None and (query.disabled is None or exact.disabled is query.disabled):
        return ClientPage((exact,), None)
    return context.store.authorization_pages.clients(query)


def registration(form: Mapping[str, str], client_id: str) -> Registration:
    """What a form asks for. Raises: RegistrationError for what cannot be read."""
    if any(len(form.get(name, "")) > _FORM_LIMIT for name in FIELDS):
        raise RegistrationError("a field is longer than any client needs")
    kind = form.get("kind", "")
    if kind not in KINDS:
        raise RegistrationError("say how the client signs in")
    given = {name: form.get(name, "").strip() for name in FIELDS}
    if len(given["name"]) > 200 or not given["name"].isprintable():
        raise RegistrationError("a name is at most 200 printable characters on one line")
    keyed = kind == ASYMMETRIC
    if keyed and given["jwks"] and given["jwks_uri"]:
        raise RegistrationError("give the client's keys, or their URL, not both")
    return Registration(
        client_id=client_id,
        name=given["name"],
        kind=kind,
        scope=given["scope"],
        backend=given["backend"] == "1",
        redirect_uris=tuple(given["redirect_uris"].split()),
        launch_url=given["launch_url"],
        frame_ancestors=tuple(given["frame_ancestors"].split()),
        jwks=key_set(given["jwks"]) if keyed and given["jwks"] else None,
        jwks_uri=given["jwks_uri"] if keyed else "",
    )


def key_set(text: str) -> dict[str, Any]:
    """A JWKS as somebody put it into a form. Raises: RegistrationError."""
    try:
        if len(text) > _FORM_LIMIT:
            raise ValueError
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise RegistrationError('the keys cannot be read: a JWKS is JSON, {"keys": [...]}') from None
    return document


def keys_of(jwks: Mapping[str, Any]) -> tuple[Key, ...]:
    """The public keys of a key set, as a client registered or published it."""
    keys = jwks.get("keys", ())
    return tuple(
        Key(str(key.get("kid", "")), _kind(key), str(key["exp"]) if "exp" in key else "")
        for key in keys
        if isinstance(key, dict)
    )


def _kind(key: Mapping[str, Any]) -> str:
    parts = (key.get("kty"), key.get("crv"), key.get("alg"))
    return " ".join(part for part in parts if isinstance(part, str))
