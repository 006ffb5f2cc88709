"""The decision form of a line: form fields -> Decision, and which fields a decision shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from smart_app.problems import ProblemError
from smart_app.reconciliation.decide import DecisionRule
from smart_app.reconciliation.records import Decision, DecisionKind
from smart_app.views.cards import Card

MAXIMUM_TEXT = 400
FIELDS = ("regimen", "survivor", "reason", "resume")


def decision_of(form: Mapping[str, str]) -> Decision | None:
    """The decision that a form makes; None where its `kind` is empty: the line is open again.

    Raises: ProblemError `bad-request` naming the field that is missing or not one of the choices.
    """
    key = form.get("group", "")
    if not key:
        raise ProblemError("bad-request", what="group")
    kind = form.get("kind", "")
    if not kind:
        return None
    try:
        decided = DecisionKind(kind)
    except ValueError:
        raise ProblemError("bad-request", what="kind") from None
    return Decision(
        group_key=key,
        kind=decided,
        reason=_text(form, "reason"),
        regimen=_text(form, "regimen"),
        resume=_day(form, "resume") if decided is DecisionKind.HOLD else None,
        survivor=_text(form, "survivor"),
    )


def fields_for(rule: DecisionRule) -> tuple[str, ...]:
    """The fields a decision asks for or may carry, in the order in which the form shows them."""
    asked = {
        "regimen": rule.needs_regimen,
        "survivor": rule.needs_survivor,
        "reason": rule.needs_reason or rule.kind in (DecisionKind.HOLD, DecisionKind.CLARIFY),
        "resume": rule.kind is DecisionKind.HOLD,
    }
    return tuple(field for field in FIELDS if asked[field])


def fields_of(card: Card) -> tuple[str, ...]:
    """The fields that a line shows now: of its decision, and a reason that was given unasked."""
    rule = card.needs
    if rule is None or card.decision is None:
        return ()
    fields = fields_for(rule)
    if card.decision.reason and "reason" not in fields:
        return (*fields, "reason")
    return fields


def _text(form: Mapping[str, str], name: str) -> str | None:
    text = " ".join(form.get(name, "").split())
    if len(text) > MAXIMUM_TEXT:
        raise ProblemError("too-large")
    return text or None


def _day(form: Mapping[str, str], name: str) -> date | None:
    text = form.get(name, "").strip()
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ProblemError("bad-request", what=name) from None
