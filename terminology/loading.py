"""A release into a copy of the current file, which then takes its place.

Nobody waits: readers keep the file they opened, and a load that fails leaves no trace.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from terminology import editions
from terminology.connection import Connection
from terminology.loaders import cvx, fhir_package, icd10cm, loinc, ndc, rxnorm, snomed
from terminology.loaders.archive import Advance, Archive, Unreadable, sha256
from terminology.loaders.release import Format, Options, version_in_name
from terminology.store import connect, current_or_built, finish
from terminology.writing import LOADED, Writer

FORMATS: dict[str, Format] = {
    "rxnorm": rxnorm.FORMAT,
    "loinc": loinc.FORMAT,
    "snomed": snomed.FORMAT,
    "icd10cm": icd10cm.FORMAT,
    "ndc": ndc.FORMAT,
    "cvx": cvx.FORMAT,
    "fhir-package": fhir_package.FORMAT,
}


@dataclass(frozen=True, slots=True)
class Steps:
    """What is told while a load runs."""

    begin: Callable[[str, int], None] = lambda words, total: None
    """A step, and how many bytes it will read; 0 where that is not known."""
    advance: Advance = lambda count: None
    """Bytes read since."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load came to."""

    name: str
    """Canonical url of the system, or name of the package."""
    version: str
    sha256: str
    path: Path
    """The file that is current now."""
    already: bool
    """The same release from the same file was there, and nothing was done."""


def load(
    directory: Path,
    kind: str,
    path: Path,
    release: str | None = None,
    options: Options | None = None,
    steps: Steps | None = None,
) -> Loaded:
    """Load an official release file of one of FORMATS.

    release: its version, where neither the file nor its name tells it.
    Raises: archive.Unreadable where the file is not such a release, or its version cannot be told;
    OSError.
    """
    told, form, options = steps or Steps(), FORMATS[kind], options or Options()
    told.begin("checksum", path.stat().st_size)
    checksum = sha256(path, told.advance)
    if options != Options():
        checksum = hashlib.sha256(f"{checksum} {options}".encode()).hexdigest()
    with Archive(path) as archive:
        size = form.read(archive)
        version = release or form.version(archive) or version_in_name(path.name)
        name = form.name(archive) or form.system.url
    if not version:
        raise Unreadable(f"neither {path.name} nor its name tells its version: name it with --release")
    with editions.alone(directory):
        current = current_or_built(directory)
        if _has(current, (kind, name, version, checksum)):
            return Loaded(name, version, checksum, current, True)
        edition = hashlib.sha256(f"{current.name} {kind} {name} {version} {checksum}".encode()).hexdigest()[:16]
        with editions.scratch(directory) as scratch, Archive(path, told.advance) as archive:
            shutil.copyfile(current, scratch)
            with closing(connect(scratch)) as database:
                writer, now = Writer(database), datetime.now(UTC).isoformat(timespec="seconds")
                told.begin(f"{kind} {version}", size)
                writer.drop_indexes()
                writer.remove_system(form.system.url, version)
                system = replace(form.system, version=version, sha256=checksum, loaded_at=now, origin=LOADED)
                try:
                    form.write(writer, archive, system, options)
                except (KeyError, IndexError) as error:
                    raise Unreadable(f"{path.name} lacks columns that {kind} has") from error
                writer.loaded(kind, name, version, checksum, now)
                told.begin("indexes", 0)
                finish(writer, edition, drugs=kind == "rxnorm")
            return Loaded(
                name,
                version,
                checksum,
                editions.publish(scratch, directory, editions.file_name(edition)),
                False,
            )


def _has(path: Path, load: tuple[str, str, str, str]) -> bool:
    found = Connection(path).one(
        "select 1 from load where kind = ? and name = ? and version = ? and sha256 = ?", *load
    )
    return found is not None


def prune(directory: Path) -> tuple[Path, ...]:
    """Remove loaded versions that a newer one replaced, and every file but the current; returns what went.

    Files that a running process still has open stay readable to it until it ends.
    """
    with editions.alone(directory):
        current = editions.current(directory)
        if current is None:
            return ()
        _without_replaced(directory, current)
        gone = editions.others(directory)
        for path in gone:
            path.unlink(missing_ok=True)
    return gone


def _without_replaced(directory: Path, current: Path) -> None:
    """Make a file current that has of each loaded system its default version alone."""
    replaced = Connection(current).all(
        "select url, version from code_system where origin = ? and not is_default order by url, version", LOADED
    )
    if not replaced:
        return
    edition = hashlib.sha256(f"{current.name} without {replaced}".encode()).hexdigest()[:16]
    with editions.scratch(directory) as scratch:
        shutil.copyfile(current, scratch)
        with closing(connect(scratch)) as database:
            writer = Writer(database)
            writer.drop_indexes()
            for url, version in replaced:
                writer.remove_system(url, version)
                writer.forget(url, version)
            finish(writer, edition, drugs=False)
            database.execute("vacuum")
        editions.publish(scratch, directory, editions.file_name(edition))
