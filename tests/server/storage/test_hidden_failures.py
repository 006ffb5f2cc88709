"""A transaction that failed inside is never acknowledged, also when somebody kept the failure to himself."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
import pytest

from server.errors import FhirError
from server.fhir.visibility import EVERYTHING


@pytest.mark.postgresql("SQLite undoes the failed statement alone and commits the rest")
def test_a_commit_that_the_server_turns_into_a_rollback_is_an_error(chart: Any) -> None:
    with pytest.raises(FhirError) as refused, chart.store.writing() as writer:
        chart.put_in(writer, {"resourceType": "Patient", "id": "a"})
        with suppress(psycopg.Error), chart.store.database.reading() as connection:
            connection.execute("SELECT 1 FROM nowhere").fetchall()
    assert refused.value.kind == "unavailable"
    assert chart.reading(lambda reader: reader.read("Patient", "a", EVERYTHING)) is None
    chart.put({"resourceType": "Patient", "id": "a"})
    assert chart.reading(lambda reader: reader.read("Patient", "a", EVERYTHING)) is not None
