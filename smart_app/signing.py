"""Signs a reconciliation: read everything again, build the transaction, send it once or again.

The transaction's resources have ids that follow from the discharge and the line, so sending it again
changes nothing (domain 3.7).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from smart_app import board
from smart_app.board import LoadedBoard
from smart_app.draft_store import retired_draft, session_id
from smart_app.fhir_client import (
    Conflict,
    FhirFault,
    Forbidden,
    Unauthorized,
    Unavailable,
    diagnostics,
)
from smart_app.fhir_json import Resource
from smart_app.messages import N_
from smart_app.problems import ProblemError
from smart_app.reconciliation.decide import role_rule
from smart_app.reconciliation.records import Item, Signing
from smart_app.reconciliation.write_back import source_versions, write_back
from smart_app.seen_versions import changed_since
from smart_app.session import ChartContext
from smart_app.store_link import StoreLink, store_link
from smart_app.users import read_user
from smart_app.view_records import DraftConflict, NotSigned, Signed, SourcesChanged

log = logging.getLogger(__name__)


def sign(
    context: ChartContext, encounter: str, seen: str, draft_version: str | None
) -> Signed | SourcesChanged | DraftConflict | NotSigned:
    """Sign the draft of a discharge as it was reviewed.

    seen: the board's `seen`, as the form brought it back. draft_version: that of the reviewed draft.
    Raises: ProblemError.
    """
    link = store_link(context)
    loaded = board.load(context, encounter)
    shown = loaded.board
    if shown.encounter is None or shown.encounter.id != encounter:
        raise ProblemError("bad-request", what="encounter")
    if shown.signed is not None:
        return Signed(snapshot=shown.signed.reference, changes="", statements=(), again=True)
    if shown.why_not_sign:
        return NotSigned(shown.why_not_sign)
    try:
        changed = changed_since(seen, source_versions(shown.collected))
    except ValueError:
        raise ProblemError("bad-request", what="seen") from None
    if changed:
        return SourcesChanged(changed)
    if shown.draft.version != (draft_version or None):
        return DraftConflict(shown.draft, ())
    if not shown.completeness.is_complete:
        return NotSigned(N_("Not every line is decided."), faults=shown.completeness.faults)
    return _send(context, link, loaded, encounter)


def _send(context: ChartContext, link: StoreLink, loaded: LoadedBoard, encounter: str) -> Signed | NotSigned:
    shown = loaded.board
    try:
        # The role of now, not of the launch: a session may live for hours.
        user = read_user(context.chart, context.user.reference)
        role = role_rule(user.role)
        if link.author is None or not role.may_sign:
            return NotSigned(N_("A registered nurse, a pharmacist or a prescriber signs."))
        prescriber = prescriber_of(shown.collected.after)
        signing = Signing(
            session_id=session_id(link, encounter),
            patient=link.patient,
            author=link.author,
            role=role.role,
            signed_at=context.runtime.clock(),
            author_display=user.name or None,
            encounter=link.reference(f"Encounter/{encounter}"),
            prescriber=link.reference(prescriber) if prescriber else None,
            chart_base=link.chart_base,
            previous_list=loaded.store.previous,
        )
        bundle = write_back(signing, shown.collected, shown.reconciliation, shown.draft.decisions)
        if shown.draft.version is not None:
            draft = retired_draft(
                link, encounter, shown.draft, author_display=user.name, saved_at=signing.signed_at
            )
            bundle["entry"].append(draft)
        _transaction(link, bundle)
    except PermissionError:
        return NotSigned(N_("A registered nurse, a pharmacist or a prescriber signs."))
    except ValueError as fault:
        log.warning("the write-back refused a complete board: %s", type(fault).__name__)
        return NotSigned(N_("Not every line is decided."), faults=shown.completeness.faults)
    except Conflict as fault:
        if (signed := board.load(context, encounter).board.signed) is not None:  # ours, or another signer's
            return Signed(snapshot=signed.reference, changes="", statements=(), again=True)
        log.warning("signing: %s", fault.words)
        return NotSigned(N_("Somebody changed the list at the same moment. Nothing was written; look again."))
    except (Unavailable, Forbidden) as fault:
        log.warning("signing: %s", fault.words)
        return NotSigned(_NOT_SIGNED[type(fault)])
    except Unauthorized:
        raise
    except FhirFault as fault:
        log.warning("signing: %s", fault.words)
        words = "; ".join(text for severity, text in diagnostics(fault.outcome) if severity != "information")
        return NotSigned(
            N_("The store refused the list: %(answer)s."), {"answer": (words or fault.words).rstrip(".")}
        )
    return _signed(bundle)


_NOT_SIGNED: dict[type[FhirFault], str] = {
    Unavailable: N_("The store did not answer. Sign again: nothing is written twice."),
    Forbidden: N_("The store does not let you write this list. Nothing was written."),
}


def _transaction(link: StoreLink, bundle: Resource) -> None:
    """Send it; once more where the answer was lost, which changes nothing if it had arrived."""
    try:
        link.store.transaction(bundle)
    except Unavailable:
        link.store.transaction(bundle)


def prescriber_of(after: Sequence[Item]) -> str | None:
    """Who answers questions about the discharge orders: the requester of most of them."""
    requesters = [item.resource.get("requester") for item in after]
    found = Counter(
        str(each["reference"])
        for each in requesters
        if isinstance(each, dict) and str(each.get("reference", "")).startswith("Practitioner")
    )
    return min(found, key=lambda reference: (-found[reference], reference)) if found else None


def _signed(bundle: Resource) -> Signed:
    resources = [entry["resource"] for entry in bundle["entry"] if "resource" in entry]
    lists = [each for each in resources if each["resourceType"] == "List" and each.get("status") == "current"]
    return Signed(
        snapshot=next((f"List/{each['id']}" for each in lists if each.get("mode") == "snapshot"), ""),
        changes=next((f"List/{each['id']}" for each in lists if each.get("mode") == "changes"), ""),
        statements=tuple(
            f"MedicationStatement/{each['id']}"
            for each in resources
            if each["resourceType"] == "MedicationStatement"
        ),
    )
