"""The clocks of one discharge: what is met, what is late, what runs out next (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from smart_app.messages import N_
from smart_app.transitions.discharges import Discharge
from smart_app.transitions.tcm import Deadlines, TcmRule
from smart_app.view_records import Clock, ClockState

_WORDS: dict[tuple[str, ClockState], str] = {
    ("contact", "open"): N_("Contact due"),
    ("contact", "due-today"): N_("Contact due today"),
    ("contact", "late"): N_("Contact is late"),
    ("contact", "met"): N_("Contact made"),
    ("contact", "met-late"): N_("Contact made late"),
    ("contact", "unknown"): N_("No holidays are known for this time"),
    ("service", "open"): N_("First outreach within 48 hours"),
    ("service", "due-today"): N_("First outreach due today"),
    ("service", "late"): N_("No outreach in 48 hours"),
    ("service", "met"): N_("Outreach within 48 hours"),
    ("service", "met-late"): N_("Outreach after 48 hours"),
    ("visit-7", "open"): N_("Visit by day 7"),
    ("visit-7", "due-today"): N_("Visit due today, day 7"),
    ("visit-7", "late"): N_("Day 7 has passed without a visit"),
    ("visit-7", "met"): N_("Visit by day 7"),
    ("visit-7", "met-late"): N_("Visit after day 7"),
    ("visit-14", "open"): N_("Visit by day 14"),
    ("visit-14", "due-today"): N_("Visit due today, day 14"),
    ("visit-14", "late"): N_("Day 14 has passed without a visit"),
    ("visit-14", "met"): N_("Visit by day 14"),
    ("visit-14", "met-late"): N_("Visit after day 14"),
    ("period", "open"): N_("30 days end"),
    ("period", "due-today"): N_("30 days end today"),
    ("period", "late"): N_("30 days are over"),
}
_GIVEN_WAY = ("service", "visit-7")
"""Once late, these give way to the limit behind them: contact, day 14."""


def clocks_of(
    discharge: Discharge,
    limits: Deadlines,
    rule: TcmRule,
    *,
    first_outreach: datetime | None,
    contact: datetime | None,
    attempts: int,
    visit: datetime | None,
    now: datetime,
    zone: ZoneInfo,
) -> tuple[Clock, ...]:
    """Five clocks. first_outreach: the first attempt or contact. contact: the one that reached somebody."""
    start = discharge.discharged_at
    rule_words = f"{rule.version}: {rule.source}"

    def clock(kind: str, due: datetime | None, met: datetime | None) -> Clock:
        state = _state(due, met, now, zone)
        return Clock(
            kind=kind,
            due=due,
            state=state,
            share=_share(start, due, met or now),
            words=_WORDS[kind, state],
            rule=rule_words,
        )

    contact_clock = clock("contact", limits.contact, contact)
    if contact is None and attempts >= rule.attempts_in_good_faith and contact_clock.state != "unknown":
        contact_clock = _with_attempts(contact_clock, attempts)
    return (
        contact_clock,
        clock("service", limits.service, first_outreach),
        clock("visit-7", limits.visit_high, visit),
        clock("visit-14", limits.visit_moderate, visit),
        clock("period", limits.period_end, None),
    )


def next_clock(clocks: Sequence[Clock]) -> Clock | None:
    """The open clock that runs out first; a late contact or visit stays until it is made."""
    running = [
        clock
        for clock in clocks
        if clock.kind != "period"
        and clock.due is not None
        and (clock.state in ("open", "due-today") or (clock.state == "late" and clock.kind not in _GIVEN_WAY))
    ]
    return min(running, key=lambda clock: (clock.due, clock.kind), default=None)


def _with_attempts(clock: Clock, attempts: int) -> Clock:
    words = N_("%(count)s attempts documented; keep trying")
    return Clock(clock.kind, clock.due, clock.state, clock.share, words, {"count": str(attempts)}, clock.rule)


def _state(due: datetime | None, met: datetime | None, now: datetime, zone: ZoneInfo) -> ClockState:
    if met is not None:
        return "met" if due is None or met <= due else "met-late"
    if due is None:
        return "unknown"
    if now > due:
        return "late"
    return "due-today" if now.astimezone(zone).date() == due.astimezone(zone).date() else "open"


def _share(start: datetime, due: datetime | None, now: datetime) -> float:
    """How much of the time is used, between 0 and 1."""
    if due is None:
        return 0.0
    whole = (due - start).total_seconds()
    return min(max((now - start).total_seconds() / whole, 0.0), 1.0) if whole > 0 else 1.0
