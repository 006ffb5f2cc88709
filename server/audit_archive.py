"""Archives of the audit trail: the beginning of the chain in a file that can be checked without a database.

A file is gzipped JSON lines: a heading with the end of what was archived before, the rows in their order
(number, columns in the order of `audit_chain.ENCODED`, hash), the head that is signed over the last of them.
"""

from __future__ import annotations

import gzip
import json
import os
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.auth.audit_heads import HeadError, check_head
from server.storage.audit_chain import ENCODED, FIRST_HASH, ChainEnd, ChainRow, SignedHead, chain_rows, row_hash
from server.storage.database import Database
from server.storage.instants import instant, milliseconds

FORMAT = "baton-audit-archive-1"
NOTE_FILE = "audit-archived.json"  # in BATON_HOME: how far the chain was archived
NO_ROW = ChainEnd(0, FIRST_HASH)


class ArchiveError(Exception):
    """An archive is not what it claims to be, or cannot be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Archived:
    """What a file holds. after: the end of what was archived before it. signed_by: the key's thumbprint."""

    after: ChainEnd
    end: ChainEnd
    rows: int
    signed_by: str


def write_archive(database: Database, path: Path, after: ChainEnd, head: SignedHead) -> None:
    """Write the rows behind `after` as far as a head; whole or not at all.

    Raises: OSError; ArchiveError where a row is missing or the file exists.
    """
    if path.exists():
        raise ArchiveError(f"{path.name} exists already")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as stream:
                for line in _lines(chain_rows(database, until=head.sequence), after, head):
                    stream.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            raw.flush()
            os.fsync(raw.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _lines(rows: Iterator[ChainRow], after: ChainEnd, head: SignedHead) -> Iterator[Any]:
    yield {
        "format": FORMAT,
        "columns": ENCODED,
        "after": {"sequence": after.sequence, "hash": after.hash.hex()},
    }
    expected = after.sequence + 1
    for row in rows:
        if row.sequence < expected:
            continue  # of an archive before, not removed yet
        if row.sequence != expected:
            raise ArchiveError(f"row {expected} is missing: `baton audit verify` tells more")
        yield [row.sequence, *row.columns, row.hash.hex()]
        expected += 1
    if expected != head.sequence + 1:
        raise ArchiveError(f"row {expected} is missing: `baton audit verify` tells more")
    yield {
        "sequence": head.sequence,
        "signed": milliseconds(head.signed),
        "signature": head.signature,
        "public_key": head.public_key,
    }


def read_archive(path: Path) -> Archived:
    """Check every row of a file against its hash, and its last row against the signed head.

    Raises: ArchiveError, OSError.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            heading = json.loads(next(stream))
            columns = tuple(heading["columns"])
            if heading["format"] != FORMAT or columns != ENCODED[: len(columns)]:
                raise ArchiveError(f"{path.name} was written by another release")
            after = ChainEnd(heading["after"]["sequence"], bytes.fromhex(heading["after"]["hash"]))
            end = after
            for rows, line in enumerate(stream):
                content = json.loads(line)
                if isinstance(content, dict):
                    return _ended(path, after, end, rows, content)
                sequence, *values, hash = content
                end = _followed(path, end, sequence, values, bytes.fromhex(hash))
    except (ValueError, TypeError, KeyError, EOFError, StopIteration, gzip.BadGzipFile):
        pass
    raise ArchiveError(f"{path.name} is no whole archive of an audit trail")


def _followed(path: Path, end: ChainEnd, sequence: int, columns: list[Any], hash: bytes) -> ChainEnd:
    if sequence != end.sequence + 1 or row_hash(end.hash, sequence, columns) != hash:
        raise ArchiveError(f"{path.name}: row {end.sequence + 1} is not what was sealed")
    return ChainEnd(sequence, hash)


def _ended(path: Path, after: ChainEnd, end: ChainEnd, rows: int, head: dict[str, Any]) -> Archived:
    signed = SignedHead(head["sequence"], instant(head["signed"]), head["signature"], head["public_key"])
    try:
        claimed, thumbprint = check_head(signed)
    except HeadError as error:
        raise ArchiveError(f"{path.name}: its head is false: {error}") from None
    if claimed != end:
        raise ArchiveError(f"{path.name}: its head is over other rows")
    return Archived(after, end, rows, thumbprint)


def joined(archives: Collection[Archived], until: ChainEnd) -> None:
    """Check that archives together are the beginning of a chain, as far as its archived end.

    Raises: ArchiveError.
    """
    end = NO_ROW
    for one in sorted(archives, key=lambda archive: archive.end.sequence):
        if one.after != end:
            raise ArchiveError(f"no archive holds the rows from {end.sequence + 1} to {one.after.sequence}")
        end = one.end
    if end != until:
        raise ArchiveError(
            f"the chain was archived as far as row {until.sequence}, the archives end at {end.sequence}"
        )
