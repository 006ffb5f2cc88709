"""The accounting of disclosures of one patient: who outside got what, when and for which purpose.

Made from the sealed audit trail: what went out to partner organisations, by the rule of
`policy/disclosures.json`. What the site's own people and apps read is a use, no disclosure; `baton audit
search` shows that.
Source: 45 CFR 164.528
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.fhir.json_codec import decode
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionRequest
from server.interactions.version import instant
from server.policy.disclosures import accounting
from server.storage.audit_values import AuditQuery, AuditRange, AuditRow, AuditTest
from server.storage.interface import Store

_PAGE = 500
_NAMED = 100  # organisations whose names are asked for at once
_READER = Principal("disclosures", parse_scopes("system/Organization.rs"))


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One time something of a patient went out to a partner.

    recorded: an instant. recipient: "Organization/id". app, person: the client and, where it was one, who used
    it. what: in words; resources: how many. purpose: a code, purpose_text: in words. excluded: the paragraph by
    which it is left out of an accounting, "" where it counts. row: its number in the audit trail.
    """

    recorded: str
    recipient: str
    app: str
    person: str
    what: str
    resources: int
    purpose: str
    purpose_text: str
    excluded: str
    row: int


@dataclass(frozen=True, slots=True)
class Recipient:
    """All disclosures to one partner for one purpose, as 45 CFR 164.528(b)(3) lets them be told together."""

    recipient: str
    purpose_text: str
    excluded: str
    times: int
    resources: int
    first: str
    last: str


def disclosures(
    store: Store,
    patient: str,
    *,
    since: datetime | None,
    until: datetime | None,
    everything: bool = False,
) -> Iterator[Disclosure]:
    """The disclosures of a patient's record, the latest first.

    since, until: recorded at or after, and before. everything: those that do not count as well. Raises:
    FhirError too-costly.
    """
    rule = accounting()
    outside = (
        ((AuditTest("organization", ("",), negated=True),),),
        ((AuditTest("interaction", tuple(sorted(rule.interactions))), AuditRange("outcome", high=300)),),
    )
    query = AuditQuery(since=since, until=until, patient=patient, conditions=outside, count=_PAGE)
    while True:
        page = store.search_audit(query)
        for sequence, row in page.rows:
            found = _disclosure(sequence, row, patient)
            if everything or not found.excluded:
                yield found
        if page.next_after is None:
            return
        query = replace(query, after=page.next_after)


def recipients(found: Iterable[Disclosure]) -> tuple[Recipient, ...]:
    """The disclosures of each partner and purpose together, the latest first. found: the latest first."""
    together: dict[tuple[str, str], Recipient] = {}
    for one in found:
        key = (one.recipient, one.purpose)
        known = together.get(key)
        together[key] = (
            replace(known, times=known.times + 1, resources=known.resources + one.resources, first=one.recorded)
            if known
            else Recipient(
                one.recipient, one.purpose_text, one.excluded, 1, one.resources, one.recorded, one.recorded
            )
        )
    return tuple(together.values())


def organization_names(context: Context, references: Iterable[str]) -> Mapping[str, str]:
    """Name and address of the organisations that are stored here, by "Organization/id"."""
    ids = sorted({reference.removeprefix("Organization/") for reference in references})
    names: dict[str, str] = {}
    for start in range(0, len(ids), _NAMED):
        asked = (("_id", ",".join(ids[start : start + _NAMED])), ("_count", str(_NAMED)))
        answer = perform(context, _READER, InteractionRequest("search-type", "Organization", query=asked))
        for entry in decode(answer.body).get("entry", ()):
            resource = entry["resource"]
            names[f"Organization/{resource['id']}"] = _named(resource)
    return names


def as_csv(found: Iterable[Disclosure], names: Mapping[str, str]) -> Iterator[str]:
    """Lines of comma-separated values (RFC 4180) with a heading; no cell can pass for a formula."""
    heading = ["recipient_name", *(field.name for field in fields(Disclosure))]
    yield _line(heading)
    for one in found:
        values = asdict(one)
        yield _line([names.get(one.recipient, ""), *(str(value) for value in values.values())])


def _line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(f"'{cell}" if cell[:1] in "=+-@\t" and cell else cell for cell in cells)
    return buffer.getvalue()


def _disclosure(sequence: int, row: AuditRow, patient: str) -> Disclosure:
    rule = accounting()
    person = "" if row.principal in (f"Client/{row.client_id}", row.organization) else row.principal
    return Disclosure(
        recorded=instant(row.recorded),
        recipient=row.organization,
        app=row.client_id,
        person=person,
        what=_what(row),
        resources=row.results,
        purpose=row.purpose,
        purpose_text=rule.purpose(row.purpose).title,
        excluded=rule.excluded(row.purpose, row.principal, patient),
        row=sequence,
    )


def _what(row: AuditRow) -> str:
    what = "/".join(part for part in (row.resource_type, row.id) if part) or "the record"
    if row.interaction == "operation":
        return f"{row.detail.partition(' ')[0]} of {what}"
    if row.interaction.startswith("search-"):
        return f"search of {row.resource_type or 'several types'}"
    if row.interaction.startswith("history-"):
        return f"versions of {what}"
    return what


def _named(resource: Mapping[str, Any]) -> str:
    """An Organization's name and its first address on one line."""
    address: Mapping[str, Any] = next(iter(resource.get("address", ())), {})
    text = address.get("text") or ", ".join(
        part
        for part in (
            *address.get("line", ()),
            address.get("city", ""),
            address.get("state", ""),
            address.get("postalCode", ""),
        )
        if isinstance(part, str) and part
    )
    return ", ".join(part for part in (resource.get("name", ""), text) if part)
