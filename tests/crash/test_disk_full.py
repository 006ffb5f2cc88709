"""A full disk: 507, nothing half written, nothing acknowledged lost, and writes again as soon as there is room.

The disk is a small file system in memory that a test fills with ballast; mounting it needs CAP_SYS_ADMIN.
Where that is not allowed those tests are skipped loudly, and the ones with a limit on the size of files remain.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from baton_processes import Baton, until
from checks import audit_findings, evidence, findings, search_findings
from clients import Load
from ledger import Ledger, Request

from server.storage import open_store

pytestmark = pytest.mark.network

FULL = frozenset({507})


class SmallDisk:
    """A mounted file system of a few megabytes. ballast: the file that fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Take every byte that is left."""
        with self._ballast.open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while ballast.write(bytes(size)) == size:
                        pass

    def free(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], SmallDisk]]:
    """`small_disk(24)`: one of 24 MiB."""
    mounted: list[Path] = []

    def make(megabytes: int) -> SmallDisk:
        folder = Path(tempfile.mkdtemp(prefix="baton-disk-"))  # not in tmp_path, which PostgreSQL may not enter
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=1777", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            folder.rmdir()
            pytest.skip(f"A FULL DISK IS NOT TESTED: nothing may be mounted here ({done.stderr.strip()})")
        mounted.append(folder)
        return SmallDisk(folder)

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@contextlib.contextmanager
def running(baton: Baton) -> Iterator[Baton]:
    baton.start()
    try:
        yield baton
    finally:
        baton.kill(*baton.everything())


@contextlib.contextmanager
def load(baton: Baton, ledger: Ledger, *, tolerated: frozenset[int] = FULL) -> Iterator[None]:
    clients = Load(ledger, baton.port, baton.token, f"disk {len(ledger.requests)}", tolerated=tolerated)
    clients.start()
    try:
        yield
    finally:
        clients.stop()


def answers(ledger: Ledger, since: int) -> Counter[int]:
    """How often each status was answered to the requests after `since`."""
    return Counter(request.status for request in ledger.requests[since:])


def writes(ledger: Ledger, since: int) -> list[Request]:
    """The writes that were acknowledged after `since`."""
    later = ledger.requests[since:]
    return [request for request in later if request.entries and request.outcome == "acknowledged"]


def wrong(baton: Baton, ledger: Ledger) -> list[str]:
    store = open_store(baton.url)
    try:
        base = f"http://127.0.0.1:{baton.port}/fhir"
        return findings(ledger, evidence(store)) + search_findings(
            store, base_url=base, time_zone="America/New_York"
        )
    finally:
        store.close()


def ask_every_route(baton: Baton) -> set[int]:
    """The statuses of reads over routes that were not asked before: each has new counters in the metrics."""
    paths = (
        "metadata",
        "Patient/a",
        "Patient/a/_history",
        "Patient/a/_history/1",
        "Patient?_count=1",
        "_history",
    )
    paths = (
        *(f"fhir/{path}" for path in paths),
        "healthz",
        "readyz",
        "console",
        "oauth2/login",
        "metrics",
        "no",
    )
    found = set()
    for path in paths * 3:  # both processes are asked
        given = urllib.request.Request(
            f"http://127.0.0.1:{baton.port}/{path}", headers={"Authorization": f"Bearer {baton.token}"}
        )
        try:
            with urllib.request.urlopen(given, timeout=20) as answer:
                found.add(answer.status)
        except urllib.error.HTTPError as error:
            found.add(error.code)
    return found


@pytest.mark.sqlite("the database is a file on that disk")
def test_a_full_disk_refuses_writes_and_recovers_when_there_is_room(
    small_disk: Callable[[int], SmallDisk],
) -> None:
    """SQLite and the audit segments on the disk that is full: neither reads nor writes leave unaudited."""
    disk, ledger = small_disk(48), Ledger()
    with running(Baton(disk.folder / "home", environment={"BATON_WORKERS": "2"})) as baton:
        processes = baton.everything()
        with load(baton, ledger):
            until(lambda: ledger.count("acknowledged") > 50, "first answers")
            disk.fill()
            full = len(ledger.requests)
            until(lambda: answers(ledger, full)[507] > 50, "answers that say the disk is full")
            assert ask_every_route(baton) <= {200, 404, 507}
        assert wrong(baton, ledger) == []
        disk.free()
        again = len(ledger.requests)
        with load(baton, ledger):
            until(lambda: len(writes(ledger, again)) > 50, "writes after space has returned")
        assert wrong(baton, ledger) == []
        assert baton.everything() == processes, "no process ended"
        assert baton.stop() == 0
        store = open_store(baton.url)
        store.ingest_audit(baton.home / "audit")
        assert audit_findings(store, ledger) == []
        store.close()


@pytest.mark.sqlite("PostgreSQL writes its files itself")
def test_a_limit_on_the_size_of_files_is_a_full_disk_too(tmp_path: Path) -> None:
    """EFBIG, which a quota of the system or a small file system answers instead of ENOSPC."""
    ledger = Ledger()
    with running(Baton(tmp_path / "home", environment={"BATON_WORKERS": "2"})) as baton:
        with load(baton, ledger):
            until(lambda: ledger.count("acknowledged") > 50, "first answers")
            full = len(ledger.requests)
            for pid in baton.everything():
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            until(lambda: answers(ledger, full)[507] > 50, "answers that say the disk is full")
        assert wrong(baton, ledger) == []
        for pid in baton.everything():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        again = len(ledger.requests)
        with load(baton, ledger):
            until(lambda: len(writes(ledger, again)) > 50, "writes after the limit was lifted")
        assert wrong(baton, ledger) == []


@pytest.mark.postgresql("its tables and its log are files of their own")
def test_a_full_disk_of_the_tables_is_507_and_of_the_log_503(
    small_disk: Callable[[int], SmallDisk],
    postgresql: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without room for tables a statement fails and PostgreSQL lives; without room for its log it stops.

    It starts again by itself or by its supervisor when there is room, and Baton has it back then.
    """
    tables, whole, ledger = small_disk(48), small_disk(200), Ledger()
    monkeypatch.setattr(tempfile, "tempdir", str(whole.folder))
    cluster = postgresql.Cluster(max_wal_size="32MB", min_wal_size="32MB")
    cluster.start()
    try:
        with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
            _own_by_server(tables.folder, cluster.folder)
            connection.execute(f"CREATE TABLESPACE small LOCATION '{tables.folder}/space'")
            connection.execute("CREATE DATABASE baton TABLESPACE small")
        with running(
            Baton(tmp_path / "home", cluster.url("baton"), environment={"BATON_WORKERS": "2"})
        ) as baton:
            _fills_and_recovers(baton, ledger, tables, FULL)
            _fills_and_recovers(baton, ledger, whole, FULL | {503}, lambda: _start_again(cluster))
            assert baton.stop() == 0
    finally:
        cluster.remove()


def _own_by_server(folder: Path, owned: Path) -> None:
    space = folder / "space"
    space.mkdir()
    os.chown(space, owned.stat().st_uid, owned.stat().st_gid)


def _start_again(cluster: Any) -> None:
    """What its supervisor does where it gave up; where it lives, this changes nothing that was committed."""
    cluster.kill()
    cluster.start()


def _fills_and_recovers(
    baton: Baton,
    ledger: Ledger,
    disk: SmallDisk,
    tolerated: frozenset[int],
    then: Callable[[], None] = lambda: None,
) -> None:
    """Fill the disk under load, see refusals, make room; writes go on and nothing was lost."""
    before = ledger.count("acknowledged")
    with load(baton, ledger, tolerated=tolerated):
        until(lambda: ledger.count("acknowledged") > before + 50, "first answers")
        disk.fill()
        full = len(ledger.requests)
        until(lambda: sum(answers(ledger, full)[status] for status in tolerated) > 50, "refusals")
    disk.free()
    then()
    again = len(ledger.requests)
    with load(baton, ledger, tolerated=tolerated):
        until(lambda: len(writes(ledger, again)) > 50, "writes after space has returned")
    assert wrong(baton, ledger) == []


@pytest.mark.postgresql("the database is elsewhere")
def test_without_room_for_the_audit_trail_writes_go_on_and_no_read_is_answered(
    small_disk: Callable[[int], SmallDisk], database_url: str
) -> None:
    disk, ledger = small_disk(32), Ledger()
    environment = {"BATON_WORKERS": "1"}
    with running(Baton(disk.folder / "home", database_url, environment=environment)) as baton:
        with load(baton, ledger):
            until(lambda: ledger.count("acknowledged") > 20, "first answers")
            disk.fill()
            until(lambda: _last(ledger, "read").status == 507, "a read that could not be audited")
            full = len(ledger.requests)
            until(lambda: len(writes(ledger, full)) > 20, "writes, whose audit row goes with them")
            reads = [request.status for request in ledger.requests[full:-8] if request.interaction == "read"]
            assert set(reads) <= {507}
        disk.free()
        again = len(ledger.requests)
        with load(baton, ledger):
            until(lambda: answers(ledger, again)[200] > 20, "reads after space has returned")
        assert wrong(baton, ledger) == []


def _last(ledger: Ledger, interaction: str) -> Request:
    """The last answered request of a kind."""
    return next(r for r in reversed(ledger.requests) if r.interaction == interaction and r.status)
