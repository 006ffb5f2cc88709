"""What PostgreSQL reports -> the error a caller can answer.

Source: postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import psycopg

from server.errors import FhirError
from server.storage.database import Overtaken

TOO_COSTLY = "The query took longer than this server allows; narrow it."


# SQLSTATE, or its class of two characters -> kind of error and what is said about it.
_KINDS = {
    "57014": ("too-costly", TOO_COSTLY),  # query_canceled
    "54": ("too-costly", "The query is larger than this server allows; narrow it."),  # program_limit_exceeded
    "53100": ("storage-full", "There is no room left to store this."),  # disk_full
    "08": ("unavailable", ""),  # connection_exception
    "0A000": ("unavailable", ""),  # a schema that changed under a prepared statement: the next connection works
    "25": ("unavailable", ""),  # invalid_transaction_state: a standby, one that failed or that the server ended
    "26000": ("unavailable", ""),  # a pooler that loses prepared statements
    "28": ("unavailable", ""),  # invalid_authorization_specification
    "3B": ("unavailable", ""),  # savepoint_exception: its transaction is gone
    "3D000": ("unavailable", ""),  # no such database
    "42501": ("unavailable", "The database does not let its user do this."),  # insufficient_privilege
    "53": ("unavailable", ""),  # insufficient_resources, too_many_connections among them
    "55": ("unavailable", ""),  # object_not_in_prerequisite_state, lock_not_available among them
    "57": ("unavailable", ""),  # operator_intervention: shutdowns, starting up
    "58": ("unavailable", ""),  # system_error
    "XX": ("unavailable", ""),  # internal_error, data_corrupted
}
_AWAY = "The database cannot be reached at the moment."
_OVERTAKEN = ("40001", "40P01")  # serialization_failure, deadlock_detected


def translated(error: psycopg.Error) -> Exception:
    """The error a caller can answer; a defect of ours stays a psycopg.Error."""
    state = error.sqlstate
    if state is None:  # no word from the server: it is not there, or went away
        away = isinstance(error, psycopg.OperationalError) or type(error) is psycopg.DatabaseError
        return FhirError("unavailable", _AWAY) if away else error
    if state in _OVERTAKEN:
        return Overtaken()
    kind, text = _KINDS.get(state) or _KINDS.get(state[:2]) or ("", "")
    return FhirError(kind, text or _AWAY) if kind else error
