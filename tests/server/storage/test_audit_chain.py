"""The audit chain: sealed in order and once, and no change to what was sealed goes unseen.

Covers server/storage/audit_chain.py, server/auth/audit_heads.py, server/audit_verification.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.audit_verification import Report, verify
from server.auth.audit_heads import HeadError, check_head, head_signer, key_thumbprints, note_end, noted_end
from server.auth.keys import SigningKeys, signing_keys
from server.storage import audit_chain
from server.storage.audit_chain import ENCODED, FIRST_HASH, LATER, ChainEnd, row_hash
from server.storage.audit_rows import COLUMNS
from server.storage.audit_values import AuditRow

NOW = datetime(2026, 3, 1, 12, 0, 0, 5_000, tzinfo=UTC)
ROW = AuditRow(NOW, "Practitioner/p", "app", "read", "Patient", "a", 1, "a", 200, "request-1")
ISSUER = "http://127.0.0.1:8000"
LENGTH = 12


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SigningKeys:
    return signing_keys(tmp_path_factory.mktemp("home"), bytes(32), lambda: NOW)


@pytest.fixture(scope="module")
def trusted(keys: SigningKeys) -> frozenset[str]:
    return key_thumbprints(keys.public_set()["keys"])


def rows(count: int) -> list[AuditRow]:
    """Every second row names two patients, every third was refused."""
    return [
        replace(
            ROW,
            recorded=NOW + timedelta(seconds=number),
            id=f"r{number}",
            patient="a b" if number % 2 else "a",
            outcome=404 if number % 3 == 0 else 200,
            request_id=f"request-{number}",
        )
        for number in range(count)
    ]


def write(store: Any, *wanted: AuditRow) -> None:
    with store.writing() as writer:
        for row in wanted:
            writer.audit(row)


@pytest.fixture
def seal(store: Any, keys: SigningKeys) -> Callable[..., int]:
    """Seals and signs at a moment."""

    def run(now: datetime = NOW, **more: Any) -> int:
        return store.seal_audit(head_signer(keys, ISSUER, lambda: now), now, **more)

    return run


@pytest.fixture
def check(store: Any, trusted: frozenset[str], tmp_path: Path) -> Callable[..., Report]:
    def run(**more: Any) -> Report:
        return verify(store.database, tmp_path / "audit", more.pop("trusted", trusted), **more)

    return run


@pytest.fixture
def chain(store: Any, seal: Callable[..., int]) -> Any:
    """A chain with three heads."""
    made = rows(LENGTH)
    for part, moment in ((made[:5], 0), (made[5:6], 70), (made[6:], 140)):
        write(store, *part)
        assert seal(NOW + timedelta(seconds=moment)) == len(part)
    return store


def test_rows_are_sealed_in_their_order_and_once(
    store: Any, seal: Callable[..., int], check: Callable[..., Report]
) -> None:
    made = rows(3)
    write(store, *made)
    assert check().unsealed.rows == 3
    assert check().unsealed.oldest == made[0].recorded
    assert seal() == 3
    assert seal() == 0
    assert store.audit_rows(limit=10) == tuple(reversed(made))
    report = check()
    assert (report.rows, report.heads, report.signed_until, report.unsealed.rows) == (3, 1, 3, 0)
    assert report.findings == []


def test_a_long_queue_is_sealed_in_batches_of_one_chain(
    store: Any, seal: Callable[..., int], check: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_chain, "BATCH_ROWS", 7)
    monkeypatch.setattr(audit_chain, "BATCH_PATIENTS", 5)
    write(store, *rows(50))
    assert seal() == 50
    assert (check().rows, check().finding_count) == (50, 0)


def test_a_head_is_signed_at_most_as_often_as_asked(
    store: Any, seal: Callable[..., int], check: Callable[..., Report]
) -> None:
    for second in (0, 30, 59, 61):
        write(store, ROW)
        seal(NOW + timedelta(seconds=second))
    assert (check().heads, check().signed_until) == (2, 4)
    seal(NOW + timedelta(seconds=300))  # nothing new: nothing to sign
    assert check().heads == 2


def test_an_empty_trail_is_whole(check: Callable[..., Report]) -> None:
    report = check()
    assert (report.rows, report.finding_count, report.end) == (0, 0, ChainEnd(0, FIRST_HASH))


def test_sealers_at_the_same_time_make_one_chain(
    store: Any, seal: Callable[..., int], check: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_chain, "BATCH_ROWS", 3)
    write(store, *rows(60))
    sealed: list[int] = []

    def work() -> None:
        sealed.append(seal())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sealed.append(seal())  # a sealer that was overtaken leaves the rest to whoever overtook it
    assert sum(sealed) == 60
    report = check()
    assert (report.rows, report.finding_count, report.unsealed.rows) == (60, 0, 0)


def test_a_row_committed_late_is_sealed_late(
    store: Any, seal: Callable[..., int], check: Callable[..., Report]
) -> None:
    """Whatever number the database gave it: rows are taken because they wait."""
    write(store, *rows(3))
    seal()
    with store.database.writing() as connection:
        connection.execute(
            "INSERT INTO audit (id, recorded, principal, client_id, interaction, type, resource_id, version,"
            " patient, outcome, request_id) VALUES (1, 5, 'Client/c', 'c', 'read', '', '', 0, '', 200, 'late')"
        )
    assert seal() == 1
    assert store.audit_rows(limit=1)[0].request_id == "late"
    assert check().finding_count == 0


def test_a_sealing_that_fails_leaves_the_rows_waiting(
    store: Any, seal: Callable[..., int], check: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, *rows(3))
    monkeypatch.setattr(audit_chain, "_NAME_PATIENT", "INSERT INTO nowhere (patient) VALUES (:patient)")
    with pytest.raises(Exception):  # noqa: B017 - each database has its own
        seal()
    assert (check().rows, check().unsealed.rows) == (0, 3)
    monkeypatch.undo()
    assert seal() == 3
    assert check().finding_count == 0


def test_every_column_of_a_row_is_hashed() -> None:
    assert sorted(ENCODED) == sorted(COLUMNS.values())
    columns = [0 if name in ("recorded", "version", "outcome", "results") else "" for name in ENCODED]
    plain = row_hash(FIRST_HASH, 1, columns)
    for place, value in enumerate(columns):
        changed = [*columns[:place], 1 if value == 0 else "x", *columns[place + 1 :]]
        assert row_hash(FIRST_HASH, 1, changed) != plain


def test_the_hash_of_a_row_stays_what_it_was() -> None:
    """Released chains must verify with every later release; made with sha256sum over the documented form."""
    columns = (
        1772366400005,
        "Practitioner/p",
        "",
        "app",
        "",
        "",
        "",
        "read",
        "Patient",
        "a",
        1,
        "a",
        200,
        0,
        "",
        "ü",
    )
    assert (
        row_hash(FIRST_HASH, 1, columns).hex()
        == "b523c08488dfd5beebad675c0be956c54392905187193e487ee13016b773b81c"
    )


def test_a_column_that_came_later_is_hashed_where_it_holds_something() -> None:
    columns = [0 if name in ("recorded", "version", "outcome", "results") else "" for name in ENCODED]
    released = [column for name, column in zip(ENCODED, columns, strict=True) if name not in LATER]
    assert row_hash(FIRST_HASH, 1, columns) == row_hash(FIRST_HASH, 1, released)
    assert row_hash(FIRST_HASH, 1, [*released, "Organization/q"]) != row_hash(FIRST_HASH, 1, released)
    assert ENCODED[-len(LATER) :] == LATER


class _RolledBack(Exception):
    pass


def tampered(store: Any, check: Callable[..., Report], change: Callable[[Any], None], **more: Any) -> Report:
    """What is found after a change, which is then taken back."""
    found: list[Report] = []
    with pytest.raises(_RolledBack), store.database.writing() as connection:
        change(connection)
        found.append(check(**more))
        raise _RolledBack
    return found[0]


_TEXT = [name for name in ENCODED if name not in ("recorded", "version", "outcome", "results")]
_NUMBERS = ["recorded", "version", "outcome", "results"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), sequence=st.integers(1, LENGTH))
def test_a_change_of_any_column_of_any_row_is_found(
    chain: Any, check: Callable[..., Report], data: st.DataObject, sequence: int
) -> None:
    column = data.draw(st.sampled_from(ENCODED))
    kind = st.integers(0, 2**40) if column in _NUMBERS else st.text(st.characters(codec="ascii"), max_size=5)
    value = data.draw(kind.filter(lambda text: not isinstance(text, str) or "\0" not in text))
    with chain.database.reading() as connection:
        before = connection.execute(
            f"SELECT {column} FROM audit_chain WHERE sequence = :sequence", {"sequence": sequence}
        ).fetchone()[0]
    report = tampered(
        chain,
        check,
        lambda connection: connection.execute(
            f"UPDATE audit_chain SET {column} = :value WHERE sequence = :sequence",
            {"value": value, "sequence": sequence},
        ),
    )
    if value == before:
        assert report.finding_count == 0
    else:
        assert report.findings[0].sequence == sequence


@pytest.mark.parametrize("sequence", range(1, LENGTH + 1))
def test_a_removed_row_is_found(chain: Any, check: Callable[..., Report], sequence: int) -> None:
    report = tampered(chain, check, lambda connection: _delete(connection, sequence))
    assert report.findings[0].sequence == sequence


def _delete(connection: Any, sequence: int) -> None:
    connection.execute("DELETE FROM audit_chain WHERE sequence = :sequence", {"sequence": sequence})
    connection.execute("DELETE FROM audit_patient WHERE sequence = :sequence", {"sequence": sequence})


@pytest.mark.parametrize(("one", "other"), [(1, 2), (3, 9), (11, 12)])
def test_two_rows_that_changed_places_are_found(
    chain: Any, check: Callable[..., Report], one: int, other: int
) -> None:
    def swap(connection: Any) -> None:
        for before, after in ((one, 1_000), (other, one), (1_000, other)):
            for table in ("audit_chain", "audit_patient"):
                connection.execute(
                    f"UPDATE {table} SET sequence = :after WHERE sequence = :before",
                    {"before": before, "after": after},
                )

    assert tampered(chain, check, swap).findings[0].sequence == one


@pytest.mark.parametrize("sequence", [0, -4, LENGTH + 1, LENGTH + 50])
def test_an_added_row_is_found(chain: Any, check: Callable[..., Report], sequence: int) -> None:
    names = ", ".join(ENCODED)

    def add(connection: Any) -> None:
        connection.execute(
            f"INSERT INTO audit_chain (sequence, {names}, hash)"
            f" SELECT :sequence, {names}, hash FROM audit_chain WHERE sequence = 4",
            {"sequence": sequence},
        )

    assert tampered(chain, check, add).finding_count > 0


def test_a_row_inserted_in_between_and_all_numbers_moved_is_found(
    chain: Any, check: Callable[..., Report]
) -> None:
    names = ", ".join(ENCODED)

    def insert(connection: Any) -> None:
        for sequence in range(LENGTH, 6, -1):
            for table in ("audit_chain", "audit_patient"):
                connection.execute(
                    f"UPDATE {table} SET sequence = :next WHERE sequence = :sequence",
                    {"next": sequence + 1, "sequence": sequence},
                )
        connection.execute(
            f"INSERT INTO audit_chain (sequence, {names}, hash) SELECT 7, {names}, hash FROM audit_chain"
            " WHERE sequence = 6"
        )
        connection.execute("UPDATE audit_sealer SET sequence = sequence + 1")

    assert tampered(chain, check, insert).findings[0].sequence == 7


def test_a_chain_hashed_anew_after_a_change_is_found_by_its_heads(
    chain: Any, check: Callable[..., Report]
) -> None:
    report = tampered(chain, check, lambda connection: _rewrite(connection, 3))
    assert {finding.sequence for finding in report.findings} == {5, 6, LENGTH}
    assert all("head was signed over" in finding.text for finding in report.findings)


def _rewrite(connection: Any, changed: int) -> None:
    """Change a row and hash all rows anew, as whoever has no signing key could."""
    names = ", ".join(ENCODED)
    connection.execute(
        "UPDATE audit_chain SET principal = 'User/nobody' WHERE sequence = :changed", {"changed": changed}
    )
    previous = FIRST_HASH
    for sequence, *columns in connection.execute(
        f"SELECT sequence, {names} FROM audit_chain ORDER BY sequence"
    ).fetchall():
        previous = row_hash(previous, sequence, columns)
        connection.execute(
            "UPDATE audit_chain SET hash = :hash WHERE sequence = :sequence",
            {"hash": previous, "sequence": sequence},
        )


def test_heads_signed_anew_with_another_key_are_found(
    chain: Any, check: Callable[..., Report], tmp_path: Path
) -> None:
    other = signing_keys(tmp_path / "other", bytes(32), lambda: NOW)

    def forge(connection: Any) -> None:
        _rewrite(connection, 3)
        connection.execute("DELETE FROM audit_head")
        chain.seal_audit(head_signer(other, ISSUER, lambda: NOW), NOW)

    report = tampered(chain, check, forge)
    assert [finding.text for finding in report.findings] == [
        "the newest head was signed by a key that is not this deployment's"
    ]
    assert report.signed_until == 0


def test_a_head_of_a_retired_key_stands_under_a_newer_one(
    chain: Any, check: Callable[..., Report], tmp_path: Path
) -> None:
    newer = signing_keys(tmp_path / "newer", bytes(32), lambda: NOW)
    later = NOW + timedelta(hours=1)
    write(chain, ROW)
    chain.seal_audit(head_signer(newer, ISSUER, lambda: later), later)
    report = check(trusted=key_thumbprints(newer.public_set()["keys"]))
    assert (report.finding_count, report.heads, report.signed_until) == (0, 4, LENGTH + 1)


@pytest.mark.parametrize("keep", [0, 4, 5, 6, LENGTH - 1])
def test_a_chain_that_was_cut_is_found(chain: Any, check: Callable[..., Report], keep: int) -> None:
    """Rows and the sealer's note together: the heads tell. Heads as well: what was noted elsewhere tells."""

    def cut(connection: Any, heads_too: bool) -> None:
        tables = (
            ("audit_chain", "audit_patient", "audit_head") if heads_too else ("audit_chain", "audit_patient")
        )
        for table in tables:
            connection.execute(f"DELETE FROM {table} WHERE sequence > :keep", {"keep": keep})
        connection.execute("UPDATE audit_sealer SET sequence = :keep", {"keep": keep})

    report = tampered(chain, check, lambda connection: cut(connection, False))
    assert any("cut" in finding.text for finding in report.findings)
    noted = check().end
    report = tampered(chain, check, lambda connection: cut(connection, True), noted=[noted])
    assert [finding.sequence for finding in report.findings] == [LENGTH]
    assert "cut" in report.findings[0].text


def test_a_chain_made_anew_does_not_hold_what_was_noted(chain: Any, check: Callable[..., Report]) -> None:
    noted = check().end

    def again(connection: Any) -> None:
        _rewrite(connection, 3)
        connection.execute("DELETE FROM audit_head")

    report = tampered(chain, check, again, noted=[noted])
    assert [finding.sequence for finding in report.findings] == [LENGTH]
    assert check(noted=[noted, ChainEnd(0, FIRST_HASH)]).finding_count == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_head SET signature = 'e30.e30.AAAA' WHERE sequence = 6",
        "UPDATE audit_head SET signed = signed + 5000 WHERE sequence = 6",
        "UPDATE audit_head SET sequence = 7 WHERE sequence = 6",
        "UPDATE audit_head SET public_key = '{}' WHERE sequence = 6",
        "UPDATE audit_head SET public_key = '[' WHERE sequence = 6",
        "UPDATE audit_head SET signature = (SELECT signature FROM audit_head WHERE sequence = 5)"
        " WHERE sequence = 6",
    ],
)
def test_a_changed_head_is_found(chain: Any, check: Callable[..., Report], change: str) -> None:
    report = tampered(chain, check, lambda connection: connection.execute(change))
    assert report.findings[0].sequence in (6, 7)
    assert "head" in report.findings[0].text


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM audit_patient WHERE sequence = 2 AND patient = 'b'",
        "UPDATE audit_patient SET patient = 'c' WHERE sequence = 2 AND patient = 'b'",
        "UPDATE audit_patient SET recorded = 0 WHERE sequence = 2 AND patient = 'b'",
        "INSERT INTO audit_patient (patient, recorded, sequence) VALUES ('c', 0, 2)",
    ],
)
def test_hiding_a_row_from_a_patients_own_list_is_found(
    chain: Any, check: Callable[..., Report], change: str
) -> None:
    report = tampered(chain, check, lambda connection: connection.execute(change))
    assert [finding.sequence for finding in report.findings] == [2]


def test_no_other_token_of_ours_passes_for_a_head(chain: Any, keys: SigningKeys) -> None:
    (*_, head) = audit_chain.heads(chain.database, until=LENGTH)
    end, _ = check_head(head)
    claims = {"iat": int(head.signed.timestamp()), "sequence": end.sequence, "hash": end.hash.hex()}
    with pytest.raises(HeadError):
        check_head(replace(head, signature=keys.sign(claims)))


def test_an_end_that_was_noted_reads_back(tmp_path: Path) -> None:
    end = ChainEnd(7, b"\1" * 32)
    note_end(tmp_path / "head.json", end, None)
    assert noted_end(tmp_path / "head.json") == end
    assert (tmp_path / "head.json").stat().st_mode & 0o077 == 0
    (tmp_path / "head.json").write_text("[]")
    with pytest.raises(HeadError):
        noted_end(tmp_path / "head.json")


def test_progress_is_told_to_the_end(chain: Any, check: Callable[..., Report]) -> None:
    told: list[tuple[int, int]] = []
    check(progress=lambda done, whole: told.append((done, whole)))
    assert told[-1] == (LENGTH, LENGTH)
