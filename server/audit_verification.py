"""Whether the audit trail is whole: every row's hash, the numbering, every signed head, and what still waits.

Read in one pass with flat memory, beside a running server. docs/explanation/audit.md tells what is proved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from server.auth.audit_heads import HeadError, check_head
from server.storage.audit_chain import (
    ENCODED,
    FIRST_HASH,
    ChainEnd,
    ChainRow,
    SignedHead,
    Unsealed,
    chain_extent,
    chain_rows,
    heads,
    row_hash,
    row_patients,
    unsealed,
)
from server.storage.audit_segments import MALFORMED, WaitingSegments, waiting_segments
from server.storage.database import Database

_FINDINGS_KEPT = 20
_INTERACTION = ENCODED.index("interaction")
_NO_ROW = ChainEnd(0, FIRST_HASH)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written. sequence: the first row it concerns."""

    sequence: int
    text: str


@dataclass(slots=True)
class Report:
    """What `verify` saw.

    unsealed, waiting: on the way into the chain. rows, heads: checked. archived: the last row that was taken
    out of the database, 0 for none. signed_until: the last row that a head of a trusted key is over. malformed:
    notes in the chain of what could not be read. findings: the first ones, finding_count: all. end: the last
    row that was read. head: the newest one, None for none.
    """

    unsealed: Unsealed
    waiting: WaitingSegments
    rows: int = 0
    heads: int = 0
    archived: int = 0
    signed_until: int = 0
    malformed: int = 0
    finding_count: int = 0
    findings: list[Finding] = field(default_factory=list)
    end: ChainEnd = _NO_ROW
    head: SignedHead | None = None

    def found(self, sequence: int, text: str) -> None:
        """Note a finding."""
        self.finding_count += 1
        if len(self.findings) < _FINDINGS_KEPT:
            self.findings.append(Finding(sequence, text))


def verify(
    database: Database,
    segments: Path,
    trusted: Collection[str],
    *,
    archived: ChainEnd = _NO_ROW,
    noted: Collection[ChainEnd] = (),
    progress: Callable[[int, int], None] = lambda done, whole: None,
) -> Report:
    """Check the chain as it is now.

    trusted: thumbprints of this deployment's signing keys. archived: the end of what was taken out of the
    database; the chain goes on from there. noted: ends of the chain that were written down earlier, elsewhere;
    those of archived rows are left alone. progress: is told how many rows are done, of how many.
    """
    report = Report(unsealed=unsealed(database), waiting=waiting_segments(database, segments))
    extent = chain_extent(database)
    if extent.row != extent.noted.sequence:
        report.found(
            min(extent.row, extent.noted.sequence) + 1,
            f"the chain was sealed as far as row {extent.noted.sequence}, and its last row is {extent.row}",
        )
    kept = heads(database, until=extent.head)
    if archived != _NO_ROW:
        kept = (head for head in kept if head.sequence >= archived.sequence)
    signatures = _Heads(kept, trusted, report)
    known: dict[int, set[bytes]] = {}
    for note in noted:
        if note.sequence > archived.sequence:
            known.setdefault(note.sequence, set()).add(note.hash)
    if archived != _NO_ROW:
        report.archived = archived.sequence
        signatures.compare(archived.sequence, archived.hash)
        if not report.heads:
            report.found(archived.sequence, "no signed head is over the rows that were archived")
    for row in _checked(database, extent.row, report, archived):
        report.malformed += row.columns[_INTERACTION] == MALFORMED
        signatures.compare(row.sequence, row.hash)
        if known.pop(row.sequence, set()) - {row.hash}:
            report.found(row.sequence, "the row is not the one of the head that was noted earlier")
        if report.rows % 1_000 == 0:
            progress(report.rows, extent.row)
    known.pop(0, None)
    for sequence in sorted(known):
        report.found(sequence, "the row of the head that was noted earlier is missing: the chain was cut")
    signatures.end()
    progress(report.rows, report.rows)
    report.findings.sort(key=lambda finding: finding.sequence)
    return report


def _checked(database: Database, until: int, report: Report, archived: ChainEnd) -> Iterator[ChainRow]:
    """The rows of the chain behind what was archived, each compared with the one before."""
    end = archived
    for row in chain_rows(database, until=until):
        if 0 < row.sequence <= archived.sequence:
            continue  # in the archive, and not removed yet
        if row.sequence != end.sequence + 1:
            report.found(
                end.sequence + 1,
                f"rows are missing or were added: {row.sequence} follows {end.sequence}",
            )
        elif row_hash(end.hash, row.sequence, row.columns) != row.hash:
            report.found(row.sequence, "the row is not what was sealed")
        if row.patients != row_patients(row.columns):
            report.found(row.sequence, "the row is not listed under the patients that it names")
        end = ChainEnd(row.sequence, row.hash)
        report.rows += 1
        yield row
    report.end = end


class _Heads:
    """The signed heads, met one after the other as the rows come by."""

    def __init__(self, every: Iterator[SignedHead], trusted: Collection[str], report: Report) -> None:
        self._every = every
        self._trusted = trusted
        self._report = report
        self._ahead = next(every, None)
        self._newest_is_trusted = True

    def compare(self, sequence: int, hash: bytes) -> None:
        """Check the heads up to a row, which has that hash."""
        while self._ahead is not None and self._ahead.sequence <= sequence:
            if self._ahead.sequence == sequence:
                self._check(self._ahead, hash)
            else:
                self._report.found(self._ahead.sequence, "a signed head is over a row that is missing")
            self._ahead = next(self._every, None)

    def end(self) -> None:
        """Note what is left when there are no more rows."""
        while self._ahead is not None:
            self._report.found(
                self._ahead.sequence, "a signed head is over a row that is missing: the chain was cut"
            )
            self._ahead = next(self._every, None)
        if self._report.head is not None and not self._newest_is_trusted:
            self._report.found(
                self._report.head.sequence, "the newest head was signed by a key that is not this deployment's"
            )

    def _check(self, head: SignedHead, hash: bytes) -> None:
        report = self._report
        report.heads += 1
        report.head = head
        try:
            end, thumbprint = check_head(head)
        except HeadError as error:
            report.found(head.sequence, f"a signed head is false: {error}")
            return
        self._newest_is_trusted = thumbprint in self._trusted
        if end.hash != hash:
            report.found(head.sequence, "the row is not the one that a head was signed over")
        elif self._newest_is_trusted:
            report.signed_until = head.sequence
