"""Merges: two that were thought to be different are one from now on.

A Patient that ends stays, inactive and with a link to its survivor, so that its identifiers lead there. A
merge that was done before is done again without effect; one that would close a circle, or end what already
ended in somebody else, is refused. Encounters and Accounts have no such link: there the identities lead to the
survivor, and what ends is marked as entered in error.

What refers to the one that ends is pointed at the survivor (`moved`). Provenances stay: they say what was done
to which resource at the time.
Sources: HL7 v2.5.1 chapter 3.6.2, hl7.org/fhir/R4/patient.html#links
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mappings.result import Merge
from server.fhir.json_codec import decode
from server.fhir.references import rewrite_references
from server.fhir.visibility import EVERYTHING
from server.hl7v2.draft import Draft
from server.hl7v2.drafts import Drafts
from server.hl7v2.finding import replaced_by
from server.hl7v2.joining import Json, content, united
from server.hl7v2.refusal import Refused
from server.hl7v2.retirement import retired
from server.storage.answers import Record
from server.storage.interface import Reader

_STAY = frozenset({"AuditEvent", "Provenance"})
_LINKED = "Patient"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Ended:
    """Of one resource type: before ended in after. Ids."""

    resource_type: str
    before: str
    after: str


def merge(drafts: Drafts, merges: Iterable[Merge]) -> list[Ended]:
    """Bring the merges of a message into its drafts; what was ended by them now.

    Raises: Refused unknown-merge, inverse-merge, merged-elsewhere.
    """
    ended = [one for asked in merges if (one := _merge(drafts, asked)) is not None]
    after = {(one.resource_type, one.before): one.after for one in ended}
    return [replace(one, after=_last(after, one)) for one in ended]


def _last(after: Mapping[tuple[str, str], str], ended: Ended) -> str:
    """What something ended in where that ended in the same message too."""
    last = ended.after
    while following := after.get((ended.resource_type, last)):
        last = following
    return last


def _merge(drafts: Drafts, asked: Merge) -> Ended | None:
    survivor, victim = drafts.of(asked.survivor), drafts.of(asked.victim)
    if survivor is None or victim is None or asked.resource_type != survivor.resource_type:
        raise Refused("unknown-merge", asked.resource_type)
    if survivor.resource_type != _LINKED:
        return _merge_unlinked(survivor, victim)
    named = drafts.found[asked.survivor].direct
    if victim is survivor:
        if named and named != survivor.id:
            raise Refused("inverse-merge", _LINKED)
        _keep_as_old(survivor, drafts.intents[asked.victim].resource)
        return None
    end = _end(drafts, survivor.id)
    if end == victim.id:
        raise Refused("inverse-merge", _LINKED)
    _keep_as_old(survivor, drafts.intents[asked.victim].resource)
    before = replaced_by(victim.content)
    if before:
        if _end(drafts, before) != end:
            raise Refused("merged-elsewhere", _LINKED)
        return None
    earlier = [one for one in victim.content.get("identifier", ()) if one.get("use") == "old"]
    _keep_as_old(survivor, {"identifier": earlier})
    victim.said = _linked(victim.content, survivor, "replaced-by") | {"active": False}
    survivor.said = _linked(survivor.content, victim, "replaces")
    victim.touched = survivor.touched = True
    return Ended(_LINKED, victim.id, survivor.id) if victim.current.there else None


def _end(drafts: Drafts, id: str) -> str:
    """The Patient that one leads to, by the merges of the message so far too."""
    while following := replaced_by(drafts.patient(id)):
        id = following
    return id


def _merge_unlinked(survivor: Draft, victim: Draft) -> Ended | None:
    if victim is survivor:
        return None
    if not victim.current.there:  # nobody has heard of it: its identities are the survivor's from the beginning
        survivor.hashes |= victim.hashes
        victim.hashes, victim.said = set(), None
        return None
    victim.said = retired(victim.content)
    victim.touched = True
    return Ended(victim.resource_type, victim.id, survivor.id)


def _linked(patient: Json, other: Draft, kind: str) -> Json:
    link = {"other": {"reference": other.reference}, "type": kind}
    return patient | {"link": united(patient.get("link", []), [link], "other.reference,type")}


def _keep_as_old(survivor: Draft, ended: Mapping[str, Any]) -> None:
    """The identifiers of what ended, among those of the survivor, as old ones."""
    old = [identifier | {"use": "old"} for identifier in ended.get("identifier", ())]
    patient = survivor.content
    survivor.said = patient | {"identifier": united(patient.get("identifier", []), old, "system,value")}


def moved(reader: Reader, ended: Ended, most: int) -> list[tuple[int, Json]]:
    """Up to `most` resources that refer to what ended, as they are to be: version and content."""
    return list(_moved(reader, ended, most))


def _moved(reader: Reader, ended: Ended, most: int) -> Iterator[tuple[int, Json]]:
    patients = (ended.before,) if ended.resource_type == _LINKED else ()
    record = Record(ended.resource_type, ended.before, patients)
    position, count = None, 0
    while count < most:
        page = reader.members(record, EVERYTHING, _PAGE, position)
        for version in page.versions:
            if version.resource_type in _STAY or version.resource_type == _LINKED:
                continue
            stored = content(decode(version.body))
            following = pointed(stored, ended)
            if following is not stored:
                yield version.version_id, following
                count += 1
                if count == most:
                    return
        if page.next_after is None:
            return
        position = page.next_after


def pointed(resource: Json, ended: Ended) -> Json:
    """The resource with its references to what ended pointing at what it ended in; the same one if it has
    none."""
    before, after = f"{ended.resource_type}/{ended.before}", f"{ended.resource_type}/{ended.after}"
    return rewrite_references(resource, lambda link: after if link == before else None)
