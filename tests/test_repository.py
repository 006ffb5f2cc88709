"""The repository keeps its own promises: every data file has a source, every list is current.

Covers CONTRIBUTING.md ("Data", "Words").
"""

from __future__ import annotations

import fnmatch
import runpy
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA_SUFFIXES = {".gz", ".tsv", ".csv", ".ndjson", ".woff2", ".sqlite3", ".zip", ".tgz", ".dump"}
DATA_FOLDERS = {"definitions", "data", "vendor", "demo_data", "policy"}


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listing.stdout.splitlines() if (ROOT / name).exists()]


def is_data(name: str) -> bool:
    path = Path(name)
    if path.name in ("SOURCES.toml", "package.json", "package-lock.json"):
        return False
    if path.suffix in DATA_SUFFIXES:
        return True
    return path.suffix in (".json", ".js", ".txt") and bool(DATA_FOLDERS & set(path.parts))


def third_party() -> dict:
    return runpy.run_path(str(ROOT / "docs" / "generate_third_party.py"))


def test_every_shipped_data_file_has_an_entry_with_origin_and_licence() -> None:
    patterns = [
        (folder / name).as_posix() for folder, entry in third_party()["sources"]() for name in entry["files"]
    ]
    missing = [
        name
        for name in tracked()
        if is_data(name) and not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    ]
    assert missing == []


def test_every_entry_names_files_that_exist_and_says_where_they_come_from() -> None:
    for folder, entry in third_party()["sources"]():
        assert set(entry) >= {"files", "title", "origin", "release", "licence", "notice"}, entry
        assert all(entry[key] for key in ("title", "origin", "release", "licence")), entry["title"]
        for name in entry["files"]:
            assert list((ROOT / folder).glob(name)), f"{folder}/{name}"


def test_notice_and_the_third_party_page_are_current() -> None:
    generator = third_party()
    entries = generator["sources"]()
    assert (ROOT / "NOTICE").read_text("utf-8") == generator["notice"](entries), "run `make generate`"
    page = (ROOT / "docs" / "reference" / "third-party.md").read_text("utf-8")
    rows = generator["packages"](ROOT / "requirements.lock")
    assert page == generator["page"](entries, rows), "run `make generate`"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_pin_with_hashes_and_name_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    assert "--hash=sha256:" in text
    assert "--index-url" not in text
    assert "--find-links" not in text
