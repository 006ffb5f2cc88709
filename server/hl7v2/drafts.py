"""The resources that a message concerns: as they are stored, and as they are to become. Nothing is written.

Several intents may mean one resource; what they say is joined one after the other. What is older than what was
applied to a resource before changes nothing of it, a status goes only up where the map ranks it, and
demographics change by ADT messages alone.
Sources: HL7 v2.5.1 chapters 2.10.1 and 3.3, hl7.org/fhir/R4/valueset-observation-status.html
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import structs

from mappings.result import Intent, Mapped, Merge
from server.fhir.compartments import in_patient_compartment
from server.fhir.references import LOCAL
from server.hl7v2.draft import Draft, Outcome
from server.hl7v2.finding import Current, Finder, Found
from server.hl7v2.joining import Json, content, joined, value_at
from server.hl7v2.refusal import Refused
from server.hl7v2.resolving import Repetitions, read, resolved
from server.hl7v2.retirement import can_retire, retired
from server.storage.hl7v2_identities import Known

# Who somebody is: other messages repeat it, often as it was before the last change.
DEMOGRAPHICS = frozenset({"Patient", "RelatedPerson"})
_NUMBERED = uuid.uuid5(uuid.NAMESPACE_URL, "urn:baton:message")
_PROVENANCE = "Provenance"
_SUBJECTS = ("subject", "patient", "for", "beneficiary")  # elements that say whose chart something is in
# What ends in a merge is named by one of its identifiers; it keeps the others.
_ENDED = {"identifier": "union:system,value"}


def numbered(message: int, key: str) -> str:
    """The id of a resource without an identity: the same each time that a message is applied. message: its
    number in the log. key: of the intent."""
    return str(uuid.uuid5(_NUMBERED, f"{message} {key}"))


class Drafts:
    """All resources of one message.

    new_id: an id for a new resource. numbered: the id of what has no identity, the same each time that the
    message is applied, by the key of its intent. repetitions: what earlier messages only repeated.
    """

    def __init__(
        self,
        finder: Finder,
        mapped: Mapped,
        message_type: str,
        new_id: Callable[[], str],
        numbered: Callable[[str], str],
        repetitions: Repetitions | None = None,
    ) -> None:
        self.finder, self.moment = finder, mapped.moment
        ended = {merge.victim for merge in mapped.merges}
        self.intents: Mapping[str, Intent] = {
            intent.key: structs.replace(intent, lists={**intent.lists, **_ENDED})
            if intent.key in ended
            else intent
            for intent in mapped.intents
        }
        self.found: dict[str, Found] = {}
        self.outcomes: list[Outcome] = []
        self._demographics = message_type == "ADT"
        self._new_id, self._numbered = new_id, numbered
        self._repetitions = Repetitions() if repetitions is None else repetitions
        self._drafts: dict[tuple[str, str], Draft] = {}
        self._made: dict[int, Draft] = {}  # by the hashes of identities that are new
        self._of_intent: dict[str, Draft] = {}
        for intent in self.intents.values():
            if intent.resource["resourceType"] != _PROVENANCE:
                self._place(intent, ended=intent.key in ended)
        self._ending = self._ends(mapped.merges)

    def __iter__(self) -> Iterator[Draft]:
        return iter(self._drafts.values())

    def of(self, key: str) -> Draft | None:
        """The resource of an intent, None where there is nothing to retire."""
        return self._of_intent.get(key)

    def patient(self, id: str) -> Json:
        """A Patient as it is to be; {} for what is not there."""
        draft = self._drafts.get(("Patient", id))
        return draft.content if draft is not None else self.finder.read("Patient", id).content or {}

    def draft(self, resource_type: str, id: str) -> Draft:
        """A resource by its id: the draft of it, or what is stored."""
        key = (resource_type, id)
        if key not in self._drafts:
            current = self.finder.read(resource_type, id)
            self._drafts[key] = Draft(resource_type, id, current, Known(resource_type, id))
        return self._drafts[key]

    def _new(self, resource_type: str) -> Draft:
        """A resource under an id that nothing has: there is nothing to read."""
        id = self._new_id()
        draft = self._drafts[resource_type, id] = Draft(
            resource_type, id, Current(None), Known(resource_type, id)
        )
        return draft

    def said_of_provenance(self) -> Json | None:
        """What the map says of where all this comes from, None for nothing. It is no resource like the others:
        there is a new one for what is written, and none for a message that writes nothing."""
        for intent in self.intents.values():
            if intent.resource["resourceType"] == _PROVENANCE:
                said = {name: value for name, value in intent.resource.items() if name != "target"}
                return read(resolved(said, self._reference))
        return None

    def changed(self) -> list[Draft]:
        """What is to be written, in the order of the map; the outcomes then tell what is unchanged."""
        changed = [draft for draft in self if draft.changed]
        references = {draft.reference for draft in changed}
        self.outcomes = [
            structs.replace(one, outcome="unchanged")
            if one.outcome == "updated" and one.reference not in references
            else one
            for one in self.outcomes
        ]
        return changed

    def apply(self) -> None:
        """Join what the intents say. Raises: Refused other-patient, cannot-retire."""
        for intent in self.intents.values():
            if intent.resource["resourceType"] == _PROVENANCE:
                continue
            draft = self._of_intent.get(intent.key)
            if draft is None:
                self.outcomes.append(Outcome(intent.key, "absent"))
            else:
                self.outcomes.append(Outcome(intent.key, self._apply(intent, draft), draft.reference))

    def _place(self, intent: Intent, *, ended: bool) -> None:
        """Find or make the draft of an intent. Raises: Refused ambiguous, other-type, cannot-retire."""
        resource_type = str(intent.resource["resourceType"])
        if intent.write == "retire" and not can_retire(resource_type):
            raise Refused("cannot-retire", resource_type)
        hashes = self.finder.hashes(intent)
        made = next((self._made[hash] for hash in hashes if hash in self._made), None)
        found = self.found[intent.key] = Found() if made else self.finder.find(intent, ended=ended)
        id = (found.direct if ended else found.id) or (made.id if made else "")
        if not id and not hashes:
            id = self._numbered(intent.key)
        if not id and intent.write == "retire":
            return
        draft = made or (self.draft(resource_type, id) if id else self._new(resource_type))
        if draft.asked is None and not draft.there:
            draft.asked = intent
        if found.known is not None:
            draft.known = found.known
        draft.hashes |= {hash for hash in hashes if self.finder.known(hash) is None}
        self._made |= dict.fromkeys(draft.hashes, draft)
        self._of_intent[intent.key] = draft

    def _apply(self, intent: Intent, draft: Draft) -> str:
        there = draft.there
        only_new = draft.resource_type in DEMOGRAPHICS and not self._demographics
        if intent.write == "create" or only_new:
            if there:
                return "kept"
            draft.said = self._said(intent, resolved(intent.resource, self._reference)) | {"id": draft.id}
            return "created"
        text = resolved(intent.resource, self._reference)
        stored = draft.current.stored if self._is_plain(intent, draft) else None
        said = {} if stored is not None and self._repetitions.has(stored, text) else self._said(intent, text)
        if there and (reason := self._behind(intent, draft, said)):
            return reason
        if intent.write == "retire":
            if not there:
                return "absent"
            draft.said = retired(draft.content)
        elif said:
            if there:
                self._check_subject(draft, said)
            merged = there and intent.write == "merge"
            draft.said = joined(draft.content, said, intent, self.moment) if merged else said | {"id": draft.id}
            if stored is not None and draft.said is draft.current.content:
                self._repetitions.add(stored, text)
        draft.touched = True
        rank = intent.ranks.get(value_at(draft.said or {}, intent.status), -1) if intent.status else -1
        known = draft.known
        draft.known = Known(known.resource_type, known.id, max(self.moment, known.moment), rank)
        return "updated" if there else "created"

    def _is_plain(self, intent: Intent, draft: Draft) -> bool:
        """Whether what an intent says is joined with what is stored, by nothing else than what it says."""
        return (
            draft.said is None
            and draft.current.there
            and intent.write == "merge"
            and not intent.status
            and not intent.cleared
            and not self._came_as_another(intent)
        )

    def _behind(self, intent: Intent, draft: Draft, said: Json) -> str:
        """Why what is stored stays: its status is higher, or it is newer at the same one; "" where it does
        not."""
        if not draft.current.there:
            return ""  # made by this message
        if intent.status and intent.write != "retire":
            before = intent.ranks.get(value_at(draft.content, intent.status))
            after = intent.ranks.get(value_at(said, intent.status))
            if before is not None and after is not None and before != after:
                return "lower-status" if after < before else ""
        return "stale" if self.moment < draft.known.moment else ""

    def _came_as_another(self, intent: Intent) -> bool:
        """Whether a resource came under the number of a record that ended in it."""
        found = self.found[intent.key]
        return bool(found.id) and self._of_intent[intent.key].id != found.direct

    def _said(self, intent: Intent, text: bytes) -> Json:
        """What an intent says, by the JSON of it."""
        said = content(read(text))
        if "identifier" not in said or not self._came_as_another(intent):
            return said
        # The number of the record that ended in this one stays an old one.
        ended = {(one.system, one.value) for one in intent.identities}
        return said | {
            "identifier": [
                one | {"use": "old"} if (one.get("system", ""), one.get("value")) in ended else one
                for one in said["identifier"]
            ]
        }

    def _reference(self, key: str) -> str | None:
        """Where a reference to an intent leads."""
        draft = self._of_intent.get(key)
        return draft.reference if draft is not None else None

    def _check_subject(self, draft: Draft, said: Json) -> None:
        """No message takes what is stored out of one chart into another: a number was used twice."""
        if not in_patient_compartment(draft.resource_type) or draft.resource_type == "Patient":
            return
        for name in _SUBJECTS:
            before, after = (self._patient(one.get(name)) for one in (draft.content, said))
            if before and after and before != after:
                raise Refused("other-patient", f"{draft.resource_type}.{name}")

    def _patient(self, reference: Any) -> str:
        """The id of the Patient that a reference leads to, after merges and those of this message; "" for
        none."""
        text = reference.get("reference") if isinstance(reference, dict) else None
        match = LOCAL.fullmatch(text) if isinstance(text, str) else None
        if match is None or match[1] != "Patient":
            return ""
        id = self.finder.survivor(match[2])
        for _ in self._ending:  # a chain is no longer than there are merges
            id = self._ending.get(id, id)
        return id

    def _ends(self, merges: Iterable[Merge]) -> dict[str, str]:
        """The Patients that the message ends, each with the one that it is to end in."""
        pairs = [(self.of(one.victim), self.of(one.survivor)) for one in merges]
        return {
            victim.id: survivor.id
            for victim, survivor in pairs
            if victim is not None and survivor is not None and victim.resource_type == "Patient"
        }
