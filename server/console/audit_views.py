"""The console's pages of the audit trail, for roles that may search AuditEvents. Looking is audited, too."""

from __future__ import annotations

from flask import Blueprint, Response, request

from server.auth.context import AuthContext, record
from server.console.audit import (
    Filters,
    audit_query,
    lines,
    next_key,
    read_filters,
    row_at,
    timeline,
)
from server.errors import FhirError
from server.policy.roles import Role
from server.staff_area import page, sentences, staff_principal
from server.storage.interface import Store

CLIENT_ID = "console"
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
    "logout",
    "launch",
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
    "client-add",
    "client-disable",
    "client-refresh",
    "client-keys-rotate",
    "keys-rotate",
    "user-add",
    "user-disable",
    "user-enable",
    "user-password",
    "user-role",
    "token-exchange",
    "exchange-refused",
    "link-propose",
    "link-confirm",
    "link-refuse",
    "link-revoke",
    "issuer-add",
    "issuer-disable",
    "issuer-refresh",
    "audit-search",
    "audit-read",
    "audit-malformed",
)
AUDIT_PAGES = frozenset({"console.audit", "console.audit_row"})


def may_see_audit(held: Role) -> bool:
    """Whether a role may look at the audit trail."""
    return "s" in held.permissions("AuditEvent")


def add_audit_pages(pages: Blueprint, store: Store, auth: AuthContext) -> None:
    """Add the pages below /console/audit."""

    def note(event: str, patient: str, filters: Filters | None = None) -> None:
        """Audit that somebody looks, before anything is shown."""
        who = staff_principal(CLIENT_ID)
        asked = filters.used() if filters else {}
        record(
            auth,
            event,
            200,
            principal=who.name,
            client_id=CLIENT_ID,
            username=who.username,
            patient=patient,
            detail=" ".join(sorted(asked)),
        )

    @pages.get("/audit")
    def audit() -> Response:
        now = auth.clock()
        filters = read_filters(request.args, now)
        after = request.args.get("after", "")
        problem, status, found, plot = "", 200, None, None
        try:
            query = audit_query(filters, after)
            note("audit-search", filters.patient, filters)
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
            numbers=request.args.get("numbers", "") == "1",
            following=next_key(found) if found else "",
            problem=problem,
        )

    @pages.get("/audit/<key>")
    def audit_row(key: str) -> Response:
        sequence, line = row_at(store, key)
        note("audit-read", line.row.patient)
        return page("console/audit_row.html", sequence=sequence, line=line)
