"""The vocabulary's one file. Covers: versioned name, atomic switch, open readers unharmed, read-only."""

import sqlite3
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from terminology import editions, store, tables
from terminology.cli import terminology
from terminology.rxnorm import RxNorm
from terminology.store import Store


def test_the_name_of_the_file_carries_what_it_was_built_from(built: Path) -> None:
    assert built.name == f"terminology-{editions.base()}.sqlite"
    assert Store(built).version() == f"rxnorm-2025-11+{_drug_tables()[:12]}"


def _drug_tables() -> str:
    return tables.content_hash("rxnorm/", "drug_classes/", "units.tsv")


def test_a_file_that_is_there_is_only_opened(built: Path) -> None:
    stamp = built.stat().st_mtime_ns
    assert store.open_store(built.parent).path == built
    assert built.stat().st_mtime_ns == stamp


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(store, "_fill", fail)
    with pytest.raises(OSError, match="no space"):
        store.build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_readers_cannot_write(built: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        Store(built)._db.all("insert into meta values ('a', 'b')")


def test_threads_read_at_the_same_time(built: Path) -> None:
    rxnorm, found = RxNorm(Store(built)), []

    def read() -> None:
        for code in ("314076", "104377", "197885", "861007"):
            drug = rxnorm._drug(code)
            found.append(drug.concept.rxcui if drug else None)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, found)) == sorted(["314076", "104377", "197885", "861007"] * 8)


def test_the_commands_build_and_look_up(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_HOME", str(tmp_path))
    (tmp_path / "terminology").symlink_to(built.parent)
    runner = CliRunner()
    for words in ("314076", "lisinopril 10 MG oral tablet"):
        answer = runner.invoke(terminology, ["lookup", words])
        assert answer.exit_code == 0
        assert "lisinopril 10 MG Oral Tablet" in answer.output
    assert runner.invoke(terminology, ["lookup", "no such drug"]).exit_code == 1
    monkeypatch.setenv("BATON_HOME", str(tmp_path / "elsewhere"))
    answer = runner.invoke(terminology, ["build"])
    assert answer.exit_code == 0
    new = tmp_path / "elsewhere" / "terminology" / built.name
    assert {path.name for path in new.parent.iterdir()} == {built.name, ".lock"}
    assert Store(new).drug("314076") == Store(built).drug("314076")
