"""Backup beside a running server, and restore: what was acknowledged before is there, whole, and goes on.

Writers are processes of their own that create, update, delete, read and send transactions without a pause while
the backup runs. Every pair of databases is tried: a backup of one kind restores into the other.
Covers server/backup, server/backup_command.py, server/storage/table_copy.py, server/storage/audit_tails.py.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server import app as server_app
from server.auth.keys import signing_keys
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.backup.table_files import read_table, write_table
from server.cli import main
from server.fhir.json_codec import decode
from server.interactions.perform import perform
from server.interactions.request import InteractionRequest
from server.settings import Settings, read_settings
from server.storage import audit_segments, open_store, table_copy
from server.storage.audit_tails import snapshot_with_segments
from server.storage.audit_values import AuditRow
from server.storage.database_store import DatabaseStore
from server.storage.migrations import migrations, upgrade
from server.storage.sqlite_database import SqliteDatabase

SECRET_KEY = "a key for tests only, long enough to be one"
NUMBER = "urn:example:number"
EVERYTHING_SCOPE = Principal("tests", parse_scopes("system/*.cruds"))


NewHome = Callable[[str], "Home"]


class Home:
    """A deployment, and `baton` run in it."""

    def __init__(self, path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.database_url, self._monkeypatch = path, database_url, monkeypatch
        self.environment = {
            "BATON_HOME": str(path),
            "BATON_DATABASE_URL": database_url,
            "BATON_SECRET_KEY": SECRET_KEY,
            "BATON_TIME_ZONE": "America/New_York",
        }

    @property
    def settings(self) -> Settings:
        return read_settings(self.environment)

    def baton(self, *arguments: str, **more: str) -> Result:
        with self._monkeypatch.context() as patch:
            for name, value in (self.environment | more).items():
                patch.setenv(name, value)
            return CliRunner().invoke(main, list(arguments))

    def run(self, *arguments: str) -> dict[str, Any]:
        """The report of a command that must succeed."""
        answer = self.baton(*arguments, "--json")
        assert answer.exit_code == 0, answer.output
        report: dict[str, Any] = json.loads(answer.stdout)
        return report

    def store(self) -> DatabaseStore:
        return open_store(self.database_url)


@pytest.fixture
def new_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> NewHome:
    """`new_home("postgresql")`: an empty deployment."""
    numbers = itertools.count(1)

    def make(kind: str = "sqlite") -> Home:
        path = tmp_path / f"home-{next(numbers)}"
        url = f"sqlite:///{path / 'baton.sqlite3'}"
        if kind == "postgresql":
            url = request.getfixturevalue("cluster").create_database(f"backup_{uuid.uuid4().hex}")
        return Home(path, url, monkeypatch)

    return make


@pytest.fixture
def home(new_home: NewHome) -> Home:
    """A deployment with keys, a few resources, a token and files of the app."""
    made = new_home("sqlite")
    assert made.baton("db", "upgrade").exit_code == 0
    signing_keys(made.path, SECRET_KEY.encode())
    store = made.store()
    writer = Writer(made.settings, store, 0)
    for _ in range(5):
        writer.round()
    writer.audit.close()
    store.close()
    (made.path / "app-issuers.json").write_text("[]")
    (made.path / "site" / "maps").mkdir(parents=True)
    (made.path / "site" / "maps" / "own.yaml").write_text("kept though nobody named it")
    sessions = sqlite3.connect(made.path / "app-sessions.sqlite3")
    sessions.executescript("PRAGMA journal_mode = WAL; CREATE TABLE login (id TEXT)")
    sessions.execute("INSERT INTO login VALUES ('x')")
    sessions.commit()
    sessions.close()
    return made


class Writer:
    """One client of the server, in this process: what it was told was done, as lines of a ledger."""

    def __init__(
        self, settings: Settings, store: DatabaseStore, number: int, ledger: Path | None = None
    ) -> None:
        context = server_app.make_context(settings, store)
        self.audit: Any = context.audit.__self__  # type: ignore[attr-defined]
        self._context, self._number, self._ledger = context, number, ledger
        self._rounds = itertools.count()

    def _do(self, interaction: Any, *identity: str, body: Any = None, request_id: str = "") -> int:
        request = InteractionRequest(interaction, *identity, body=body, request_id=request_id)
        return perform(self._context, EVERYTHING_SCOPE, request).status

    def _note(self, *facts: Any) -> None:
        if self._ledger is not None:
            with self._ledger.open("a") as stream:
                stream.write(json.dumps(facts) + "\n")

    def round(self) -> None:
        """Create, update, a transaction of two, now and then a deletion, and a read."""
        n = next(self._rounds)
        id = f"w{self._number}-{n}"
        self._do("update", "Patient", id, body=patient(id, f"{id}-1"))
        self._note("put", id, 1)
        self._do("update", "Patient", id, body=patient(id, f"{id}-2"))
        self._note("put", id, 2)
        entries = [
            {"request": {"method": "PUT", "url": f"Patient/{half}"}, "resource": patient(half, id)}
            for half in (f"{id}-a", f"{id}-b")
        ]
        self._do("transaction", body={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        self._note("both", id)
        if n % 3 == 0:
            self._do("delete", "Patient", id)
            self._note("put", id, 3)
        name = f"read-{id}"
        self._do("read", "Patient", f"{id}-a", request_id=name)
        self._note("read", name)


def patient(id: str, number: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id,
        "identifier": [{"system": NUMBER, "value": number}],
        "name": [{"family": "Synthetic", "text": "x" * 200}],
    }


def _write_until(settings: Settings, number: int, ledger: Path, stop: Any) -> None:
    """A process that writes, and does the worker's part for the audit trail as well."""
    audit_segments.SEGMENT_BYTES = 1_500  # segments come and go all the time
    store = open_store(settings.database_url)
    writer = Writer(settings, store, number, ledger)
    while not stop.is_set():
        writer.round()
        store.ingest_audit(settings.home / "audit")
    os._exit(0)  # as a killed process: its last segment stays behind


def ledger_lines(path: Path) -> list[list[Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def pairs() -> list[Any]:
    """Every pair of databases."""
    kinds = ("sqlite", "postgresql")
    return [pytest.param(a, b, id=f"{a}-to-{b}") for a in kinds for b in kinds]


@pytest.mark.slow
@pytest.mark.parametrize(("source", "target"), pairs())
def test_a_backup_under_load_restores_to_a_consistent_server(
    new_home: NewHome, tmp_path: Path, source: str, target: str
) -> None:
    home = new_home(source)
    assert home.baton("db", "upgrade").exit_code == 0
    signing_keys(home.path, SECRET_KEY.encode())
    ledgers = [tmp_path / f"ledger-{number}" for number in range(2)]
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    writers = [
        context.Process(target=_write_until, args=(home.settings, number, ledger, stop))
        for number, ledger in enumerate(ledgers)
    ]
    for writer in writers:
        writer.start()
    _wait(lambda: all(ledger.exists() and len(ledger_lines(ledger)) > 60 for ledger in ledgers))
    before = [line for ledger in ledgers for line in ledger_lines(ledger)]
    report = home.run("backup", str(tmp_path / "backup"))
    after = sum(len(ledger_lines(ledger)) for ledger in ledgers)
    _wait(lambda: sum(len(ledger_lines(ledger)) for ledger in ledgers) > after)
    stop.set()
    for writer in writers:
        writer.join(20)
    assert report["rows"] > 500

    fresh = new_home(target)
    restored = fresh.run("restore", str(tmp_path / "backup"))
    assert restored["notes"] == []
    assert_nothing_acknowledged_is_missing(home, fresh, before)
    assert_transactions_are_whole(fresh)
    assert_search_agrees_with_content(fresh)
    assert_audit_is_continuous(fresh, before)
    verified = fresh.baton("audit", "verify", "--json")
    assert verified.exit_code == 0, verified.output


def _wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the writers are stuck"
        time.sleep(0.02)


def histories(home: Home) -> dict[tuple[str, str, int], bytes]:
    """The body of every version there is."""
    store = home.store()
    with store.database.reading() as connection:
        rows = connection.execute(
            "SELECT r.type, r.id, v.version, coalesce(v.body, r.body)"
            " FROM version v JOIN resource r ON r.rid = v.rid"
        ).fetchall()
    store.close()
    return {(row[0], row[1], row[2]): bytes(row[3]) for row in rows}


def assert_nothing_acknowledged_is_missing(home: Home, fresh: Home, acknowledged: list[list[Any]]) -> None:
    original, restored = histories(home), histories(fresh)
    for what, id, *version in acknowledged:
        if what == "put":
            assert ("Patient", id, version[0]) in restored
        if what == "both":
            assert ("Patient", f"{id}-a", 1) in restored
    assert all(original[key] == body for key, body in restored.items())
    assert len(restored) < len(original), "the writers went on after the snapshot"


def assert_transactions_are_whole(fresh: Home) -> None:
    halves = Counter(id.rpartition("-")[0] for _, id, _ in histories(fresh) if id[-1] in "ab")
    assert set(halves.values()) == {2}


def assert_search_agrees_with_content(fresh: Home) -> None:
    store = fresh.store()
    context = server_app.make_context(fresh.settings, store)
    with store.database.reading() as connection:
        rows = connection.execute("SELECT id, deleted, body FROM resource").fetchall()
    expected: dict[str, set[str]] = {}
    for id, deleted, body in rows:
        if not deleted:
            for identifier in decode(bytes(body))["identifier"]:
                expected.setdefault(identifier["value"], set()).add(id)
    for value, ids in expected.items():
        query = (("identifier", f"{NUMBER}|{value}"),)
        page = decode(
            perform(context, EVERYTHING_SCOPE, InteractionRequest("search-type", "Patient", query=query)).body
        )
        assert {entry["resource"]["id"] for entry in page["entry"]} == ids
    total = perform(
        context,
        EVERYTHING_SCOPE,
        InteractionRequest("search-type", "Patient", query=(("name", "synth"), ("_summary", "count"))),
    )
    assert decode(total.body)["total"] == sum(not deleted for _, deleted, _ in rows)
    store.close()


def assert_audit_is_continuous(fresh: Home, acknowledged: list[list[Any]]) -> None:
    """Every write has its row once; every read acknowledged before has its row once; none is doubled."""
    store = fresh.store()
    store.ingest_audit(fresh.path / "audit")
    with store.database.reading() as connection:
        rows = connection.execute(
            "SELECT interaction, resource_id, version, request_id FROM audit"
            " UNION ALL SELECT interaction, resource_id, version, request_id FROM audit_chain"
        ).fetchall()
    store.close()
    writes = Counter(
        (id, version) for interaction, id, version, _ in rows if interaction in ("update", "delete")
    )
    missing = {(id, version) for _, id, version in histories(fresh)} - set(writes)
    reads = Counter(name for interaction, _, _, name in rows if interaction == "read")
    assert missing == set()
    assert set(writes.values()) == {1}
    assert set(reads.values()) == {1}
    assert {name for what, name, *_ in acknowledged if what == "read"} <= set(reads)


class TestWhatIsKept:
    def test_every_table_of_the_newest_schema_is_copied_or_known_to_be_derived(self, new_home: NewHome) -> None:
        home = new_home("sqlite")
        assert home.baton("db", "upgrade").exit_code == 0
        connection = sqlite3.connect(home.path / "baton.sqlite3")
        named = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith("sqlite_")
        }
        connection.close()
        store = home.store()
        with store.database.reading() as reading:
            copied = table_copy.tables(reading)
        store.close()
        assert set(copied) | table_copy.LEFT_OUT == named
        assert set(copied) & table_copy.LEFT_OUT == set()

    @pytest.mark.slow
    def test_both_databases_have_the_same_tables_and_columns_in_every_schema(
        self, cluster: Any, tmp_path: Path
    ) -> None:
        for number in [migration.number for migration in migrations("sqlite")]:
            found = []
            for url in (
                f"sqlite:///{tmp_path / f'{number}.sqlite3'}",
                cluster.create_database(f"schema_{number}_{uuid.uuid4().hex}"),
            ):
                store = open_store(url)
                upgrade(store.database, until=number)
                with store.database.reading() as connection:
                    assert table_copy.occupied(connection) is None
                    found.append(
                        {name: set(columns) for name, columns in table_copy.tables(connection).items()}
                    )
                store.close()
            assert found[0] == found[1], number

    def test_every_row_of_every_table_comes_back(self, home: Home, new_home: NewHome, tmp_path: Path) -> None:
        home.run("backup", str(tmp_path / "backup"))
        fresh = new_home("sqlite")
        fresh.run("restore", str(tmp_path / "backup"))
        assert dump(fresh) == dump(home)

    def test_the_way_to_postgresql_and_back_loses_nothing(
        self, home: Home, new_home: NewHome, tmp_path: Path
    ) -> None:
        there, back = new_home("postgresql"), new_home("sqlite")
        home.run("backup", str(tmp_path / "one"))
        there.run("restore", str(tmp_path / "one"))
        there.run("backup", str(tmp_path / "two"))
        back.run("restore", str(tmp_path / "two"))
        assert dump(back) == dump(home)

    def test_numbers_go_on_after_the_last_one_on_postgresql(
        self, home: Home, new_home: NewHome, tmp_path: Path
    ) -> None:
        home.run("backup", str(tmp_path / "backup"))
        fresh = new_home("postgresql")
        fresh.run("restore", str(tmp_path / "backup"))
        store = fresh.store()
        writer = Writer(fresh.settings, store, 77)
        writer.round()
        with store.database.reading() as connection:
            (rows,) = connection.execute("SELECT count(DISTINCT rid) FROM resource").fetchone()
        store.close()
        assert rows == len({id for _, id, _ in histories(fresh)})

    def test_tokens_and_keys_work_in_the_new_home(self, home: Home, new_home: NewHome, tmp_path: Path) -> None:
        token = home.baton("token", "mint", "--scope", "system/*.rs").stdout.strip()
        home.run("backup", str(tmp_path / "backup"))
        fresh = new_home("sqlite")
        fresh.run("restore", str(tmp_path / "backup"))
        assert fresh.run("token", "revoke", token) == {"revoked": True}
        own = [path.read_bytes() for path in sorted((home.path / "keys").glob("*.pem"))]
        assert own == [path.read_bytes() for path in sorted((fresh.path / "keys").glob("*.pem"))]

    def test_the_security_epoch_is_one_that_no_process_has_seen(
        self, home: Home, new_home: NewHome, tmp_path: Path
    ) -> None:
        home.run("backup", str(tmp_path / "backup"))
        epochs = []
        for _ in range(2):
            fresh = new_home("sqlite")
            fresh.run("restore", str(tmp_path / "backup"))
            store = fresh.store()
            epochs.append(store.authorization.security_epoch())
            store.close()
        store = home.store()
        assert store.authorization.security_epoch() < epochs[0] < epochs[1]
        store.close()

    def test_the_files_of_the_home_come_along_whoever_put_them_there(
        self, home: Home, new_home: NewHome, tmp_path: Path
    ) -> None:
        open_session = sqlite3.connect(home.path / "app-sessions.sqlite3")  # its log holds the last login
        open_session.execute("INSERT INTO login VALUES ('y')")
        open_session.commit()
        home.run("backup", str(tmp_path / "backup"))
        open_session.close()
        fresh = new_home("sqlite")
        fresh.run("restore", str(tmp_path / "backup"))
        names = {path.relative_to(fresh.path).as_posix() for path in fresh.path.rglob("*") if path.is_file()}
        assert {"app-issuers.json", "site/maps/own.yaml", "keys/signing-0001.pem"} <= names
        assert "last-backup.json" not in names
        copied = sqlite3.connect(fresh.path / "app-sessions.sqlite3")
        assert copied.execute("SELECT id FROM login ORDER BY id").fetchall() == [("x",), ("y",)]
        copied.close()

    def test_only_the_owner_can_read_any_of_it(self, home: Home, tmp_path: Path) -> None:
        home.run("backup", str(tmp_path / "backup"))
        for path in [tmp_path / "backup", *(tmp_path / "backup").rglob("*")]:
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path

    def test_secrets_of_the_environment_are_named_and_not_written(self, home: Home, tmp_path: Path) -> None:
        report = home.run("backup", str(tmp_path / "backup"))
        assert report["secrets_needed"] == ["BATON_SECRET_KEY"]
        for path in (tmp_path / "backup").rglob("*"):
            assert path.is_dir() or SECRET_KEY.encode() not in path.read_bytes()

    def test_a_demonstration_restores_with_no_setting_at_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [name for name in os.environ if name.startswith("BATON_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("BATON_HOME", str(tmp_path / "demo"))
        read_settings({"BATON_HOME": str(tmp_path / "demo")}, demo=True)
        (tmp_path / "demo" / "demo-logins.json").write_text("[]")
        assert CliRunner().invoke(main, ["db", "upgrade"]).exit_code == 0
        answer = CliRunner().invoke(main, ["backup", str(tmp_path / "backup"), "--json"])
        assert answer.exit_code == 0, answer.output
        assert json.loads(answer.stdout)["secrets_needed"] == []
        monkeypatch.setenv("BATON_HOME", str(tmp_path / "again"))
        answer = CliRunner().invoke(main, ["restore", str(tmp_path / "backup")])
        assert answer.exit_code == 0, answer.output
        key = (tmp_path / "demo" / "secret-key").read_text()
        assert (tmp_path / "again" / "secret-key").read_text() == key


def dump(home: Home) -> list[str]:
    """The whole database as SQL, but for what a restore renews."""
    connection = sqlite3.connect(home.path / "baton.sqlite3")
    try:
        own = ('INSERT INTO "security_epoch"', 'INSERT INTO "audit_segment"')
        return sorted(line for line in connection.iterdump() if not line.startswith(own))
    finally:
        connection.close()


class TestAuditSegments:
    """A row of a read is in the snapshot or in the rest of its file, never in both or neither."""

    def row(self, number: int) -> AuditRow:
        return AuditRow(datetime.now(UTC), "p", "c", "read", "Patient", f"{number}", 1, "", 200, f"r{number}")

    def test_a_segment_removed_between_the_two_looks_is_not_taken_for_one_not_begun(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Moved and removed just before the snapshot: the first look has the file and no position."""
        store, folder = home.store(), home.path / "audit"
        store.ingest_audit(folder)
        segment = audit_segments.AuditSegment(folder)
        segment.append(self.row(1))
        segment.close()
        real, looks = store.database.reading, []

        def reading() -> Any:
            if not looks:
                looks.append(1)
                store.ingest_audit(folder)
            return real()

        monkeypatch.setattr(store.database, "reading", reading)
        with snapshot_with_segments(store.database, folder) as (connection, segments):
            rest = b"".join(piece for segment in segments for piece in segment.rest())
            held = connection.execute("SELECT request_id FROM audit WHERE request_id = 'r1'").fetchall()
        assert held == [("r1",)]
        assert rest == b""
        store.close()

    def test_what_is_moved_after_the_snapshot_is_taken_from_the_file(self, home: Home) -> None:
        store, folder = home.store(), home.path / "audit"
        store.ingest_audit(folder)
        segment = audit_segments.AuditSegment(folder)
        segment.append(self.row(1))
        store.ingest_audit(folder)
        segment.append(self.row(2))
        with snapshot_with_segments(store.database, folder) as (connection, segments):
            connection.execute("SELECT 1 FROM audit").fetchone()
            segment.close()
            thread = threading.Thread(target=store.ingest_audit, args=(folder,))
            thread.start()
            thread.join()
            assert not any(folder.glob("*.jsonl")), "moved and removed"
            rest = b"".join(piece for each in segments for piece in each.rest())
            held = connection.execute("SELECT count(*) FROM audit WHERE request_id IN ('r1', 'r2')").fetchone()
        assert held == (1,)
        assert b'"r2"' in rest
        assert b'"r1"' not in rest
        store.close()

    def test_a_database_that_moves_beside_its_home_moves_no_row_twice(
        self, home: Home, cluster: Any, tmp_path: Path
    ) -> None:
        store = home.store()
        writer = Writer(home.settings, store, 5)
        for _ in range(3):
            writer.round()
        store.ingest_audit(home.path / "audit")
        writer.round()
        home.run("backup", str(tmp_path / "backup"))
        store.close()
        url = cluster.create_database(f"moved_{uuid.uuid4().hex}")
        answer = home.baton("restore", str(tmp_path / "backup"), "--database-only", BATON_DATABASE_URL=url)
        assert answer.exit_code == 0, answer.output
        moved = open_store(url)
        writer.audit.close()
        moved.ingest_audit(home.path / "audit")
        with moved.database.reading() as connection:
            rows = connection.execute("SELECT request_id FROM audit WHERE interaction = 'read'").fetchall()
        moved.close()
        assert Counter(row[0] for row in rows if "w5" in row[0]) == {f"read-w5-{n}": 1 for n in range(4)}


class TestRefusals:
    @pytest.fixture
    def backup(self, home: Home, tmp_path: Path) -> Path:
        home.run("backup", str(tmp_path / "backup"))
        return tmp_path / "backup"

    def refused(self, home: Home, folder: Path, *options: str) -> str:
        """What a restore says that must change nothing."""
        existed = home.path.exists() and sorted(home.path.rglob("*"))
        answer = home.baton("restore", str(folder), *options)
        assert answer.exit_code == 1, answer.output
        ours = [path for path in home.path.rglob("*") if not path.name.startswith("baton.sqlite3")]
        assert ours == [path for path in existed or [] if not path.name.startswith("baton.sqlite3")]
        return answer.output

    def test_every_damaged_byte_is_found(self, backup: Path, new_home: NewHome) -> None:
        for name in sorted(path.relative_to(backup).as_posix() for path in backup.rglob("*") if path.is_file()):
            content = (backup / name).read_bytes()
            if name == "manifest.json" or not content:
                continue
            place = len(content) // 2
            (backup / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert f"{name} is damaged or was changed" in self.refused(new_home("sqlite"), backup)
            (backup / name).write_bytes(content)

    @pytest.mark.parametrize("name", ["tables/resource.rows.gz", "manifest.json", "home/keys/signing-0001.pem"])
    def test_a_file_cut_short_is_found(self, backup: Path, new_home: NewHome, name: str) -> None:
        content = (backup / name).read_bytes()
        (backup / name).write_bytes(content[: len(content) - 20])
        assert "damaged" in self.refused(new_home("sqlite"), backup)
        (backup / name).unlink()
        said = self.refused(new_home("sqlite"), backup)
        assert "missing" in said or "holds no manifest.json" in said

    def test_a_manifest_that_counts_otherwise_is_found(self, backup: Path, new_home: NewHome) -> None:
        manifest = json.loads((backup / "manifest.json").read_text())
        manifest["tables"]["resource"]["rows"] += 1
        (backup / "manifest.json").write_text(json.dumps(manifest))
        assert "where the manifest says" in self.refused(new_home("sqlite"), backup)

    def test_a_backup_of_a_newer_schema_is_refused(self, backup: Path, new_home: NewHome) -> None:
        manifest = json.loads((backup / "manifest.json").read_text())
        manifest["schema"] = 9999
        (backup / "manifest.json").write_text(json.dumps(manifest))
        assert "schema 9999" in self.refused(new_home("sqlite"), backup)

    def test_a_path_out_of_the_backup_is_refused(self, backup: Path, new_home: NewHome) -> None:
        manifest = json.loads((backup / "manifest.json").read_text())
        manifest["files"]["home/../../outside"] = {"size": 0, "sha256": "0"}
        (backup / "manifest.json").write_text(json.dumps(manifest))
        assert "outside" in self.refused(new_home("sqlite"), backup)

    def test_a_database_with_rows_is_left_alone(self, home: Home, backup: Path) -> None:
        before = dump(home)
        assert "holds data already" in home.baton("restore", str(backup)).output
        assert dump(home) == before

    def test_a_database_in_use_is_left_alone(self, backup: Path, new_home: NewHome) -> None:
        fresh = new_home("sqlite")
        assert fresh.baton("db", "upgrade").exit_code == 0
        other = SqliteDatabase(fresh.path / "baton.sqlite3").connect()
        other.execute("SELECT 1 FROM resource").fetchone()
        try:
            assert "in use" in self.refused(fresh, backup)
        finally:
            other.close()
        assert fresh.baton("restore", str(backup)).exit_code == 0

    def test_a_file_of_the_home_that_differs_is_left_alone(self, backup: Path, new_home: NewHome) -> None:
        fresh = new_home("sqlite")
        fresh.path.mkdir()
        (fresh.path / "app-issuers.json").write_text('["another"]')
        assert "app-issuers.json is in BATON_HOME already" in self.refused(fresh, backup)

    def test_another_secret_key_needs_to_be_meant(self, backup: Path, new_home: NewHome) -> None:
        fresh = new_home("sqlite")
        fresh.environment["BATON_SECRET_KEY"] = "another key for tests, long enough too"
        assert "BATON_SECRET_KEY is not the one of the backup" in self.refused(fresh, backup)
        answer = fresh.baton("restore", str(backup), "--other-secret-key", "--json")
        assert answer.exit_code == 2, answer.output
        assert "signing keys were left out" in json.loads(answer.stdout)["notes"][0]
        assert not (fresh.path / "keys").exists()
        signing_keys(fresh.path, fresh.settings.secret_key)

    def test_other_settings_are_pointed_out(self, backup: Path, new_home: NewHome) -> None:
        fresh = new_home("sqlite")
        fresh.environment["BATON_BASE_URL"] = "https://other.example"
        answer = fresh.baton("restore", str(backup), "--json")
        assert answer.exit_code == 2
        assert "BATON_BASE_URL was http://127.0.0.1:8000" in json.loads(answer.stdout)["notes"][0]

    def test_a_folder_that_holds_anything_is_not_written_into(self, home: Home, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "mine").write_text("x")
        answer = home.baton("backup", str(tmp_path / "full"))
        assert answer.exit_code == 1
        assert "not empty" in answer.output
        assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]

    def test_a_backup_inside_the_home_is_refused(self, home: Home) -> None:
        assert "lies in BATON_HOME" in home.baton("backup", str(home.path / "backups" / "one")).output

    def test_a_backup_that_fails_leaves_an_empty_folder(
        self, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("server.backup.take.copy_file", full)
        answer = home.baton("backup", str(tmp_path / "backup"))
        assert answer.exit_code == 1
        assert "No space left" in answer.output
        assert list((tmp_path / "backup").iterdir()) == []

    def test_a_restore_that_fails_may_be_run_again(
        self, home: Home, backup: Path, new_home: NewHome, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fresh = new_home("sqlite")
        with monkeypatch.context() as patch:
            patch.setattr("server.backup.restore.table_copy.finish", lambda *_: 1 / 0)
            assert isinstance(fresh.baton("restore", str(backup)).exception, ZeroDivisionError)
        assert fresh.baton("restore", str(backup)).exit_code == 0
        assert dump(fresh) == dump(home)


@pytest.mark.network
@pytest.mark.slow
def test_a_killed_backup_leaves_nothing_that_restore_accepts(
    home: Home, new_home: NewHome, tmp_path: Path
) -> None:
    store = home.store()
    writer = Writer(home.settings, store, 9)
    for _ in range(40):
        writer.round()
    store.close()
    environment = os.environ | home.environment
    whole = partial = 0
    for attempt, milliseconds in enumerate((5, 30, 60, 90, 120, 200)):
        folder = tmp_path / f"backup-{attempt}"
        command = [str(Path(sys.executable).with_name("baton")), "backup", str(folder)]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait(lambda folder=folder, process=process: folder.exists() or process.poll() is not None)  # type: ignore[misc]
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        fresh = new_home("sqlite")
        answer = fresh.baton("restore", str(folder))
        if (folder / "manifest.json").exists():
            whole += 1
            assert answer.exit_code == 0, answer.output
            assert dump(fresh) == dump(home)
        else:
            partial += 1
            assert answer.exit_code == 1
            assert "holds no manifest.json" in answer.output
    assert partial, "no attempt was killed in time"


def test_a_table_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [
        (n, -(2**63), 2**63 - 1, 1.5e-300, "ü" * n, bytes(range(256)) * (n % 7), None) for n in range(5_500)
    ]
    told: list[int] = []
    assert write_table(tmp_path / "t.rows.gz", iter(rows), told.append) == len(rows) == sum(told)
    assert [row for block in read_table(tmp_path / "t.rows.gz") for row in block] == rows
    assert len(told) > 2, "in blocks"
