"""Which stored resource an identity of a map means.

First what it became before (`hl7v2_identity`), then, for identities that are identifiers, what is stored with
that identifier, by whichever way it came. A Patient that was merged away leads to its survivor. Of Patients
every identity is asked and the store each time: two that match are never chosen between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mappings.result import Identity, Intent
from server.fhir.compartments import in_patient_compartment
from server.fhir.json_codec import decode
from server.fhir.references import LOCAL
from server.fhir.search_parameters import parameter
from server.fhir.search_query import Clause, SearchQuery, TokenValue
from server.fhir.visibility import EVERYTHING
from server.hl7v2.joining import content
from server.hl7v2.refusal import Refused
from server.storage.hl7v2_identities import Hl7v2Identities, Known, identity_hash
from server.storage.interface import Reader

_LONGEST_CHAIN = 50  # merges one after the other; a longer one is a circle that somebody stored


@dataclass(frozen=True, slots=True)
class Current:
    """What is stored under an id. version: 0 where there never was anything. content: None where there is
    nothing, or nothing any more."""

    version: int
    content: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Found:
    """direct: the id that the identities lead to, "" for none yet. id: the same after merges. known: what was
    applied to it last."""

    direct: str = ""
    id: str = ""
    known: Known | None = None


class Finder:
    """Looks up identities in one snapshot. Everything that was read is kept for the message."""

    def __init__(self, reader: Reader, identities: Hl7v2Identities, intents: Iterable[Intent]) -> None:
        self._reader, self._identities = reader, identities
        self._known = identities.find({hash for intent in intents for hash in hashes_of(intent)})
        self._read: dict[tuple[str, str], Current] = {}

    def read(self, resource_type: str, id: str) -> Current:
        """What is stored under an id."""
        key = (resource_type, id)
        if key not in self._read:
            found = self._reader.read(resource_type, id, EVERYTHING)
            if found is None:
                self._read[key] = Current(0, None)
            else:
                stored = None if found.deleted else content(decode(found.body))
                self._read[key] = Current(found.version_id, stored)
        return self._read[key]

    def known(self, hash: int) -> Known | None:
        """What an identity has become before this message."""
        return self._known.get(hash)

    def find(self, intent: Intent, *, ended: bool = False) -> Found:
        """The resource that an intent's identities mean.

        ended: it is the one that a merge ends, so what merely keeps its identifier as an old one is not meant.
        Raises: Refused ambiguous, other-type.
        """
        resource_type = str(intent.resource["resourceType"])
        known = [found for hash in hashes_of(intent) if (found := self._known.get(hash)) is not None]
        if any(found.resource_type != resource_type for found in known):
            raise Refused("other-type", resource_type)
        if resource_type != "Patient":
            id = known[0].id if known else self._stored(resource_type, intent.identities)
            return Found(id, id, known[0] if known else None)
        matches = [
            match for identity in intent.identities for match in self._with_identifier("Patient", identity)
        ]
        own = dict.fromkeys((*(found.id for found in known), *(id for id, use in matches if use != "old")))
        old = dict.fromkeys(id for id, use in matches if use == "old")
        meant = (own or old) if ended else own | old
        if not meant:
            return Found()
        survivors = {self.survivor(id) for id in meant}
        if len(survivors) > 1 or (ended and len(meant) > 1):
            raise Refused("ambiguous", resource_type)
        direct, id = next(iter(meant)), survivors.pop()
        return Found(direct, id, self._identities.last("Patient", id))

    def survivor(self, id: str) -> str:
        """The Patient that another one was merged into in the end, itself where it was not."""
        for _ in range(_LONGEST_CHAIN):
            following = replaced_by(self.read("Patient", id).content or {})
            if not following:
                return id
            id = following
        raise Refused("ambiguous", "Patient.link")

    def _stored(self, resource_type: str, identities: Iterable[Identity]) -> str:
        """The id of what is stored with the first identifier that anything is stored with, "" for none."""
        for identity in identities:
            ids = [id for id, _ in self._with_identifier(resource_type, identity)]
            if len(ids) > 1 and in_patient_compartment(resource_type):
                raise Refused("ambiguous", resource_type)
            if ids:
                return ids[0]
        return ""

    def _with_identifier(self, resource_type: str, identity: Identity) -> list[tuple[str, str]]:
        """The ids of up to three resources that have the identifier, each with its `use` there."""
        query = identifier_query(resource_type, identity)
        if query is None:
            return []
        found = []
        for match in self._reader.search(query, EVERYTHING).matches:
            said = content(decode(match.body))
            self._read[resource_type, match.id] = Current(match.version_id, said)
            identifiers = said.get("identifier", [])
            uses = [
                str(item.get("use", ""))
                for item in (identifiers if isinstance(identifiers, list) else [identifiers])
                if (item.get("system", ""), item.get("value")) == (identity.system, identity.value)
            ]
            if uses:  # not a collision of hashes
                found.append((match.id, uses[0]))
        return found


def hashes_of(intent: Intent) -> tuple[int, ...]:
    """The keys of an intent's identities, in their order."""
    resource_type = str(intent.resource["resourceType"])
    return tuple(identity_hash(resource_type, one.system, one.value) for one in intent.identities)


def identifier_query(resource_type: str, identity: Identity) -> SearchQuery | None:
    """The search for an identity that is an identifier, None for one that is none."""
    known = parameter(resource_type, "identifier") if identity.is_identifier else None
    if known is None:
        return None
    return SearchQuery(
        resource_type,
        (Clause(known, "", (TokenValue(identity.system, identity.value),)),),
        count=3,
        total="none",
    )


def replaced_by(patient: Mapping[str, Any]) -> str:
    """The id of the Patient that a Patient was merged into, "" for none."""
    for link in patient.get("link", ()):
        if link.get("type") == "replaced-by":
            match = LOCAL.fullmatch(str(link.get("other", {}).get("reference", "")))
            if match is not None and match[1] == "Patient":
                return match[2]
    return ""
