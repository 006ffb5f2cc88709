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
from server.fhir.hashing import token_hash
from server.fhir.json_codec import decode_stored
from server.fhir.references import LOCAL
from server.fhir.search_parameters import parameter
from server.fhir.search_query import Clause, SearchQuery, TokenValue
from server.fhir.visibility import EVERYTHING
from server.hl7v2.joining import Json, content
from server.hl7v2.refusal import Refused
from server.storage.hl7v2_identities import Hl7v2Identities, Known, identity_hash
from server.storage.interface import Reader
from server.storage.versions import StoredVersion

_MATCHES = 200  # resources with any of a message's identifiers; more than two of a Patient are as bad as three
_LONGEST_CHAIN = 50  # merges one after the other; a longer one is a circle that somebody stored


class Current:
    """What is stored under an id. stored: as it was read, None for nothing. version: 0 where there never was
    anything. there: it is there now."""

    __slots__ = ("_content", "stored", "there", "version")

    def __init__(self, stored: StoredVersion | None) -> None:
        self.stored = stored
        self.version = stored.version_id if stored is not None else 0
        self.there = stored is not None and not stored.deleted
        self._content: Json | None = None

    @property
    def content(self) -> Json | None:
        """What it says, decoded when it is asked for; None where there is nothing."""
        if self._content is None and self.stored is not None and self.there:
            self._content = content(decode_stored(self.stored.body))
        return self._content


@dataclass(frozen=True, slots=True)
class Found:
    """direct: the id that the identities lead to, "" for none yet. id: the same after merges. known: what was
    applied to it last."""

    direct: str = ""
    id: str = ""
    known: Known | None = None


class Looked:
    """What the identities of messages lead to and what is stored of it, read together.

    known: by the hash of an identity, what it has become. read: by Type/id, what is stored. having: by the
    token of an identifier, the ids of what is stored with it. is_whole: no more is stored with any of them.
    """

    __slots__ = ("having", "is_whole", "known", "read")

    def __init__(self, identities: Hl7v2Identities, intents: Iterable[Intent]) -> None:
        hashes = [(intent, hashes_of(intent)) for intent in intents]
        self.known = identities.find({hash for _, of_intent in hashes for hash in of_intent})
        asked = {
            token
            for intent, of_intent in hashes
            if _type(intent) == "Patient" or not any(hash in self.known for hash in of_intent)
            for identity in intent.identities
            if (token := identifier_token(_type(intent), identity)) is not None
        }
        references = {f"{known.resource_type}/{known.id}" for known in self.known.values()}
        stored, having = identities.stored(references, asked, _MATCHES)
        self.is_whole = len(having) < _MATCHES
        self.read = {reference: Current(version) for reference, version in stored.items()}
        self.having: dict[int, list[str]] = {}
        for token, version in having:
            self.read.setdefault(f"{version.resource_type}/{version.id}", Current(version))
            self.having.setdefault(token, []).append(version.id)


class Finder:
    """Says what the identities of a message mean, in one snapshot. looked: what was read for it, and perhaps
    for other messages as well; what else it reads is kept there."""

    def __init__(
        self, reader: Reader, identities: Hl7v2Identities, intents: Iterable[Intent], looked: Looked
    ) -> None:
        self._reader, self._identities = reader, identities
        self._hashes = {intent.key: hashes_of(intent) for intent in intents}
        self._known, self._read, self._having = looked.known, looked.read, looked.having

    def read(self, resource_type: str, id: str) -> Current:
        """What is stored under an id."""
        reference = f"{resource_type}/{id}"
        if reference not in self._read:
            self._read[reference] = Current(self._reader.read(resource_type, id, EVERYTHING))
        return self._read[reference]

    def hashes(self, intent: Intent) -> tuple[int, ...]:
        """The keys of an intent's identities, in their order."""
        return self._hashes[intent.key]

    def known(self, hash: int) -> Known | None:
        """What an identity has become before this message."""
        return self._known.get(hash)

    def find(self, intent: Intent, *, ended: bool = False) -> Found:
        """The resource that an intent's identities mean.

        ended: it is the one that a merge ends, so what merely keeps its identifier as an old one is not meant.
        Raises: Refused ambiguous, other-type.
        """
        resource_type = _type(intent)
        known = [found for hash in self._hashes[intent.key] if (found := self._known.get(hash)) is not None]
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
        last = next((found for found in known if found.id == id), None)
        return Found(direct, id, last or self._identities.last("Patient", id))

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
        """The ids of the resources that have the identifier, each with its `use` there."""
        token = identifier_token(resource_type, identity)
        found = []
        for id in self._having.get(token, ()) if token is not None else ():
            said = (self.read(resource_type, id).content or {}).get("identifier", [])
            for item in said if isinstance(said, list) else [said]:
                if (item.get("system", ""), item.get("value")) == (identity.system, identity.value):
                    found.append((id, str(item.get("use", ""))))
                    break
        return found


def hashes_of(intent: Intent) -> tuple[int, ...]:
    """The keys of an intent's identities, in their order."""
    return tuple([identity_hash(_type(intent), one.system, one.value) for one in intent.identities])


def identifier_token(resource_type: str, identity: Identity) -> int | None:
    """The token of the search index of an identity that is an identifier, None for one that is none."""
    known = parameter(resource_type, "identifier") if identity.is_identifier else None
    return None if known is None else token_hash(known.number, identity.system, identity.value)


def identifier_query(resource_type: str, identity: Identity) -> SearchQuery | None:
    """The search for an identity that is an identifier, None for one that is none."""
    known = parameter(resource_type, "identifier") if identity.is_identifier else None
    if known is None:
        return None
    clause = Clause(known, "", (TokenValue(identity.system, identity.value),))
    return SearchQuery(resource_type, (clause,), count=2, total="none")


def _type(intent: Intent) -> str:
    return str(intent.resource["resourceType"])


def replaced_by(patient: Mapping[str, Any]) -> str:
    """The id of the Patient that a Patient was merged into, "" for none."""
    for link in patient.get("link", ()):
        if link.get("type") == "replaced-by":
            match = LOCAL.fullmatch(str(link.get("other", {}).get("reference", "")))
            if match is not None and match[1] == "Patient":
                return match[2]
    return ""
