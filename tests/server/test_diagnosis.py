"""`baton doctor`: every finding says what to do, and none is made where nothing is wrong.

Covers server/diagnosis.py, server/database_diagnosis.py, server/storage/health.py.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from server import database_diagnosis
from server.diagnosis import diagnose
from server.fhir.index_rows import IndexRows
from server.policy.roles import read_policy
from server.settings import Settings
from server.storage.audit_values import AuditRow
from server.storage.database_store import DatabaseStore
from server.storage.health import database_health
from server.storage.interface import Store
from server.storage.reindex import RELATIONS, SCHEMA_5, begin, step
from server.storage.versions import NewVersion
from server.storage.worker_rows import WorkerRow
from terminology import editions
from terminology.store import connect, finish
from terminology.systems import RXNORM
from terminology.writing import SystemRow, Writer

NOW = datetime.now(UTC)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """As shipped."""
    return replace(settings, second_factor="by-role")


def found(settings: Settings, check: str) -> tuple[str, str]:
    """The worst level of a check, and all it says."""
    rows = [row for row in diagnose(settings) if row["check"] == check]
    worst = max((row["level"] for row in rows), key=("ok", "warning", "error").index)
    return worst, " | ".join(row["finding"] for row in rows)


@pytest.fixture
def durable(database_kind: str, request: pytest.FixtureRequest) -> Iterator[None]:
    """PostgreSQL waits for the disk, as it does outside of tests."""
    if database_kind == "sqlite":
        yield
        return
    cluster = request.getfixturevalue("cluster")
    cluster.change(fsync="on")
    yield
    cluster.change(fsync="off")


@pytest.mark.usefixtures("durable")
def test_a_fresh_deployment_has_no_findings(settings: Settings, store: Store) -> None:
    settings.home.chmod(0o700)
    assert [row for row in diagnose(settings) if row["level"] != "ok"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_url": "http://fhir.example.org"}, "BATON_BASE_URL is http://fhir.example.org"),
        ({"app_url": "http://app.example.org"}, "BATON_APP_URL is http://app.example.org"),
        ({"base_url": "https://fhir.example.org/fhir"}, "give an origin"),
        ({"base_url": "fhir.example.org"}, "give an origin"),
    ],
)
def test_addresses_that_would_not_do_are_named(settings: Settings, change: dict[str, Any], said: str) -> None:
    level, finding = found(replace(settings, **change), "settings")
    assert level == "error"
    assert said in finding


def test_a_demonstration_open_to_others_is_pointed_out(settings: Settings) -> None:
    shown = replace(settings, demo=True, base_url="https://demo.example.org")
    assert found(shown, "settings")[0] == "warning"


def test_a_site_where_a_password_is_enough_is_pointed_out(settings: Settings) -> None:
    level, finding = found(replace(settings, second_factor="optional"), "settings")
    assert level == "warning"
    assert "BATON_SECOND_FACTOR" in finding
    assert found(replace(settings, second_factor="optional", demo=True), "settings")[0] == "ok"


class TestCertificate:
    @pytest.fixture
    def certified(self, settings: Settings, tmp_path: Path) -> Callable[..., Settings]:
        def make(begins: float, ends: float, *, other_key: bool = False) -> Settings:
            key = ec.generate_private_key(ec.SECP256R1())
            name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
            signed = ec.generate_private_key(ec.SECP256R1()) if other_key else key
            certificate = (
                x509.CertificateBuilder()
                .subject_name(name)
                .issuer_name(name)
                .public_key(signed.public_key())
                .serial_number(1)
                .not_valid_before(NOW + timedelta(days=begins))
                .not_valid_after(NOW + timedelta(days=ends))
                .sign(signed, hashes.SHA256())
            )
            (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
            private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (tmp_path / "key.pem").write_bytes(private)
            return replace(settings, tls_cert=str(tmp_path / "cert.pem"), tls_key=str(tmp_path / "key.pem"))

        return make

    @pytest.mark.parametrize(
        ("begins", "ends", "level", "said"),
        [
            (-10, 200, "ok", "valid until"),
            (-10, 29, "warning", "renew it"),
            (-100, -1, "error", "ended on"),
            (2, 200, "error", "valid only from"),
        ],
    )
    def test_its_dates_are_judged(
        self, certified: Any, begins: float, ends: float, level: str, said: str
    ) -> None:
        assert found(certified(begins, ends), "tls")[0] == level
        assert said in found(certified(begins, ends), "tls")[1]

    def test_a_key_of_another_certificate_is_found(self, certified: Any) -> None:
        assert found(certified(-1, 99, other_key=True), "tls") == (
            "error",
            "BATON_TLS_KEY is not the key of BATON_TLS_CERT",
        )

    def test_files_that_are_none_are_found(self, certified: Any, tmp_path: Path) -> None:
        settings = certified(-1, 99)
        assert found(replace(settings, tls_cert=str(tmp_path / "none")), "tls")[0] == "error"
        assert found(replace(settings, tls_key=""), "tls") == (
            "error",
            "BATON_TLS_CERT and BATON_TLS_KEY go together: set both or none",
        )
        (tmp_path / "key.pem").write_text("no key")
        assert "no PEM file" in found(settings, "tls")[1]


class TestKeys:
    def test_a_key_older_than_a_year_is_to_be_rotated(self, settings: Settings, store: Store) -> None:
        (path,) = (settings.home / "keys").glob("*.pem")
        old = (NOW - timedelta(days=400)).timestamp()
        os.utime(path, (old, old))
        level, said = found(settings, "keys")
        assert level == "warning"
        assert "400 days old: `baton keys rotate`" in said

    def test_keys_of_another_secret_are_found(self, settings: Settings, store: Store) -> None:
        other = replace(settings, secret_key=b"another key for tests, long enough")
        assert "another BATON_SECRET_KEY" in found(other, "keys")[1]

    def test_files_that_others_may_read_are_found(self, settings: Settings, store: Store) -> None:
        settings.home.chmod(0o700)
        (settings.home / "app-keys.json").write_text("{}")
        (settings.home / "app-keys.json").chmod(0o644)
        assert found(settings, "home") == ("warning", "readable by other users: app-keys.json; chmod 600 them")


class TestDatabase:
    def test_an_address_where_nothing_is_does_not_end_the_doctor(self, settings: Settings) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            url = f"postgresql://baton:secret@127.0.0.1:{nobody.getsockname()[1]}/none"
            level, said = found(replace(settings, database_url=url), "database")
        assert level == "error"
        assert "does not answer" in said
        assert "secret" not in said

    def test_an_address_that_is_none_says_what_one_looks_like(self, settings: Settings) -> None:
        level, said = found(replace(settings, database_url="mysql://x"), "database")
        assert level == "error"
        assert "postgresql://" in said

    def test_a_newer_schema_is_not_offered_an_upgrade(self, settings: Settings, store: Any) -> None:
        newest = database_health(store.database).newest
        with store.database.writing() as connection:
            connection.execute("UPDATE schema_version SET value = 9999")
        level, said = found(settings, "database")
        with store.database.writing() as connection:
            connection.execute("UPDATE schema_version SET value = :newest", {"newest": newest})
        assert level == "error"
        assert "9999" in said
        assert "start the release that wrote it" in said

    @pytest.mark.sqlite("its log is a file")
    def test_a_log_that_nobody_folds_is_found(
        self, settings: Settings, store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.authorization.bump_security_epoch()
        monkeypatch.setattr(database_diagnosis, "LOG_BYTES_WANTED", 10)
        level, said = found(settings, "sqlite")
        assert level == "warning"
        assert "baton serve worker" in said

    @pytest.mark.usefixtures("durable")
    @pytest.mark.postgresql("asks the server for its settings")
    def test_postgresql_tells_of_its_durability(self, settings: Settings, store: Any) -> None:
        health = database_health(store.database)
        assert health.settings["fsync"] == "on"
        assert health.clock is not None
        assert abs(health.clock - datetime.now(UTC)) < timedelta(seconds=5)
        assert found(settings, "postgresql")[0] == "ok"

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"version": "13.4 (Debian)"}, "too old"),
            ({"settings": {"fsync": "off"}}, "fsync is off"),
            ({"settings": {"full_page_writes": "off"}}, "full_page_writes is off"),
            ({"settings": {"synchronous_commit": "off"}}, "synchronous_commit is off"),
            ({"settings": {"server_encoding": "LATIN1"}}, "not in UTF8"),
            ({"connections_left": 3}, "3 connections are left"),
            ({"clock": NOW + timedelta(seconds=5)}, "5 s away"),
            ({"clock": NOW - timedelta(seconds=45)}, "45 s away"),
        ],
    )
    def test_what_makes_postgresql_lose_or_refuse_is_found(self, change: dict[str, Any], said: str) -> None:
        safe = {"server_encoding": "UTF8", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
        health = database_diagnosis.DatabaseHealth(
            "postgresql", "15.14 (Debian)", 1, 1, 0.5, clock=NOW, settings=safe, connections_left=90
        )
        assert [row["level"] for row in database_diagnosis._postgresql(health, NOW)] == ["ok"]
        if "settings" in change:
            change = {"settings": safe | change["settings"]}
        changed = replace(health, **change)
        worse = [row for row in database_diagnosis._postgresql(changed, NOW) if row["level"] != "ok"]
        assert len(worse) == 1
        assert said in worse[0]["finding"]


class TestQueue:
    def test_events_that_nobody_takes_up_are_found(self, settings: Settings, store: Any, fhir: Any) -> None:
        assert fhir.put("Patient/a", {"resourceType": "Patient", "id": "a"}).status == 201
        level, said = found(settings, "outbox")  # the clock of the test stands years back
        assert level == "warning"
        assert "waits since 2024-05-17" in said
        assert found(settings, "worker") == ("error", "none is alive: `baton serve worker`")
        store.workers.seen(WorkerRow("w", "host", 1, NOW, datetime.now(UTC), ""))
        assert found(settings, "worker") == ("ok", "1 alive")

    def test_a_redis_that_is_away_is_found_and_its_password_kept(
        self, settings: Settings, store: Store
    ) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            url = f"redis://:secret@127.0.0.1:{nobody.getsockname()[1]}/0"
            level, said = found(replace(settings, redis_url=url), "redis")
        assert level == "warning"
        assert "secret" not in said

    def test_an_audit_trail_that_nobody_seals_is_found(self, settings: Settings, store: Any) -> None:
        old = AuditRow(NOW - timedelta(hours=1), "p", "c", "login", "", "", 0, "", 200, "r")
        with store.writing() as writer:
            writer.audit(old)
        level, said = found(settings, "audit")
        assert level == "warning"
        assert "1 rows not sealed yet" in said


class TestBackups:
    def told(self, settings: Settings, age: timedelta) -> None:
        taken = datetime.now(UTC) - age
        record = {"taken": taken.isoformat(), "directory": "/backups/one", "rows": 5}
        (settings.home / "last-backup.json").write_text(json.dumps(record))

    def test_data_without_a_backup_is_found(self, settings: Settings, store: Any, as_token: Any) -> None:
        assert found(settings, "backups") == ("ok", "none was taken yet")
        as_token("system/*.cruds").put("Patient/a", {"resourceType": "Patient", "id": "a"})
        assert "none was ever taken" in found(settings, "backups")[1]
        self.told(settings, timedelta(hours=3))
        assert found(settings, "backups")[0] == "ok"
        self.told(settings, timedelta(days=4))
        level, said = found(settings, "backups")
        assert level == "warning"
        assert "4 days ago" in said
        assert found(replace(settings, demo=True), "backups")[0] == "ok"

    def test_a_record_that_cannot_be_read_is_found(self, settings: Settings, store: Store) -> None:
        (settings.home / "last-backup.json").write_text('["?"]')
        assert found(settings, "backups")[0] == "warning"


def test_what_relationships_wait_for_is_told(settings: Settings, store: DatabaseStore) -> None:
    with store.writing() as writer:
        for id in ("a", "b"):
            writer.put(NewVersion("Patient", id, 1, 0, NOW, b'{"resourceType":"Patient"}', "PUT", IndexRows()))
    with store.database.writing() as connection:
        begin(connection, f"{RELATIONS}Patient", "Patient")
    step(store.database, f"{RELATIONS}Patient", lambda body: None, count=1)
    (row,) = [row for row in diagnose(settings) if row["check"] == "relationships"]
    assert row["level"] == "warning"
    assert row["finding"].startswith("Patient: 50 %")
    assert [row for row in diagnose(settings) if row["check"] == "reindex"] == []
    step(store.database, f"{RELATIONS}Patient", lambda body: None)
    assert [row for row in diagnose(settings) if row["check"] == "relationships"] == []


def test_the_terminology_in_use_is_told(settings: Settings) -> None:
    assert "no file yet" in found(settings, "terminology")[1]
    folder = settings.home / "terminology"
    with editions.scratch(folder) as scratch:
        with closing(connect(scratch)) as database:
            writer = Writer(database)
            writer.create()
            writer.close(writer.system(SystemRow(RXNORM, "2025-11", "RxNorm", "fragment", "")))
            finish(writer, "small")
        editions.publish(scratch, folder, editions.base_name())
    assert found(settings, "terminology") == ("ok", "edition small: RxNorm")


class TestPolicy:
    """Which access policy holds."""

    def test_the_shipped_one_with_the_roles_it_limits(self, settings: Settings) -> None:
        level, said = found(settings, "policy")
        assert level == "ok"
        assert said.startswith("shipped with this release")
        assert "community" in said

    def test_a_sites_own_by_its_file(self, settings: Settings, tmp_path: Path) -> None:
        path = tmp_path / "policy.json"
        text = files("server.policy").joinpath("roles.json").read_text("utf-8")
        path.write_text(text.replace('"organizations": {}', '"organizations": {"Organization/1": "related"}'))
        path.chmod(0o644)
        own = replace(settings, policy=read_policy(path.read_text(), str(path)))
        level, said = found(own, "policy")
        assert level == "ok"
        assert said.startswith(str(path))
        assert "1 organizations limit their staff" in said
        path.chmod(0o666)
        level, said = found(own, "policy")
        assert level == "error"
        assert "chmod" in said


class TestBrands:
    """What the site publishes of itself."""

    def test_nothing_is_published_without_a_file(self, settings: Settings) -> None:
        assert found(settings, "brands") == ("ok", "none is published")

    def test_a_file_that_cannot_be_published_is_an_error_that_says_why(self, settings: Settings) -> None:
        (settings.home / "brands.json").write_text('{"resourceType": "Patient"}', "utf-8")
        level, said = found(settings, "brands")
        assert level == "error"
        assert "Bundle" in said


def test_what_is_still_being_indexed_again_is_told(settings: Settings, store: DatabaseStore) -> None:
    with store.writing() as writer:
        for id in ("a", "b"):
            writer.put(NewVersion("Patient", id, 1, 0, NOW, b'{"resourceType":"Patient"}', "PUT", IndexRows()))
    with store.database.writing() as connection:
        begin(connection, SCHEMA_5)
    step(store.database, SCHEMA_5, lambda body: None, count=1)
    (row,) = [row for row in diagnose(settings) if row["check"] == "reindex"]
    assert row["level"] == "warning"
    assert row["finding"].startswith("50 %")
    step(store.database, SCHEMA_5, lambda body: None)
    assert [row for row in diagnose(settings) if row["check"] == "reindex"] == []
