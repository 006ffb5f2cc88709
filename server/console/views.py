"""The engineer's console: pages behind a sign-in and a role that may use them.

Navigation is data (NAVIGATION); a page more is a row more. Nothing here reads resources but through the door.
"""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response, g, make_response, redirect, request, url_for

from server.auth.context import AuthContext, record
from server.auth.sessions import Session
from server.console.audit_views import AUDIT_PAGES, add_audit_pages, may_see_audit
from server.console.client_views import add_client_pages
from server.console.comparison import add_comparison_page
from server.console.disclosures_views import DISCLOSURE_PAGES, add_disclosure_pages
from server.console.emergency_views import EMERGENCY_PAGES, add_emergency_pages
from server.console.emergency_views import NAVIGATION as EMERGENCY_LINK
from server.console.grant_views import ScopeWords, add_grant_pages
from server.console.key_views import add_key_pages
from server.console.link_views import add_link_pages
from server.console.messages_views import add_message_pages
from server.console.partner_views import add_partner_pages
from server.console.policy_views import add_policy_pages
from server.console.queue_views import POLLED, add_queue_pages, is_dangerous
from server.console.resources import instance as read_instance
from server.console.resources import resource_page
from server.console.search_explain import add_search_explain_pages
from server.emergencies import EmergencyAccesses
from server.errors import FhirError
from server.fhir.validation import RESOURCE_TYPES
from server.hl7v2.current_maps import CurrentMaps
from server.interactions.request import Context
from server.policy.roles import Role, role
from server.staff_area import page, sentences, staff_area, staff_principal

CLIENT_ID = "console"
NAVIGATION = (
    ("Data", (("Resources", "console.resources"), ("Search explained", "console.search_explain"))),
    ("Operation", (("Queue", "console.queue"), ("HL7 v2 messages", "console.messages"))),
    (
        "Access",
        (
            ("Clients", "console.clients"),
            ("Partners", "console.partners"),
            ("Grants", "console.grants"),
            ("Links", "console.links"),
            ("Signing keys", "console.keys"),
            ("Policies", "console.policies"),
        ),
    ),
    ("Oversight", (("Audit trail", "console.audit"), ("Disclosures", "console.disclosures"), EMERGENCY_LINK)),
)
DEFAULT_TYPE = "Patient"
# What lets somebody in or shuts them out is for whoever has just proved who they are.
PROOF_NEEDED = frozenset(
    f"console.{name}"
    for name in (
        "client_registration",
        "register_client",
        "client_question",
        "client_action",
        "client_keys",
        "client_keys_page",
        "partner_question",
        "partner_action",
        "grant_question",
        "grant_revoke",
        "link_question",
        "link_action",
    )
)
# For those who may search the audit trail; all other pages are for roles with a console.
OVERSIGHT_PAGES = AUDIT_PAGES | DISCLOSURE_PAGES | EMERGENCY_PAGES


def blueprint(
    context: Context,
    auth: AuthContext,
    *,
    login_url: str,
    demo: bool,
    scope_words: ScopeWords,
    emergencies: EmergencyAccesses,
    maps: CurrentMaps,
) -> Blueprint:
    """The pages below /console. scope_words: SMART scopes in plain words, for the page of grants. emergencies:
    the charts that were opened in an emergency. maps: of HL7 v2 messages."""
    pages = staff_area(
        "console",
        __name__,
        auth,
        login_url=login_url,
        home="console.home",
        enter=partial(_enter, auth),
        polled=POLLED,
        dangerous=lambda: is_dangerous() or request.endpoint in PROOF_NEEDED,
    )

    @pages.context_processor
    def shell() -> dict[str, object]:
        mine = role(g.staff.role)
        items = []
        for group, rows in NAVIGATION:
            mine_here = [(label, name) for label, name in rows if _may_open(mine, name)]
            if mine_here:
                links = [{"label": label, "endpoint": name, "url": url_for(name)} for label, name in mine_here]
                items.append((group, links))
        return {"navigation": items, "role_title": mine.title, "demo": demo}

    @pages.get("/", strict_slashes=False)
    def home() -> Response:
        mine = role(g.staff.role)
        start = (
            "console.clients" if mine.administers else "console.resources" if mine.console else "console.audit"
        )
        return make_response(redirect(url_for(start), 302))

    @pages.get("/resources")
    def resources() -> Response:
        resource_type = request.args.get("type", DEFAULT_TYPE)
        query = request.args.get("query", "").strip().removeprefix("?")
        shown, problem, status = None, "", 200
        try:
            if resource_type not in RESOURCE_TYPES:
                raise FhirError("unknown-type", "There is no such resource type.")
            shown = resource_page(context, staff_principal(CLIENT_ID), resource_type, query)
        except FhirError as error:
            problem, status = sentences(error), error.status
        return page(
            "console/resources.html",
            status,
            types=sorted(RESOURCE_TYPES),
            resource_type=resource_type,
            query=query,
            page=shown,
            problem=problem,
        )

    @pages.get("/resources/<resource_type>/<id>")
    def instance(resource_type: str, id: str) -> Response:
        asked = (request.args.get("version", ""), request.args.get("older", ""))
        shown = read_instance(context, staff_principal(CLIENT_ID), resource_type, id, *asked)
        return page("console/instance.html", shown=shown)

    add_comparison_page(pages, context)
    add_search_explain_pages(pages, context)
    add_queue_pages(pages, auth)
    add_message_pages(pages, context, auth, maps)
    add_client_pages(pages, auth)
    add_partner_pages(pages, auth)
    add_grant_pages(pages, auth, scope_words)
    add_key_pages(pages, auth)
    add_policy_pages(pages)
    add_link_pages(pages, auth)
    add_audit_pages(pages, context.store, auth)
    add_disclosure_pages(pages, context, auth)
    add_emergency_pages(pages, context, auth, emergencies)
    return pages


def _enter(auth: AuthContext, session: Session) -> None:
    endpoint = request.endpoint or ""
    if session.organization is not None:
        raise FhirError("forbidden", "The console is not for the people of partner organisations.")
    if not _may_open(role(session.role), endpoint):
        who = session.fhir_user or f"User/{session.username}"
        event = "audit-search" if endpoint in OVERSIGHT_PAGES else "console-refused"
        record(auth, event, 403, principal=who, client_id=CLIENT_ID, username=session.username, detail=endpoint)
        raise FhirError("forbidden", "Your role may not use the console. Ask whoever administers Baton.")


def _may_open(held: Role, endpoint: str) -> bool:
    """The audit trail is for those who may search it, every other page for roles with a console."""
    if endpoint in OVERSIGHT_PAGES:
        return may_see_audit(held)
    either = endpoint in ("console.home", "console.sign_out") and may_see_audit(held)
    return held.console or either
