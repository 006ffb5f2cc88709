"""Sealing the audit trail: the chain grows in the database; its newest head is noted beside the segments, too.

Whoever can change the database, but not BATON_HOME, can then cut nothing off the chain unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from server.auth.audit_heads import note_end
from server.storage.audit_chain import ChainEnd, Sign, SignedHead
from server.storage.database_store import DatabaseStore
from server.workers.housekeeping import Task

HEAD_FILE = "head.json"


def sealing(store: DatabaseStore, folder: Path, sign: Sign, clock: Callable[[], datetime]) -> Task:
    """The task that seals the rows that wait. folder: of the audit segments.

    Any number of workers may do it at once. Where it fails (FhirError, SigningKeyError, OSError) the next run
    goes on from where this one came to.
    """

    def sign_and_note(end: ChainEnd) -> SignedHead:
        head = sign(end)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        note_end(folder / HEAD_FILE, end, head)
        return head

    return Task("audit-seal", 2.0, lambda: store.seal_audit(sign_and_note, clock()))
