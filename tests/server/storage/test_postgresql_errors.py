"""What PostgreSQL reports, and what a caller is told."""

from __future__ import annotations

import psycopg
import pytest

from server.errors import FhirError
from server.storage.database import Overtaken
from server.storage.postgresql_errors import translated
from server.storage.postgresql_values import dump


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("25P02", "unavailable"),  # in_failed_sql_transaction
        ("25P03", "unavailable"),  # idle_in_transaction_session_timeout
        ("25006", "unavailable"),
        ("3B001", "unavailable"),  # the savepoint of a transaction that is gone
        ("08006", "unavailable"),
        ("57P01", "unavailable"),
        ("42501", "unavailable"),
        ("53100", "storage-full"),
        ("57014", "too-costly"),
        ("40P01", ""),
    ],
)
def test_what_the_server_reports_of_its_own_state_is_no_defect_of_ours(state: str, kind: str) -> None:
    said = translated(psycopg.errors.lookup(state)("x"))
    if kind:
        assert isinstance(said, FhirError)
        assert said.kind == kind
    else:
        assert isinstance(said, Overtaken)


def test_a_server_gone_without_a_word_is_unavailable() -> None:
    assert isinstance(translated(psycopg.DatabaseError("the connection is lost")), FhirError)
    assert isinstance(translated(psycopg.OperationalError("the connection is lost")), FhirError)
    assert isinstance(translated(psycopg.ProgrammingError("a defect")), psycopg.Error)


def test_what_is_no_value_is_refused_before_it_is_sent() -> None:
    for value in (object(), {}, (1,)):
        with pytest.raises(TypeError):
            dump(value)
