"""The console's page of policies (Flask): what they say and where from, and who may do something by them."""

from __future__ import annotations

from flask import Blueprint, Response, request

from server.auth.access import resource_types
from server.console.administration import TEXT_LIMIT
from server.console.partners import permissions_shown
from server.console.policies import QUESTIONS, Answer, all_machines, type_lines, who_may
from server.policy.if_match_required import if_match_required
from server.policy.open_types import open_types
from server.policy.partner_agreements import agreement_kinds, document_of, record_classes
from server.policy.roles import roles
from server.staff_area import page


def add_policy_pages(pages: Blueprint) -> None:
    """Add the page /console/policies."""

    @pages.get("/policies")
    def policies() -> Response:
        asked, resource_type = request.args.get("may", ""), request.args.get("type", "")
        text, problem = request.args.get("text", "").strip()[:TEXT_LIMIT], ""
        answers: tuple[Answer, ...] = ()
        if asked or resource_type:
            if asked in QUESTIONS and resource_type in resource_types():
                answers = who_may(asked, resource_type)
            else:
                problem = "There is no such resource type, or no such thing to do with one."
        return page(
            "console/policies.html",
            422 if problem else 200,
            roles=roles().values(),
            lines=type_lines(text),
            text=text,
            questions=QUESTIONS,
            types=sorted(resource_types()),
            asked=asked,
            resource_type=resource_type,
            answers=answers,
            problem=problem,
            open_types=sorted(open_types()),
            if_match=sorted(if_match_required()),
            machines=all_machines(),
            agreements=[(kind, permissions_shown(kind.name)) for kind in agreement_kinds().values()],
            classes=record_classes().values(),
            documents={
                name: document_of(name)
                for name in ("roles", "open_types", "if_match_required", "partner_agreements")
            },
        )
