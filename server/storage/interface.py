"""The store as the rest of the server sees it: values in, values out, one transaction per unit of work.

Everything that returns resources takes a Visibility and applies it in SQL before LIMIT. A resource that
exists but may not be seen is answered as if it did not exist. The implementation is `database_store`, over
SQLite or PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from server.fhir.custom_parameters import CustomParameters
from server.fhir.search_query import SearchParameter, SearchQuery
from server.fhir.visibility import Limit, Visibility
from server.storage.answers import (
    HistoryPage,
    Position,
    Record,
    RecordPage,
    SearchExplanation,
    SearchPage,
    Total,
)
from server.storage.asynchronous import AsynchronousRequests
from server.storage.audit_values import AuditCount, AuditPage, AuditQuery, AuditRow
from server.storage.authorization import AuthorizationStore
from server.storage.authorization_pages import AuthorizationPages
from server.storage.custom_parameters import ParameterState
from server.storage.dead_letters import DeadLetters
from server.storage.emergency_access import EmergencyAccesses
from server.storage.hl7v2_identities import Hl7v2Identities
from server.storage.hl7v2_log import Hl7v2Log
from server.storage.hl7v2_messages import Hl7v2Messages
from server.storage.hl7v2_sources import Hl7v2Sources
from server.storage.hl7v2_traces import Hl7v2Traces
from server.storage.identity_links import IdentityLinks
from server.storage.jobs import Jobs
from server.storage.outbox import Outbox
from server.storage.partners import PartnerStore
from server.storage.relationships import Relationships
from server.storage.sign_in import SignInStore
from server.storage.versions import NewVersion, StoredVersion
from server.storage.worker_rows import WorkerRows

if TYPE_CHECKING:  # loaded when it is asked for
    from server.storage.definitions import StoredDefinitions


class Reader(Protocol):
    """A consistent snapshot of the store."""

    def custom_parameters(self) -> CustomParameters:
        """The search parameters that the site has defined, as of this snapshot."""

    def parameter_states(self, id: str = "") -> tuple[ParameterState, ...]:
        """How far they are: those of one SearchParameter resource, or all."""

    def read(self, resource_type: str, id: str, visible: Visibility) -> StoredVersion | None:
        """The current version (possibly a deletion), None where absent or not visible.

        Rules with criteria never show a deletion: there is nothing left that could fulfil them.
        """

    def vread(self, resource_type: str, id: str, version_id: int, visible: Visibility) -> StoredVersion | None:
        """A given version, None where absent or not visible.

        Of a resource that came into other compartments, rules with patients show only the versions since
        then; rules with criteria show only the current version, the one they can be judged on.
        """

    def history(
        self,
        resource_type: str | None,
        id: str | None,
        visible: Visibility,
        *,
        since: datetime | None,
        at: tuple[datetime, datetime] | None,
        count: int,
        after: int | None,
    ) -> HistoryPage:
        """Versions of an instance, of a type (id None) or of the system (both None), as `vread` shows them.

        since: only versions made at or after it. at: only versions that were current at some moment between
        its first and its last, both included.
        An instance with no visible version gives an empty page with total 0.
        """

    def search(self, query: SearchQuery, visible: Visibility, *, includes_maximum: int = 1_000) -> SearchPage:
        """One page of matches with what its includes bring.

        Raises: FhirError too-costly when it takes longer than the store allows; unsupported-search for a
        condition or modifier the store cannot answer.
        """

    def explain(
        self, query: SearchQuery, visible: Visibility, *, includes_maximum: int = 1_000
    ) -> SearchExplanation:
        """Run one page of a search and tell how it was done: for people who look after the server.

        Lengths of lists count what the caller may not see as well. Raises: as `search`.
        """

    def total(self, query: SearchQuery, visible: Visibility, cap: int | None) -> Total:
        """How many resources match all pages together; counting stops at cap when one is given.

        Raises: as `search`.
        """

    def definitions(self, visible: Visibility) -> AbstractContextManager[StoredDefinitions]:
        """The value sets, code systems and concept maps that are known here, and stored where it is visible.

        Inside the block looking them up raises: FhirError too-costly, as a search.
        """

    def members(self, record: Record, visible: Visibility, count: int, after: Position | None) -> RecordPage:
        """A page of what belongs to a record, the Patient or Encounter itself left out, in an order that no
        write changes.

        A resource without a date of care is left out by no range of them. Raises: FhirError too-costly.
        """

    def referred(
        self,
        record: Record,
        targets: Collection[str],
        if_new: Collection[str],
        visible: Visibility,
        count: int,
        after: int,
    ) -> RecordPage:
        """A page of those of the targets ("Type/id") that are no members of the record and in the chart of
        nobody, or of its patients; behind a row id. if_new: targets that count only if they are as new as the
        record's `since`. Its range of care does not matter for them.

        Raises: FhirError too-costly.
        """

    def require_relations(self) -> None:
        """Go on only if all that is stored has its relationships.

        Raises: FhirError not-ready while what was stored before an upgrade is being indexed for them: who is
        limited by relationships would miss charts, and nobody could tell.
        """

    def reaches(
        self,
        visible: Visibility,
        limits: Collection[Limit],
        patients: Collection[str],
        *,
        lasting: bool = False,
    ) -> bool:
        """Whether the caller of a Visibility keeps all limits with each of the patients' charts (ids); with
        none of them only limits that are none for the caller.

        lasting: an emergency access does not count. Within a transaction the charts that it began are in reach.
        """

    def begins_chart(self, patient: str) -> bool:
        """Whether nothing is in the chart of a patient, nor ever was: who writes the Patient begins it."""


class Writer(Reader, Protocol):
    """One write transaction: everything or nothing. It reads what it wrote."""

    def read_ahead(self, identities: Collection[tuple[str, str]]) -> None:
        """Read the current versions of what is about to be written (type, id), all by one statement: the next
        `read` of each is answered by it, so nothing may write it in between."""

    def expect(self, standing: Mapping[tuple[str, str], StoredVersion | None]) -> None:
        """As `read_ahead`, of what is about to be written and was read before this transaction, None for what
        was not there. Nobody is waited for; `put` finds out whether it is still so."""

    def put(self, new: NewVersion) -> None:
        """Write the version, its history row, the difference of its index rows and its outbox row.

        It is made ready here and written with the transaction's other versions: before the next thing that is
        asked of the database, at the latest with the commit. There it is raised.
        Raises: VersionConflict if the current version is not new.expected_version, or the site's search
        parameters are others than those its rows were made with.
        """

    def is_defined(self, id: str) -> bool:
        """Whether a SearchParameter resource defines search parameters."""

    def define(self, id: str, parameters: tuple[SearchParameter, ...], most: int) -> None:
        """At the end of the transaction: let the SearchParameter resource define these, none for nothing any
        more.

        most: how many there may be of all resources. Raises then: FhirError business-rule (a code is taken),
        too-costly.
        """

    def claim(self, key: bytes) -> bool:
        """Serialise transactions on key: waits until no other one holds it; True if it was never taken before.

        For a conditional create: claim the hash of its criteria first, then search, then create only if
        nothing matches. The answer is a hint: what an earlier holder created may have been deleted since.
        """

    def audit(self, row: AuditRow) -> None:
        """Add an audit row to the transaction."""


class Store(Protocol):
    """What `open_store` gives. Safe to share between threads, and across fork.

    vocabulary: the folder of the terminology's file, None where none is used.
    """

    vocabulary: Path | None

    @property
    def authorization(self) -> AuthorizationStore:
        """The tables of the authorization server; its calls join a surrounding `writing()` of the thread."""

    @property
    def sign_in(self) -> SignInStore:
        """Second factors, accounts elsewhere, failed attempts; its calls join a surrounding `writing()`."""

    @property
    def authorization_pages(self) -> AuthorizationPages:
        """Clients and grants, a page at a time."""

    @property
    def partners(self) -> PartnerStore:
        """Partner organisations; its calls join a surrounding `writing()` of the thread."""

    @property
    def outbox(self) -> Outbox:
        """Events on their way to consumers."""

    @property
    def hl7v2_log(self) -> Hl7v2Log:
        """HL7 v2 messages as they are received."""

    @property
    def hl7v2_messages(self) -> Hl7v2Messages:
        """The log of HL7 v2 messages as people see it."""

    @property
    def hl7v2_traces(self) -> Hl7v2Traces:
        """How the results of HL7 v2 messages came about; its calls join a surrounding `writing()`."""

    @property
    def hl7v2_identities(self) -> Hl7v2Identities:
        """What the identities of HL7 v2 messages have become."""

    @property
    def hl7v2_sources(self) -> Hl7v2Sources:
        """Who sends HL7 v2 messages."""

    @property
    def dead_letters(self) -> DeadLetters:
        """The outbox as people see it."""

    @property
    def jobs(self) -> Jobs:
        """Work in the background."""

    @property
    def asynchronous(self) -> AsynchronousRequests:
        """Requests that are answered later."""

    @property
    def relationships(self) -> Relationships:
        """Who is related to whose chart, for people who look after it."""

    @property
    def emergency_access(self) -> EmergencyAccesses:
        """Charts that were opened in an emergency; its calls join a surrounding `writing()` of the thread."""

    @property
    def workers(self) -> WorkerRows:
        """The worker processes that live."""

    @property
    def identity_links(self) -> IdentityLinks:
        """Who people of other EHRs are here."""

    def custom_parameters(self) -> CustomParameters:
        """The search parameters that the site has defined, as far as this process knows: to make index rows
        with. What was made with others than those of now is refused as a VersionConflict, and then they are
        known.
        """

    def reading(self) -> AbstractContextManager[Reader]:
        """A snapshot for one interaction. Inside `writing()` of the same thread it sees what that wrote.

        Raises: FhirError unavailable.
        """

    def writing(self) -> AbstractContextManager[Writer]:
        """A transaction: committed once when the block ends, rolled back when it raises.

        When the block has ended without an exception, everything in it is durable. Inside another
        `writing()` of the same thread it is a part of that one that can fail alone.
        Raises: FhirError storage-full, unavailable; then nothing was written.
        """

    def ready(self) -> bool:
        """Whether the database answers and has the schema this program needs."""

    def search_audit(self, query: AuditQuery) -> AuditPage:
        """One page of sealed audit rows, in the order of their moments.

        Raises: FhirError too-costly, invalid-search (a condition that no row can be compared with).
        """

    def count_audit(self, query: AuditQuery, width: timedelta) -> tuple[AuditCount, ...]:
        """How many rows each span of the given width has, spans without any left out; the oldest first.

        query.count and query.after play no part. Raises: as `search_audit`.
        """

    def audit_total(self, query: AuditQuery, cap: int | None) -> Total:
        """How many sealed audit rows all pages together hold; counting stops at cap when one is given.

        query.count, query.ascending and query.after play no part. Raises: as `search_audit`.
        """
