"""The files of a terminology directory: which one is current, how the next takes its place, which may go.

A file is named by what it was built from, so a new release is a new file: readers of the one before keep
it. What a deployment loaded itself is known by a pointer beside the files, `BASE.current`, where BASE
stands for the tables and the code of one version of Baton. Versions of Baton that run side by side, as
during an upgrade, so never move each other's pointer.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path

from terminology.tables import content_hash

SUFFIX = ".sqlite"
_POINTER = ".current"
# The modules that turn tables into rows: another reading of the same tables is another file.
_WRITERS = (
    "dose_form.py", "drugs.py", "names.py", "release.py", "schema.py", "store.py", "tables.py", "tier_a.py",
    "units.py", "writing.py", "loaders/fhir_package.py", "loaders/icd10cm.py", "loaders/rxnorm.py",
)  # fmt: skip


@cache
def base() -> str:
    """Short hash of the tables that ship and of the code that reads them."""
    digest = hashlib.sha256(content_hash().encode())
    for name in _WRITERS:
        digest.update(name.encode() + files("terminology").joinpath(*name.split("/")).read_bytes())
    return digest.hexdigest()[:16]


def base_name() -> str:
    """Name of the file that the shipped tables alone build."""
    return file_name(base())


def file_name(edition: str) -> str:
    """Name of the file of an edition."""
    return f"terminology-{edition}{SUFFIX}"


def current(directory: Path) -> Path | None:
    """The file that readers open now; None before it is built."""
    path = directory / (_pointed(directory / (base() + _POINTER)) or base_name())
    return path if path.exists() else None


def with_loads(directory: Path) -> Path | None:
    """The file with what was loaded here: this version's, else the newest of another version of Baton."""
    pointers = sorted(directory.glob(f"*{_POINTER}"), key=lambda path: path.stat().st_mtime, reverse=True)
    own_first = sorted(pointers, key=lambda path: path.stem != base())
    paths = (directory / (_pointed(pointer) or _POINTER) for pointer in own_first)
    return next((path for path in paths if path.is_file() and path.suffix == SUFFIX), None)


def _pointed(pointer: Path) -> str | None:
    try:
        name = pointer.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return name if name and Path(name).name == name else None


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """One builder of a directory at a time; waits for the other."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(directory: Path) -> Iterator[Path]:
    """An empty file in the directory, gone at the end unless it was published."""
    directory.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=directory, prefix="terminology-", suffix=".building")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def publish(built: Path, directory: Path, name: str) -> Path:
    """Make a finished file the current one, in one step; durable before readers can find it."""
    os.chmod(built, 0o644)
    with open(built, "rb") as file:
        os.fsync(file.fileno())
    target = directory / name
    os.replace(built, target)
    pointer = directory / (base() + _POINTER)
    if name == base_name():
        pointer.unlink(missing_ok=True)
    else:
        pointer_next = directory / f".{pointer.name}"
        pointer_next.write_text(name + "\n", encoding="ascii")
        os.replace(pointer_next, pointer)
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return target


def others(directory: Path) -> tuple[Path, ...]:
    """Files and pointers that this version of Baton does not read, unfinished ones of dead builders too."""
    kept = {current(directory), directory / (base() + _POINTER)}
    found = [path for kind in (SUFFIX, _POINTER, ".building") for path in directory.glob(f"*{kind}")]
    return tuple(sorted(path for path in found if path not in kept))
