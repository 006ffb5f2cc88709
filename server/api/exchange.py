"""One FHIR exchange: an HTTP request as plain values in, an HTTP answer as plain values out.

Flask and the WSGI dispatcher both come through here, so that they cannot answer differently.
Source: hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlencode

import msgspec

from server.api.headers import (
    FHIR_JSON,
    NO_PREFERENCES,
    Pairs,
    Preferences,
    answer_type,
    read_http_date,
    read_prefer,
    read_query,
    split_general,
)
from server.api.request_content import (
    ReadBody,
    read_form,
    read_large_bundle,
    read_patch_body,
    read_resource,
)
from server.auth.principal import Principal
from server.errors import FhirError
from server.fhir.json_codec import encode
from server.interactions.asynchronous import DEFERRABLE, start
from server.interactions.audit import audit_row
from server.interactions.etag import read_if_match, read_if_none_match
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionName, InteractionRequest, InteractionResponse
from server.interactions.routes import Route, find_route

# The Authorization header (or "") -> who calls. Raises FhirError unauthorized with WWW-Authenticate.
Authenticate = Callable[[str], Principal]

_NOBODY = Principal(client_id="", scopes=())
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
_WITHOUT_PARAMETERS = frozenset(
    {"create", "update", "patch", "delete", "batch", "transaction", "async-status", "async-cancel"}
)


# These take a condition where their URL names no id. R4 puts that of a create into If-None-Exist; some clients
# (fhirpy) put it into the URL like that of the others, where it means the same.
_CONDITIONAL = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request. path: relative to the FHIR base, decoded. query: still encoded. header: value by lower-case
    name, "" where absent."""

    method: str
    path: str
    query: str
    header: Callable[[str], str]
    read_body: ReadBody
    request_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. template: the route, for logs and metrics. client_id: who called, "" for nobody."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    template: str
    client_id: str = ""


def answer(context: Context, authenticate: Authenticate, exchange: Exchange) -> Answer:
    """Do what the exchange asks. Every FhirError is answered with its OperationOutcome; others pass through."""
    route, principal, media_type, pretty = None, _NOBODY, FHIR_JSON, False
    passed_on = False  # to the door, which audits what it refuses
    try:
        route = find_route(exchange.method, exchange.path)
        pairs, format, pretty = split_general(read_query(exchange.query, context.limits.query_parameters))
        media_type = answer_type(exchange.header("accept"), format)
        if exchange.method in _BODY_METHODS:
            snapshot: AbstractContextManager[object] = nullcontext()
        else:  # the token and the resource are read from one snapshot: opening one costs as much as a read
            snapshot = context.store.reading()
        with snapshot:
            if route.interaction != "capabilities":
                principal = authenticate(exchange.header("authorization"))
            preferred = read_prefer(prefer) if (prefer := exchange.header("prefer")) else NO_PREFERENCES
            later = preferred.asynchronous and route.interaction in DEFERRABLE
            request, kept = _request(context, exchange, route, pairs, preferred, later)
            passed_on = True
            if later:
                response = start(context, principal, request, kept)
            else:
                response = perform(context, principal, request)
    except FhirError as error:
        if route is not None and not passed_on:
            error = _audited(context, principal, route, exchange, error)
        template = route.template if route else "unknown"
        return refusal(error, media_type, pretty, template, principal.client_id)
    headers = list(response.headers.items())
    body = _with_body(headers, response.body, media_type, pretty)
    return Answer(response.status, *body, route.template, principal.client_id)


def _audited(
    context: Context, principal: Principal, route: Route, exchange: Exchange, error: FhirError
) -> FhirError:
    """The error of a request that never came to the door, once it is audited; or why it cannot be."""
    if route.interaction == "capabilities":
        return error
    request = InteractionRequest(
        cast(InteractionName, route.interaction),
        route.resource_type,
        route.id,
        operation=route.operation,
        compartment=route.compartment,
        request_id=exchange.request_id,
    )
    try:
        context.audit(audit_row(context, principal, request, InteractionResponse(error.status)))
    except FhirError as full:
        return full
    return error


def refusal(
    error: FhirError,
    media_type: str = FHIR_JSON,
    pretty: bool = False,
    template: str = "unknown",
    client_id: str = "",
) -> Answer:
    """The answer to what cannot be done."""
    headers = list(error.headers.items())
    body = encode(error.outcome())
    return Answer(error.status, *_with_body(headers, body, media_type, pretty), template, client_id)


def _with_body(
    headers: list[tuple[str, str]], body: bytes, media_type: str, pretty: bool
) -> tuple[list[tuple[str, str]], bytes]:
    if body:
        headers.append(("Content-Type", f"{media_type}; charset=utf-8"))
        if pretty:
            body = msgspec.json.format(body, indent=2)
    return headers, body


def _request(
    context: Context, exchange: Exchange, route: Route, pairs: Pairs, preferred: Preferences, later: bool
) -> tuple[InteractionRequest, bytes]:
    """What is asked. later: it is done later; then the body comes beside it, b"" for none, and not decoded."""
    header, limits = exchange.header, context.limits
    interaction, body, patch, kept = route.interaction, None, None, b""
    if exchange.method in _BODY_METHODS:
        content_type = header("content-type")
        if route.template.endswith("_search"):
            pairs = (*pairs, *read_form(limits, content_type, exchange.read_body))
        elif interaction == "patch":
            patch = read_patch_body(limits, content_type, exchange.read_body)
        elif later and interaction == "bundle":
            interaction, kept = read_large_bundle(limits, content_type, exchange.read_body)
        else:
            interaction, body = read_resource(limits, content_type, exchange.read_body, interaction)
            if later:
                kept, body = encode(body), None
    conditional = route.template == "{type}" and interaction in _CONDITIONAL
    if pairs and interaction in _WITHOUT_PARAMETERS and not conditional:
        raise FhirError("unsupported-search", f"{interaction} takes no parameters in its URL")
    if_none_exist = _if_none_exist(header("if-none-exist"), interaction)
    if pairs and interaction == "create":
        if if_none_exist is not None:
            raise FhirError("invalid-request", "a condition stands in If-None-Exist or in the URL, not in both")
        pairs, if_none_exist = (), urlencode(pairs)
    request = InteractionRequest(
        interaction=cast(InteractionName, interaction),
        resource_type=route.resource_type,
        id=route.id,
        version_id=route.version_id,
        operation=route.operation,
        query=pairs,
        body=body,
        if_match=read_if_match(header("if-match")),
        if_none_match=read_if_none_match(header("if-none-match")),
        if_modified_since=read_http_date(header("if-modified-since")),
        if_none_exist=if_none_exist,
        prefer_return=preferred.returned,
        prefer_handling=preferred.handling,
        request_id=exchange.request_id,
        compartment=route.compartment,
        patch=patch,
    )
    return request, kept


def _if_none_exist(value: str, interaction: str) -> str | None:
    return (value.partition("?")[2] if "?" in value else value) if value and interaction == "create" else None
