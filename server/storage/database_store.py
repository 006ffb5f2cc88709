"""The store on one database: joins the parts of this package behind the interface."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from server.errors import FhirError
from server.fhir.custom_parameters import CustomParameters
from server.fhir.index_rows import IndexRows
from server.fhir.search_query import SearchParameter, SearchQuery, is_unresolved
from server.fhir.visibility import Limit, Visibility
from server.storage import (
    audit_chain,
    audit_rows,
    audit_search,
    audit_segments,
    claims,
    custom_parameters,
    history,
    record_pages,
    reindex,
    relationships,
    resources,
)
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
from server.storage.authorization_tables import AuthorizationTables
from server.storage.custom_parameters import KnownParameters, ParameterState
from server.storage.database import Connection, Database, Overtaken
from server.storage.dead_letters import DeadLetters
from server.storage.emergency_access import EmergencyAccesses
from server.storage.hl7v2_identities import Hl7v2Identities
from server.storage.hl7v2_log import Hl7v2Log
from server.storage.hl7v2_messages import Hl7v2Messages
from server.storage.hl7v2_sources import Hl7v2Sources
from server.storage.hl7v2_traces import Hl7v2Traces
from server.storage.hl7v2_work import Hl7v2Work
from server.storage.identity_links import IdentityLinks
from server.storage.jobs import Jobs
from server.storage.migrations import migrations, upgrade
from server.storage.outbox import Outbox
from server.storage.partner_tables import PartnerTables
from server.storage.partners import PartnerStore
from server.storage.relationships import Relationships
from server.storage.search import Search
from server.storage.search_explain import explain
from server.storage.search_of_types import SearchOfTypes
from server.storage.sign_in import SignInStore
from server.storage.sign_in_tables import SignInTables
from server.storage.versions import NewVersion, StoredVersion, VersionConflict
from server.storage.worker_rows import WorkerRows

if TYPE_CHECKING:
    from server.storage.definitions import StoredDefinitions


class DatabaseReader:
    """Reader over one open snapshot or transaction."""

    def __init__(
        self, database: Database, connection: Connection, known: KnownParameters, vocabulary: Path | None = None
    ) -> None:
        self._database = database
        self._connection = connection
        self._known = known
        self._vocabulary = vocabulary

    def custom_parameters(self) -> CustomParameters:
        return self._known.of(self._connection)

    def parameter_states(self, id: str = "") -> tuple[ParameterState, ...]:
        return custom_parameters.states(self._connection, id)

    def read(self, resource_type: str, id: str, visible: Visibility) -> StoredVersion | None:
        return resources.read(self._connection, resource_type, id, visible)

    def vread(self, resource_type: str, id: str, version_id: int, visible: Visibility) -> StoredVersion | None:
        return resources.vread(self._connection, resource_type, id, version_id, visible)

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
        with self._database.limited():
            return history.history(
                self._connection, resource_type, id, visible, since=since, at=at, count=count, after=after
            )

    def search(self, query: SearchQuery, visible: Visibility, *, includes_maximum: int = 1_000) -> SearchPage:
        with self._database.limited():
            return self._search(query, visible).page(includes_maximum)

    def explain(
        self, query: SearchQuery, visible: Visibility, *, includes_maximum: int = 1_000
    ) -> SearchExplanation:
        with self._database.limited():
            self._require_rows(query)
            asked = self._resolved(query, visible)
            return explain(self._connection, asked, visible, includes_maximum)

    def total(self, query: SearchQuery, visible: Visibility, cap: int | None) -> Total:
        with self._database.limited():
            return self._search(query, visible).total(cap)

    def _search(self, query: SearchQuery, visible: Visibility) -> Search | SearchOfTypes:
        self._require_rows(query)
        asked = self._resolved(query, visible)
        return (Search if query.resource_type else SearchOfTypes)(self._connection, asked, visible)

    def _require_rows(self, query: SearchQuery) -> None:
        reindex.require_rows(self._connection, query)
        custom_parameters.require_ready(self._connection, query)

    def _resolved(self, query: SearchQuery, visible: Visibility) -> SearchQuery:
        if not is_unresolved(query):
            return query
        from server.storage.resolution import resolved  # only these searches need all of terminology

        return resolved(self._connection, query, visible, self._vocabulary)

    @contextmanager
    def definitions(self, visible: Visibility) -> Iterator[StoredDefinitions]:
        from server.storage.definitions import StoredDefinitions
        from server.storage.vocabulary import current_vocabulary

        with self._database.limited():
            yield StoredDefinitions(self._connection, visible, current_vocabulary(self._vocabulary))

    def members(self, record: Record, visible: Visibility, count: int, after: Position | None) -> RecordPage:
        with self._database.limited():
            return record_pages.members(self._connection, record, visible, count, after)

    def referred(
        self,
        record: Record,
        targets: Collection[str],
        if_new: Collection[str],
        visible: Visibility,
        count: int,
        after: int,
    ) -> RecordPage:
        with self._database.limited():
            return record_pages.referred(self._connection, record, targets, if_new, visible, count, after)

    def require_relations(self) -> None:
        if not reindex.relations_are_complete(self._connection):
            raise FhirError(
                "not-ready",
                "Your role sees the charts you are related to, and what was stored before the last upgrade is"
                " still being indexed for that. Until it is done, some of them would be missing.",
            )

    def reaches(
        self,
        visible: Visibility,
        limits: Collection[Limit],
        patients: Collection[str],
        *,
        lasting: bool = False,
    ) -> bool:
        return relationships.reaches(self._connection, visible, limits, patients, lasting=lasting)

    def begins_chart(self, patient: str) -> bool:
        return not relationships.has_chart(self._connection, patient)


class DatabaseWriter(DatabaseReader):
    """Writer over one open write transaction."""

    def __init__(
        self, database: Database, connection: Connection, known: KnownParameters, vocabulary: Path | None = None
    ) -> None:
        super().__init__(database, connection, known, vocabulary)
        self._defined: dict[str, tuple[SearchParameter, ...]] = {}
        self._most = 0
        self._begun: set[str] = set()
        self._ahead: dict[tuple[str, str], StoredVersion | None] = {}
        self._held: set[tuple[str, str]] = set()  # to the end of this transaction

    def reaches(
        self,
        visible: Visibility,
        limits: Collection[Limit],
        patients: Collection[str],
        *,
        lasting: bool = False,
    ) -> bool:
        others = [patient for patient in patients if patient not in self._begun]
        if patients and not others:
            return True
        return super().reaches(visible, limits, others, lasting=lasting)

    def begins_chart(self, patient: str) -> bool:
        if patient not in self._begun and super().begins_chart(patient):
            self._begun.add(patient)
            return True
        return False

    def read(self, resource_type: str, id: str, visible: Visibility) -> StoredVersion | None:
        if self._ahead and (resource_type, id) in self._ahead and visible.whole(resource_type):
            return self._ahead.pop((resource_type, id))
        # Read in order to be written. Held first and read then, so that it is seen as its last writer left it.
        resources.hold(self._connection, resource_type, id)
        self._held.add((resource_type, id))
        return super().read(resource_type, id, visible)

    def read_ahead(self, identities: Collection[tuple[str, str]]) -> None:
        self._ahead = resources.held(self._connection, identities)
        self._held.update(self._ahead)

    def expect(self, standing: Mapping[tuple[str, str], StoredVersion | None]) -> None:
        self._ahead = dict(standing)
        resources.hold_later(self._connection, standing)
        self._held.update(standing)

    def put(self, new: NewVersion) -> None:
        resources.put(self._connection, new, is_held=(new.resource_type, new.id) in self._held)

    def is_defined(self, id: str) -> bool:
        return bool(self._defined.get(id)) or custom_parameters.is_defined(self._connection, id)

    def define(self, id: str, parameters: tuple[SearchParameter, ...], most: int) -> None:
        # One after the other from here on: two that had both written could not wait for each other later.
        self._connection.lock("custom parameters")
        self._defined[id], self._most = parameters, most

    def complete(self) -> None:
        """What comes last: from then on rows made with the parameters of before cannot be written."""
        if self._defined:
            custom_parameters.change(self._connection, self._defined, self._most)

    def claim(self, key: bytes) -> bool:
        return bool(claims.claim(self._connection, key).fetchall()[0][0] == 1)

    def audit(self, row: AuditRow) -> None:
        audit_rows.insert(self._connection, row)


class DatabaseStore:
    """A Store, and what the worker and the command line need beyond it.

    outbox: the relay's side of the outbox; dead_letters: people's side of it. jobs: work in the background.
    asynchronous: requests that are answered later. workers: the worker processes that live. relationships,
    emergency_access: who is related to whose chart, and who opened one without.
    authorization_pages: lists of clients and grants. identity_links: who people of other
    EHRs are here. hl7v2_log, hl7v2_sources: HL7 v2 messages as they are received, and who sends them;
    hl7v2_messages: as people see them; hl7v2_work, hl7v2_identities, hl7v2_traces: as they are applied.
    vocabulary: the folder of the terminology's file, None where none is used.
    """

    vocabulary: Path | None = None

    def __init__(self, database: Database) -> None:
        self.database = database
        self.outbox = Outbox(database)
        self.dead_letters = DeadLetters(database)
        self.jobs = Jobs(database)
        self.asynchronous = AsynchronousRequests(database)
        self.workers = WorkerRows(database)
        self.relationships = Relationships(database)
        self.emergency_access = EmergencyAccesses(database)
        self.identity_links = IdentityLinks(database)
        self.hl7v2_log = Hl7v2Log(database)
        self.hl7v2_messages = Hl7v2Messages(database)
        self.hl7v2_work = Hl7v2Work(database)
        self.hl7v2_identities = Hl7v2Identities(database)
        self.hl7v2_traces = Hl7v2Traces(database)
        self.hl7v2_sources = Hl7v2Sources(database)
        self._authorization = AuthorizationTables(database)
        self._sign_in = SignInTables(database)
        self.authorization_pages = AuthorizationPages(database)
        self._partners = PartnerTables(database)
        self._schema = migrations(database.dialect.name)[-1].number
        self._known = KnownParameters()

    @property
    def authorization(self) -> AuthorizationStore:
        return self._authorization

    @property
    def sign_in(self) -> SignInStore:
        return self._sign_in

    @property
    def partners(self) -> PartnerStore:
        return self._partners

    @contextmanager
    def reading(self) -> Iterator[DatabaseReader]:
        with self.database.reading() as connection:
            yield DatabaseReader(self.database, connection, self._known, self.vocabulary)

    @contextmanager
    def writing(self) -> Iterator[DatabaseWriter]:
        try:
            with self.database.writing() as connection:
                writer = DatabaseWriter(self.database, connection, self._known, self.vocabulary)
                yield writer
                writer.complete()
        except Overtaken:
            raise VersionConflict from None
        except VersionConflict:
            self._known.forget()
            raise

    def custom_parameters(self) -> CustomParameters:
        latest = self._known.latest
        if latest is None:
            with self.reading() as reader:
                latest = reader.custom_parameters()
        return latest

    def ready(self) -> bool:
        try:
            with self.database.reading() as connection:
                return self.database.schema_version(connection) == self._schema
        except FhirError:
            return False

    def upgrade(self) -> int:
        """Bring the database to this program's schema; see `migrations.upgrade`."""
        return upgrade(self.database)

    def ingest_audit(self, folder: Path) -> int:
        """Move the segments of a folder into the audit table; see `audit_segments.ingest_segments`."""
        return audit_segments.ingest_segments(self.database, folder)

    def seal_audit(
        self, sign: audit_chain.Sign, now: datetime, *, sign_every: timedelta = timedelta(minutes=1)
    ) -> int:
        """Give the rows that wait their place in the audit chain; see `audit_chain.seal`."""
        return audit_chain.seal(self.database, sign, now, sign_every=sign_every)

    def audit_rows(self, *, limit: int) -> tuple[AuditRow, ...]:
        """The last audit rows, sealed or not, newest first."""
        with self.database.reading() as connection:
            return audit_rows.newest_rows(connection, limit=limit)

    def search_audit(self, query: AuditQuery) -> AuditPage:
        with self.database.reading() as connection, self.database.limited():
            return audit_search.search(connection, query)

    def count_audit(self, query: AuditQuery, width: timedelta) -> tuple[AuditCount, ...]:
        with self.database.reading() as connection, self.database.limited():
            return audit_search.counts(connection, query, width)

    def audit_total(self, query: AuditQuery, cap: int | None) -> Total:
        with self.database.reading() as connection, self.database.limited():
            return audit_search.total(connection, query, cap)

    def reindexing(self) -> tuple[reindex.Progress, ...]:
        """What stored resources are being indexed again for."""
        with self.database.reading() as connection:
            return reindex.unfinished(connection)

    def reindex(
        self, what: str, index: Callable[[bytes], IndexRows | None], epoch: int = 0
    ) -> reindex.Progress | None:
        """Index the next resources again; see `reindex.step`."""
        return reindex.step(self.database, what, index, epoch=epoch)

    def parameter_states(self) -> tuple[ParameterState, ...]:
        """How far the search parameters are that the site has defined."""
        with self.database.reading() as connection:
            return custom_parameters.states(connection)

    def checkpoint(self, *, truncate: bool = False) -> tuple[int, int]:
        """Copy the write-ahead log into the database; see `Database.checkpoint`."""
        return self.database.checkpoint(truncate=truncate)

    def close(self) -> None:
        """Close this process's connections."""
        self.database.close()
