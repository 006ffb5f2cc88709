"""Words for codes: what FHIR and the rules call things -> what a nurse calls them.

Tables of message ids; an unknown code is shown as it is, never hidden. `say` translates.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask_babel import gettext

from smart_app.messages import N_
from smart_app.reconciliation.compare import different_drugs
from smart_app.reconciliation.decide import DecisionRule
from smart_app.reconciliation.records import AlertKind, DecisionKind, DifferenceKind, Group, GroupKind

GENDERS = {
    "female": N_("Female"),
    "male": N_("Male"),
    "other": N_("Other sex"),
    "unknown": N_("Sex unknown"),
}

IDENTIFIERS = {"MR": N_("MRN"), "Medical Record Number": N_("MRN"), "Medical record number": N_("MRN")}

STATUSES = {
    "active": N_("active"),
    "on-hold": N_("on hold"),
    "cancelled": N_("cancelled"),
    "completed": N_("completed"),
    "entered-in-error": N_("entered in error"),
    "stopped": N_("stopped"),
    "draft": N_("draft"),
    "unknown": N_("status unknown"),
    "intended": N_("intended"),
    "not-taken": N_("not taken"),
    "in-progress": N_("in progress"),
    "finished": N_("finished"),
    "planned": N_("planned"),
    "arrived": N_("arrived"),
    "triaged": N_("triaged"),
    "onleave": N_("on leave"),
    "inactive": N_("inactive"),
    "resolved": N_("resolved"),
    "remission": N_("in remission"),
    "recurrence": N_("recurrence"),
    "relapse": N_("relapse"),
    "preparation": N_("being prepared"),
    "declined": N_("declined"),
}

CRITICALITIES = {
    "high": N_("high risk"),
    "low": N_("low risk"),
    "unable-to-assess": N_("risk not assessed"),
}

VERIFICATIONS = {
    "confirmed": N_("confirmed"),
    "unconfirmed": N_("unconfirmed"),
    "presumed": N_("presumed"),
    "refuted": N_("refuted"),
    "entered-in-error": N_("entered in error"),
}

ENCOUNTER_CLASSES = {
    "IMP": N_("Hospital stay"),
    "ACUTE": N_("Hospital stay"),
    "NONAC": N_("Inpatient, not acute"),
    "OBSENC": N_("Observation"),
    "EMER": N_("Emergency"),
    "AMB": N_("Outpatient"),
    "VR": N_("Phone or video"),
    "HH": N_("Home health"),
    "FLD": N_("In the field"),
    "SS": N_("Short stay"),
    "PRENC": N_("Before admission"),
}

MEDICATION_KINDS = {"order": N_("order"), "statement": N_("reported"), "fill": N_("pharmacy fill")}

DIFFERENCES: Mapping[str, str] = {
    DifferenceKind.DOSE: N_("dose"),
    DifferenceKind.FREQUENCY: N_("how often"),
    DifferenceKind.ROUTE: N_("route"),
    DifferenceKind.FORM: N_("form"),
    DifferenceKind.RELEASE: N_("release"),
    DifferenceKind.BRAND: N_("brand"),
    DifferenceKind.STRENGTH: N_("strength"),
    DifferenceKind.PRN: N_("as needed"),
    DifferenceKind.DURATION: N_("duration"),
    DifferenceKind.TIMING: N_("when"),
    DifferenceKind.SUBSTITUTION: N_("drug"),
    DifferenceKind.INCOMPLETE: N_("not stated"),
}

ALERTS: Mapping[str, str] = {
    AlertKind.DUPLICATE_INGREDIENT: N_("Same drug twice"),
    AlertKind.DUPLICATE_CLASS: N_("Two of one class"),
    AlertKind.INTERACTION: N_("Interaction"),
    AlertKind.ALLERGY: N_("Allergy"),
    AlertKind.HIGH_ALERT: N_("High-alert drug"),
    AlertKind.OLDER_ADULT: N_("Older adult"),
    AlertKind.RENAL: N_("Kidney function"),
    AlertKind.DOSE: N_("Dose"),
    AlertKind.ADHERENCE_GAP: N_("Fill gap"),
}

SEVERITIES = {"high": N_("high"), "moderate": N_("moderate"), "low": N_("low")}

CARD_STATES = {
    "open": N_("open"),
    "danger": N_("open, with a high alert"),
    "fault": N_("needs more"),
    "done": N_("decided"),
    "signed": N_("signed"),
}

REASON_LABELS: Mapping[str, str] = {
    DecisionKind.STOP: N_("Why it is stopped"),
    DecisionKind.CLARIFY: N_("Question to the prescriber"),
    DecisionKind.HOLD: N_("Held until, or why"),
    DecisionKind.NOT_TAKING: N_("Why the patient does not take it"),
    DecisionKind.DEFER: N_("What is missing to decide"),
    DecisionKind.MODIFY: N_("Why it changes"),
    DecisionKind.NEW: N_("Why it is started"),
    DecisionKind.SUBSTITUTE: N_("Why it is replaced"),
    DecisionKind.DUPLICATE_MERGE: N_("Why they are one"),
    DecisionKind.CONTINUE: N_("Why this is right"),
}

TAKE_BOTH = N_("Take both")
"""CONTINUE of a possible pair of different drugs; of two lines with equal words there is one to take."""

ON_THE_BUTTON: Mapping[tuple[str, str], str] = {
    (GroupKind.CHANGED, DecisionKind.CONTINUE): N_("Take after"),
    **{(kind, DecisionKind.CLARIFY): N_("Ask") for kind in GroupKind},
}
"""Shorter or plainer words than the rule's own, where the place on the board makes them clear."""

REASONS: Mapping[str, tuple[str, ...]] = {
    DecisionKind.CONTINUE: (
        N_("Stated in the discharge summary"),
        N_("Confirmed with the prescriber"),
        N_("Confirmed with the patient"),
    ),
    DecisionKind.NEW: (N_("Stated in the discharge summary"), N_("Confirmed with the prescriber")),
    DecisionKind.STOP: (
        N_("Stopped in hospital"),
        N_("Replaced by another drug"),
        N_("Side effect"),
        N_("No longer needed"),
        N_("Course completed"),
    ),
    DecisionKind.CLARIFY: (
        N_("Was it stopped on purpose?"),
        N_("Was the change intended?"),
        N_("Is it to be started?"),
        N_("For how long?"),
    ),
    DecisionKind.NOT_TAKING: (
        N_("Patient's choice"),
        N_("Cost"),
        N_("Side effect"),
        N_("Could not get it"),
        N_("Did not know about it"),
    ),
    DecisionKind.HOLD: (N_("Until the follow-up visit"), N_("Until the lab result"), N_("Until the procedure")),
}
"""Offered while typing, never filled in: the reason is the person's own."""


def say(table: Mapping[str, str], code: str) -> str:
    """The word for a code in the reader's language; a code without a word as it is."""
    return str(gettext(table[code])) if code in table else code


def button_words(group: Group, rule: DecisionRule) -> str:
    """What a decision's button says on that line."""
    if (group.kind, rule.kind) == (GroupKind.POSSIBLE, DecisionKind.CONTINUE) and different_drugs(group):
        return str(gettext(TAKE_BOTH))
    return str(gettext(ON_THE_BUTTON.get((group.kind, rule.kind), rule.label)))
