"""The console's pages of the audit trail, for roles that may search AuditEvents. Looking is audited, too."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

from server.auth.context import AuthContext, record
from server.console.audit import (
    PAGE,
    Filters,
    audit_query,
    events,
    lines,
    next_key,
    read_filters,
    row_at,
    timeline,
)
from server.errors import FhirError
from server.policy.roles import Role
from server.staff_area import page, sentences, staff_principal
from server.storage.audit_values import AuditQuery
from server.storage.interface import Store

CLIENT_ID = "console"
# AuditEvents of one file; `baton audit export` writes any number.
EXPORTED = 2_000
# What a row's interaction can be, for the form; source: interactions.request, and `record` in server/auth.
INTERACTIONS = (
    "read",
    "vread",
    "search-type",
    "search-system",
    "history-instance",
    "history-type",
    "history-system",
    "create",
    "update",
    "delete",
    "batch",
    "transaction",
    "login",
    "login-refused",
    "login-locked",
    "login-throttled",
    "login-external-refused",
    "logout",
    "second-factor-enrol",
    "second-factor-refused",
    "second-factor-throttled",
    "second-factor-remove",
    "second-factor-reset",
    "recovery-code-use",
    "recovery-codes",
    "proof",
    "proof-refused",
    "session-end",
    "identity-link",
    "identity-unlink",
    "launch",
    "launch-refused",
    "authorize",
    "authorize-refused",
    "token-issue",
    "token-refresh",
    "token-mint",
    "token-revoke",
    "token-refused",
    "refresh-reuse",
    "code-reuse",
    "grant-withdraw",
    "grant-revoke",
    "client-add",
    "client-disable",
    "client-enable",
    "client-secret",
    "client-keys",
    "client-keys-rotate",
    "client-rotate-secret",
    "client-set-keys",
    "client-register",
    "client-register-refused",
    "client-update",
    "client-update-refused",
    "client-delete",
    "client-manage-refused",
    "invitation-add",
    "invitation-withdraw",
    "key-set-change",
    "keys-rotate",
    "user-add",
    "user-disable",
    "user-enable",
    "user-password",
    "password-refused",
    "user-role",
    "partner-add",
    "partner-agree",
    "partner-suspend",
    "partner-resume",
    "partner-end",
    "partner-client-add",
    "partner-user-add",
    "token-exchange",
    "exchange-refused",
    "link-list",
    "link-propose",
    "link-confirm",
    "link-refuse",
    "link-revoke",
    "issuer-add",
    "issuer-disable",
    "issuer-refresh",
    "audit-search",
    "audit-read",
    "audit-export",
    "audit-archive",
    "disclosures-read",
    "emergency-review",
    "hl7v2-search",
    "hl7v2-read",
    "hl7v2-replay",
    "hl7v2-park",
    "hl7v2-release",
    "hl7v2-discard",
    "hl7v2-source-settings",
    "hl7v2-source-confirmed",
    "hl7v2-source-disabled",
    "console-refused",
    "form-refused",
    "audit-malformed",
)
AUDIT_PAGES = frozenset({"console.audit", "console.audit_row", "console.audit_export"})


def may_see_audit(held: Role) -> bool:
    """Whether a role may look at the audit trail."""
    return "s" in held.permissions("AuditEvent")


def add_audit_pages(pages: Blueprint, store: Store, auth: AuthContext) -> None:
    """Add the pages below /console/audit."""

    def note(event: str, patient: str, filters: Filters | None = None, outcome: int = 200) -> None:
        """Audit that somebody looks, before anything is shown."""
        who = staff_principal(CLIENT_ID)
        asked = filters.used() if filters else {}
        record(
            auth,
            event,
            outcome,
            principal=who.name,
            client_id=CLIENT_ID,
            username=who.username,
            patient=patient,
            detail=" ".join(sorted(asked)),
        )

    def asked(event: str, filters: Filters, after: str, count: int = PAGE) -> AuditQuery:
        """The query of a form, noted whether or not it can be asked. Raises: FhirError."""
        try:
            query = audit_query(filters, after, count=count)
        except FhirError as error:
            note(event, "", filters, error.status)
            raise
        note(event, filters.patient, filters)
        return query

    @pages.get("/audit")
    def audit() -> Response:
        now = auth.clock()
        filters = read_filters(request.args, now)
        after = request.args.get("after", "")
        problem, status, found, plot = "", 200, None, None
        try:
            query = asked("audit-search", filters, after)
            found = store.search_audit(query)
            plot = timeline(store, query, now) if not after else None
        except FhirError as error:
            if error.status >= 500:
                raise
            problem, status = sentences(error), error.status
        return page(
            "console/audit.html",
            status,
            filters=filters,
            interactions=INTERACTIONS,
            lines=lines(found) if found else (),
            plot=plot,
            after=after,
            exported=EXPORTED,
            numbers=request.args.get("numbers", "") == "1",
            following=next_key(found) if found else "",
            problem=problem,
        )

    @pages.get("/audit/export")
    def audit_export() -> Response:
        filters = read_filters(request.args, auth.clock())
        query = asked("audit-export", filters, request.args.get("after", ""), count=EXPORTED)
        found = store.search_audit(query)
        answer = Response(events(found, auth.fhir_base), mimetype="application/fhir+ndjson")
        answer.headers["Content-Disposition"] = 'attachment; filename="audit-events.ndjson"'
        if following := next_key(found):
            further: dict[str, Any] = {**filters.used(), "after": following}
            more = url_for("console.audit_export", **further)
            answer.headers["Link"] = f'<{more}>; rel="next"'
        return answer

    @pages.get("/audit/<key>")
    def audit_row(key: str) -> Response:
        try:
            sequence, line = row_at(store, key)
        except FhirError as error:
            note("audit-read", "", outcome=error.status)
            raise
        note("audit-read", line.row.patient)
        return page("console/audit_row.html", sequence=sequence, line=line)
