"""Token exchange: our app, launched by another EHR, acts here for the user and the patient of that launch.

The subject token is the EHR's id token. Who the user and the patient are here comes from links that people
confirmed; the token is good for 15 minutes, for that patient alone, and has no successor. An answer that says
no never says whether an account, a patient or a link exists.
Sources: RFC 8693, RFC 6749 section 5.2; docs/explanation/links.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, NoReturn

from authlib.consts import default_json_headers
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import BaseGrant, TokenEndpointMixin
from authlib.oauth2.rfc6749.errors import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    UnauthorizedClientError,
)

from server.auth.access import resource_types
from server.auth.context import AuthContext, record
from server.auth.discovery import TOKEN_EXCHANGE
from server.auth.identity_links import account_of, current, in_use, propose_staff
from server.auth.scopes import Scope, format_scope, negotiate, parse_scopes
from server.auth.sessions import fhir_user
from server.auth.subject_token import Subject, SubjectRefused, UnknownKey, judge
from server.auth.token_response import launch_context
from server.auth.tokens import add_access_token, grant_claims
from server.auth.trusted_issuers import KEYS_JOB, may_be_exchanged
from server.policy.roles import role
from server.storage.authorization import GrantRow, UserRow
from server.storage.identity_link_rows import LinkRow, issuer_basis, link_basis

ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a type, no secret
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type, no secret
LIFE = timedelta(minutes=15)
# How soon a token with an unknown key makes us ask its issuer for keys again.
_KEYS_AGAIN = timedelta(minutes=1)
_NOT_ACCEPTED = "The subject token is not accepted."


@dataclass(frozen=True, slots=True)
class _Allowed:
    """What is behind a request that may be granted."""

    subject: Subject
    staff: LinkRow
    patient: LinkRow
    user: UserRow
    scope: str


class TokenExchangeGrant(BaseGrant, TokenEndpointMixin):
    """urn:ietf:params:oauth:grant-type:token-exchange, for id tokens of trusted issuers."""

    GRANT_TYPE = TOKEN_EXCHANGE
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = ["private_key_jwt"]

    @property
    def _context(self) -> AuthContext:
        return self.server.context

    def validate_token_request(self) -> None:
        """Client and form, before anything is looked up."""
        client = self.authenticate_token_endpoint_client()
        self.request.client = client
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("This client may not exchange tokens.")
        form: Mapping[str, str] = self.request.form
        for name in ("subject_token", "nonce", "patient"):
            if not form.get(name):
                raise InvalidRequestError(f"{name} is missing.")
        if form.get("subject_token_type") != ID_TOKEN:
            raise InvalidRequestError(f"subject_token_type must be {ID_TOKEN}.")
        if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
            raise InvalidRequestError(f"Only {ACCESS_TOKEN} is issued.")
        if "actor_token" in form or "actor_token_type" in form:
            raise InvalidRequestError("The actor is the client itself: send no actor_token.")
        for name in ("resource", "audience"):
            if form.get(name, self._context.fhir_base).rstrip("/") != self._context.fhir_base:
                raise OAuth2Error("Tokens are issued for this FHIR server only.", error="invalid_target")

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        try:
            allowed = self._judge()
        except SubjectRefused as refused:
            if isinstance(refused, UnknownKey):
                self._ask_for_keys(refused)
            self._refuse(refused.reason)
        return 200, self._issue(allowed), default_json_headers

    def _judge(self) -> _Allowed:
        context, form, client = self._context, self.request.form, self.request.client
        subject = judge(context, form["subject_token"], form["nonce"], client.client_id)
        if subject.patient not in ("", form["patient"]):
            raise SubjectRefused("patient")
        staff = self._staff_link(subject)
        user = account_of(context, staff.here)
        if user is None:
            raise SubjectRefused("account")
        patient = context.store.identity_links.confirmed("patient", subject.issuer.issuer, form["patient"])
        if patient is None:
            raise SubjectRefused("unlinked-patient")
        there = current(context, "Patient", patient.here)
        if there is None:
            raise SubjectRefused("unlinked-patient")
        scope = negotiate(
            form.get("scope") or client.row.scope, client.row.scope, ("patient", "user"), resource_types()
        )
        scope = negotiate(scope, subject.issuer.scope, ("patient", "user"), resource_types())
        scope = _of_role(scope, user.role, reading_only=not in_use(there))
        if not scope:
            raise InvalidScopeError("The client may have none of these scopes.")
        return _Allowed(subject, staff, patient, user, scope)

    def _staff_link(self, subject: Subject) -> LinkRow:
        """The link to the one account that the token's names lead to; a user without any is proposed.

        Raises: SubjectRefused.
        """
        links = self._context.store.identity_links
        found = [
            link
            for name in subject.users
            if (link := links.confirmed("staff", subject.issuer.issuer, name)) is not None
        ]
        if not found:
            propose_staff(self._context, subject, self.request.client.client_id, subject.display)
            raise SubjectRefused("unlinked-staff")
        if len({link.here for link in found}) > 1:
            raise SubjectRefused("ambiguous-staff")
        return found[0]

    def _issue(self, allowed: _Allowed) -> dict[str, Any]:
        context, client_id = self._context, self.request.client.client_id
        now, issuer = context.clock(), allowed.subject.issuer.issuer
        act = {"sub": client_id}
        grant = GrantRow(
            grant_id=context.new_secret(),
            client_id=client_id,
            created=now,
            scope=allowed.scope,
            username=allowed.user.username,
            fhir_user=fhir_user(allowed.user),
            role=allowed.user.role,
            patient=allowed.patient.here,
            context={"act": act, "issuer": issuer},
        )
        token = {
            "access_token": context.new_secret(),
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": int(LIFE.total_seconds()),
            "scope": allowed.scope,
            "act": act,
            "fhirUser": f"{context.fhir_base}/{grant.fhir_user}",
            **launch_context(context, grant),
        }
        with context.rows.transaction():
            reason = self._withdrawn(allowed)
            if not reason:
                context.rows.add_grant(grant)
                details = {"act": act, "sub": grant.username, "fhirUser": token["fhirUser"]}
                claims = grant_claims(grant, allowed.scope, details)
                add_access_token(context, token["access_token"], claims, LIFE, grant.grant_id)
                bases = (
                    issuer_basis(issuer),
                    link_basis(allowed.staff.link_id),
                    link_basis(allowed.patient.link_id),
                )
                context.store.identity_links.add_bases(grant.grant_id, bases, now + LIFE)
                self._record("token-exchange", 200, f"{issuer} {allowed.scope}", grant)
        if reason:
            self._refuse(reason)
        return token

    def _withdrawn(self, allowed: _Allowed) -> str:
        """Within the transaction: what ended since it was judged, "" for nothing; the token is used up now.

        Issuer and links are held until the end, so that who ends one of them meets this grant.
        """
        links, subject = self._context.store.identity_links, allowed.subject
        issuer = links.issuer(subject.issuer.issuer, hold=True)
        if issuer is None or issuer.disabled or self.request.client.client_id not in issuer.clients:
            return "issuer"
        for link in (allowed.staff, allowed.patient):
            if links.confirmed(link.kind, link.issuer, link.there, hold=True) != link:
                return f"unlinked-{link.kind}"
        if not self._context.rows.use_assertion_id(f"id-token {issuer.issuer}", subject.once, subject.forget):
            return "replay"
        return ""

    def _ask_for_keys(self, refused: UnknownKey) -> None:
        """Let the worker fetch the issuer's keys: it may have changed them."""
        row, now = refused.issuer, self._context.clock()
        if row.jwks_uri and (row.jwks_fetched is None or now - row.jwks_fetched > _KEYS_AGAIN):
            self._context.store.jobs.enqueue(KEYS_JOB, f"{row.issuer} now", now, payload={"issuer": row.issuer})

    def _refuse(self, reason: str) -> NoReturn:
        """The same words for every reason; the audit trail has it."""
        self._record("exchange-refused", 400, reason)
        raise InvalidGrantError(_NOT_ACCEPTED)

    def _record(self, event: str, outcome: int, detail: str, grant: GrantRow | None = None) -> None:
        client_id = self.request.client.client_id
        record(
            self._context,
            event,
            outcome,
            principal=(grant.fhir_user or "") if grant else f"Client/{client_id}",
            client_id=client_id,
            username=grant.username if grant else "",
            patient=(grant.patient or "") if grant else "",
            request_id=self.request.request_id,
            detail=detail,
        )


def _of_role(granted: str, name: str, *, reading_only: bool) -> str:
    """What is left of scopes for a role, type by type. reading_only: of a record that is out of use."""
    held, words = role(name), []
    for scope in parse_scopes(granted):
        if not may_be_exchanged(scope):
            continue
        permitted = held.permissions(scope.resource_type)
        letters = "".join(
            letter
            for letter in scope.permissions
            if letter in permitted and not (reading_only and letter not in "rs")
        )
        words += [_written(scope, letters)] if letters else []
    return " ".join(dict.fromkeys(words))


def _written(scope: Scope, letters: str) -> str:
    if letters == scope.permissions:
        return scope.written
    return format_scope(scope.level, scope.resource_type, letters, scope.criteria)
