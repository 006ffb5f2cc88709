"""Loading files of FHIR resources: what becomes of Bundles, NDJSON lines and single resources.

Every resource that carries an id is stored under it by PUT, so that loading the same file twice changes
nothing. A transaction Bundle stays one transaction; everything else is sent in transactions for speed and, when
one is refused, again as a batch, so that a bad resource does not keep back its neighbours.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from server.errors import FhirError, Issue, operation_outcome
from server.fhir.json_codec import decode
from server.fhir.references import rewrite_references

ENDINGS = (".json", ".ndjson", ".json.gz", ".ndjson.gz")
CHUNK = 500  # resources a transaction, where the file does not say what belongs together

# A Bundle -> HTTP status and the response Bundle, or the OperationOutcome of a refusal.
Send = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
Transform = Callable[[dict[str, Any]], dict[str, Any]]

# What no further entry would fare better with.
_AWAY = {503: "the server cannot answer now", 507: "the server has no space left"}

_URN = "urn:uuid:"
# A history lists versions, not resources: storing its entries one over the other would invent a new history.
_REFUSED_TYPES = {"history": "a history Bundle lists versions and cannot be loaded"}


@dataclass(slots=True)
class Summary:
    """What came of it; numbers of resources, and seconds."""

    read: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    seconds: float = 0.0

    def add(self, other: Summary) -> None:
        """Add the counts of another part of the work."""
        self.read += other.read
        self.created += other.created
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.refused += other.refused

    def as_json(self) -> dict[str, Any]:
        """The summary as it is printed."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}


class StoreAway(Exception):
    """The store takes nothing more now (full disk, database away), so going on is of no use.

    summary, refusals: what came of the unit that met it. `str` is for the operator.
    """

    def __init__(self, words: str, summary: Summary, refusals: list[dict[str, Any]]) -> None:
        super().__init__(words, summary, refusals)  # as they are: it crosses processes
        self.summary, self.refusals = summary, refusals

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Unit:
    """What is sent together. source: file and line, for refusals. whole: all or nothing.

    error: why the content cannot even be sent, None usually. weight: bytes of the file that this ends.
    """

    source: str
    entries: tuple[dict[str, Any], ...] = ()
    whole: bool = False
    error: FhirError | None = None
    weight: int = 0
    labels: tuple[str, ...] = field(default=(), repr=False)


def find_files(paths: Iterable[Path]) -> list[Path]:
    """The files named, and those with a known ending below the folders named, in order of their names.

    Raises: FileNotFoundError for a path that does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(ENDINGS))
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(f"{path} does not exist")
    return found


def units_of(file: Path, transform: Transform | None = None) -> Iterator[Unit]:
    """What is to be sent of one file. transform: applied to every Bundle or resource that was read."""
    weight = file.stat().st_size
    last: Unit | None = None
    for unit in _units(file, transform):
        if last is not None:
            yield last
        last = unit
    if last is None:
        last = Unit(file.name, error=FhirError("invalid-json", "the file holds no resource"))
    yield Unit(last.source, last.entries, last.whole, last.error, weight, last.labels)


def load_unit(unit: Unit, send: Send) -> tuple[Summary, list[dict[str, Any]]]:
    """Send a unit. Returns its counts and an OperationOutcome for everything that was refused.

    Raises: StoreAway.
    """
    summary = Summary(read=len(unit.entries))
    if unit.error is not None:
        summary.read = summary.refused = 1
        return summary, [_refusal(unit.source, unit.error.outcome())]
    if not unit.entries:
        return summary, []
    status, answer = send(_bundle("transaction", unit.entries))
    if status == 200:
        _count(answer, unit, summary, [])
        return summary, []
    _stop_when_away(status, answer, Summary(), [])
    if unit.whole:
        summary.refused = len(unit.entries)
        return summary, [_refusal(unit.source, answer)]
    refusals: list[dict[str, Any]] = []
    status, answer = send(_bundle("batch", unit.entries))
    if status == 200:
        _count(answer, unit, summary, refusals)
        for row in answer.get("entry", ()):
            response = row.get("response", {})
            _stop_when_away(_status(response), response.get("outcome") or {}, summary, refusals)
    else:
        _stop_when_away(status, answer, Summary(), [])
        summary.refused = len(unit.entries)
        refusals.append(_refusal(unit.source, answer))
    return summary, refusals


def load(units: Iterable[Unit], send: Send, note: Callable[[Unit], None] | None = None) -> tuple[Summary, list]:
    """Send all units one after the other. note: called after each, for progress."""
    started = time.monotonic()
    total = Summary()
    refusals: list[dict[str, Any]] = []
    for unit in units:
        summary, refused = load_unit(unit, send)
        total.add(summary)
        refusals += refused
        if note:
            note(unit)
    total.seconds = time.monotonic() - started
    return total, refusals


def _units(file: Path, transform: Transform | None) -> Iterator[Unit]:
    try:
        raw = file.read_bytes()
        if raw.startswith(b"\x1f\x8b"):
            raw = gzip.decompress(raw)
    except (OSError, EOFError, ValueError) as error:
        yield Unit(
            file.name, error=FhirError("invalid-json", f"the file cannot be read: {type(error).__name__}")
        )
        return
    if ".ndjson" in file.name:
        yield from _chunks(_lines(file.name, raw, transform))
        return
    content = _content(raw, transform)
    if isinstance(content, FhirError):
        yield Unit(file.name, error=content)
    elif content.get("resourceType") == "Bundle" and content.get("type") != "document":
        yield from _bundle_units(file.name, content)
    else:
        yield from _chunks([(file.name, content)])


def _lines(
    name: str, raw: bytes, transform: Transform | None
) -> Iterator[tuple[str, dict[str, Any] | FhirError]]:
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if line.strip():
            yield f"{name}:{number}", _content(line, transform)


def _content(raw: bytes, transform: Transform | None) -> dict[str, Any] | FhirError:
    try:
        content = decode(raw)
        if not isinstance(content.get("resourceType"), str):
            raise FhirError("invalid-resource", "not a FHIR resource: resourceType is missing")
        return transform(content) if transform else content
    except FhirError as error:
        return error


def _bundle_units(name: str, bundle: dict[str, Any]) -> Iterator[Unit]:
    refused = _REFUSED_TYPES.get(str(bundle.get("type")))
    entries = bundle.get("entry", [])
    if refused or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        yield Unit(name, error=FhirError("invalid-request", refused or "Bundle.entry is not a list of entries"))
        return
    prepared = [made for made in map(_prepare, entries) if made is not None]
    if bundle.get("type") == "transaction":
        yield Unit(name, tuple(prepared), whole=True)
        return
    # What is cut into chunks, or sent again as a batch, has to refer to ids already.
    links = {
        entry["fullUrl"]: entry["request"]["url"]
        for entry in prepared
        if isinstance(entry.get("fullUrl"), str) and entry["request"]["method"] == "PUT"
    }
    for entry in prepared:
        if "resource" in entry:
            entry["resource"] = rewrite_references(entry["resource"], links.get)
    for start in range(0, len(prepared), CHUNK):
        part = tuple(prepared[start : start + CHUNK])
        yield Unit(name, part, labels=tuple(f"{name}: entry {start + at}" for at in range(len(part))))


def _prepare(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The entry as it is sent; None for one that stores nothing (a read, an outcome of a search)."""
    resource, asked, full_url = entry.get("resource"), entry.get("request"), entry.get("fullUrl")
    if isinstance(asked, dict) and asked.get("method") == "DELETE":
        return {"request": {"method": "DELETE", "url": asked.get("url", "")}}
    if not isinstance(resource, dict):
        return None
    search = entry.get("search")
    if isinstance(search, dict) and search.get("mode") == "outcome":
        return None
    condition = asked.get("ifNoneExist") if isinstance(asked, dict) else None
    if "id" not in resource and condition is None and isinstance(full_url, str) and full_url.startswith(_URN):
        resource = resource | {"id": full_url.removeprefix(_URN)}
    made = _entry(resource, condition)
    if isinstance(full_url, str):
        made["fullUrl"] = full_url
    return made


def _entry(resource: dict[str, Any], condition: Any = None) -> dict[str, Any]:
    resource_type = str(resource.get("resourceType", ""))
    if "id" in resource:
        request = {"method": "PUT", "url": f"{resource_type}/{resource['id']}"}
    else:
        request = {"method": "POST", "url": resource_type}
        if condition is not None:
            request["ifNoneExist"] = condition
    return {"resource": resource, "request": request}


def _chunks(contents: Iterable[tuple[str, dict[str, Any] | FhirError]]) -> Iterator[Unit]:
    entries: list[dict[str, Any]] = []
    labels: list[str] = []
    for label, content in contents:
        if isinstance(content, FhirError):
            yield Unit(label, error=content)
            continue
        entries.append(_entry(content))
        labels.append(label)
        if len(entries) == CHUNK:
            yield Unit(labels[0], tuple(entries), labels=tuple(labels))
            entries, labels = [], []
    if entries:
        yield Unit(labels[0], tuple(entries), labels=tuple(labels))


def _bundle(type: str, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def _stop_when_away(
    status: int, outcome: dict[str, Any], summary: Summary, refusals: list[dict[str, Any]]
) -> None:
    if status in _AWAY:
        said = [issue.get("diagnostics", "") for issue in outcome.get("issue", ())]
        raise StoreAway(" ".join(filter(None, said)) or _AWAY[status], summary, refusals)


def _status(response: dict[str, Any]) -> int:
    text = str(response.get("status", ""))[:3]
    return int(text) if text.isdecimal() else 0


def _count(answer: dict[str, Any], unit: Unit, summary: Summary, refusals: list[dict[str, Any]]) -> None:
    for position, row in enumerate(answer.get("entry", [])):
        response = row.get("response", {})
        status = str(response.get("status", ""))[:3]
        outcome = response.get("outcome")
        if status == "201":
            summary.created += 1
        elif status.startswith("2"):
            if _says_unchanged(outcome):
                summary.unchanged += 1
            else:
                summary.updated += 1
        else:
            summary.refused += 1
            source = unit.labels[position] if position < len(unit.labels) else unit.source
            refusals.append(_refusal(source, outcome or _unexplained(status)))


def _says_unchanged(outcome: Any) -> bool:
    return isinstance(outcome, dict) and any(
        issue.get("code") == "duplicate" for issue in outcome.get("issue", ())
    )


def _refusal(source: str, outcome: dict[str, Any]) -> dict[str, Any]:
    """The OperationOutcome with the place the refused content was read from before each text."""
    issues = outcome.get("issue") if outcome.get("resourceType") == "OperationOutcome" else None
    told = [
        issue | {"diagnostics": f"{source}: {issue.get('diagnostics', issue.get('code', ''))}"}
        for issue in issues or _unexplained("")["issue"]
    ]
    return outcome | {"issue": told} if issues else _unexplained("") | {"issue": told}


def _unexplained(status: str) -> dict[str, Any]:
    text = f"refused with status {status}" if status else "refused without an explanation"
    return operation_outcome([Issue("processing", text)])
