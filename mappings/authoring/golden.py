"""Golden tests: a message, FHIRPath assertions, and the whole result as it was when somebody last looked at it.

`NAME.hl7`, `NAME.toml`, `NAME.json` side by side; docs/reference/mapping-language.md says what the second
holds.
"""

from __future__ import annotations

import difflib
import json
import tomllib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from mappings.authoring.source_file import SourceError, source_of
from mappings.engine import MapSet
from mappings.hl7v2.message import Hl7Error, parse
from mappings.result import Intent, Mapped, Source

RECEIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Takes a resource, answers what is wrong with it; none: valid.
Validator = Callable[[Mapping[str, Any]], Sequence[str]]
# What the keys of a test hold, and what their members are; words for people.
_KEYS: dict[str, tuple[type, type, str]] = {
    "about": (str, object, "a text"),
    "requirement": (list, str, "a list of texts"),
    "received": (datetime, object, "a time with an offset"),
    "source": (dict, object, "a table"),
    "assert": (list, dict, "a list of tables"),
    "finding": (list, str, "a list of texts"),
    "refused": (str, object, "a text"),
}


class BadTest(ValueError):
    """A test that cannot be run; the text says why."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """on: key of the intent that the FHIRPath is asked of."""

    on: str
    that: str


@dataclass(frozen=True, slots=True)
class GoldenTest:
    """path: of the message. findings: codes that must be among the result's. refused: code, "" for a mapped
    message.
    """

    path: Path
    about: str
    requirements: tuple[str, ...]
    message: bytes
    source: Source
    received: datetime
    assertions: tuple[Assertion, ...]
    findings: tuple[str, ...]
    refused: str

    @property
    def golden_path(self) -> Path:
        return self.path.with_suffix(".json")

    def run(self, maps: MapSet) -> Mapped:
        """What the maps make of the message. Raises BadTest for what is no message."""
        try:
            message = parse(self.message)
        except Hl7Error as error:
            raise BadTest(f"{self.path.name}: no message: {error}") from error
        return maps.run(message, self.source, received=self.received)


def find(paths: Sequence[Path]) -> list[GoldenTest]:
    """The tests in files and folders, by name. Raises BadTest, also where there is none."""
    files: set[Path] = set()
    for path in paths:
        found = set(path.rglob("*.hl7")) if path.is_dir() else {path.with_suffix(".hl7")}
        if not found:
            raise BadTest(f"{path}: there is no test (NAME.hl7) in it")
        files |= found
    return [read(path) for path in sorted(files)]


def read(path: Path) -> GoldenTest:
    """The test of a message file. Raises BadTest."""
    message, about = _bytes_of(path), path.with_suffix(".toml")
    try:
        said = tomllib.loads(_bytes_of(about).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadTest(f"{about.name}: no TOML: {error}") from error
    for key, value in said.items():
        if key not in _KEYS:
            raise BadTest(f"{about.name}: no key {key!r}")
        kind, members, words = _KEYS[key]
        if not isinstance(value, kind) or (
            isinstance(value, list) and not all(isinstance(one, members) for one in value)
        ):
            raise BadTest(f"{about.name}: `{key}` is {words}")
    received = said.get("received", RECEIVED)
    if received.tzinfo is None:
        raise BadTest(f"{about.name}: `received` is {_KEYS['received'][2]}")
    assertions = tuple(Assertion(row.get("on", ""), row.get("that", "")) for row in said.get("assert", ()))
    if not all(isinstance(one.on, str) and isinstance(one.that, str) and one.that for one in assertions):
        raise BadTest(f"{about.name}: `assert` says `on` what and `that` what, as texts")
    if not assertions and not said.get("refused"):
        raise BadTest(f"{about.name}: a test asserts something")
    try:
        source = source_of({"name": "test", **said.get("source", {})})
    except SourceError as error:
        raise BadTest(f"{about.name}: {error}") from error
    lines = message.replace(b"\r\n", b"\r").replace(b"\n", b"\r")
    return GoldenTest(
        path,
        said.get("about", ""),
        tuple(said.get("requirement", ())),
        lines,
        source,
        received,
        assertions,
        tuple(said.get("finding", ())),
        said.get("refused", ""),
    )


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadTest(f"{path}: there is no such file; a test is NAME.hl7, NAME.toml and NAME.json") from error
    except OSError as error:
        raise BadTest(f"{path}: {error.strerror}") from error


def as_golden(mapped: Mapped) -> str:
    """The result as its file holds it: without version and trace, which every edit of a map changes."""
    return _text(
        {
            "moment": mapped.moment,
            "refused": asdict(mapped.refused) if mapped.refused else None,
            "intents": [_intent(intent) for intent in mapped.intents],
            "merges": [asdict(merge) for merge in mapped.merges],
            "findings": [asdict(finding) for finding in mapped.findings],
            "unread": list(mapped.unread),
        }
    )


def _intent(intent: Intent) -> dict[str, Any]:
    row = asdict(intent) | {"identities": [asdict(one) for one in intent.identities]}
    return {key: value for key, value in row.items() if value not in ({}, (), [], "")}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, default=_number) + "\n"


def _number(value: object) -> object:
    if isinstance(value, Decimal):
        return f"decimal {value}"
    raise TypeError(type(value).__name__)


def difference(test: GoldenTest, mapped: Mapped) -> str:
    """What differs from the golden file, as a unified diff; "" for nothing."""
    try:
        before = test.golden_path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        before = ""
    lines = difflib.unified_diff(
        before.splitlines(), as_golden(mapped).splitlines(), f"{test.golden_path.name}", "now", lineterm=""
    )
    return "\n".join(lines)


def faults(test: GoldenTest, mapped: Mapped, validator: Validator | None) -> Iterator[str]:
    """What is wrong with a result besides differences: assertions, findings, refusal, validity."""
    refused = mapped.refused.code if mapped.refused else ""
    if refused != test.refused:
        yield f"refused: {refused or 'no'}, expected: {test.refused or 'no'}"
    missing = set(test.findings) - {finding.code for finding in mapped.findings}
    yield from (f"no finding {code}" for code in sorted(missing))
    resources = {intent.key: intent.resource for intent in mapped.intents}
    for assertion in test.assertions:
        if assertion.on not in resources:
            yield f"no intent {assertion.on!r}; there are {', '.join(resources)}"
        elif not holds(resources[assertion.on], assertion.that):
            yield f"{assertion.on}: not true: {assertion.that}"
    if validator is not None:
        for key, resource in resources.items():
            yield from (f"{key}: not valid: {fault}" for fault in validator(resolved(resource)))


def holds(resource: Mapping[str, Any], expression: str) -> bool:
    """Whether a FHIRPath expression is true of a resource. Raises BadTest for what is no FHIRPath."""
    from fhirpathpy import evaluate  # takes a second to import, which only tests are worth
    from fhirpathpy.models import models

    try:
        found = evaluate(json.loads(json.dumps(resource, default=float)), expression, {}, models["r4"])
    except Exception as error:
        raise BadTest(f"no FHIRPath: {expression}: {type(error).__name__}") from error
    return found == [True]


def resolved(resource: Mapping[str, Any]) -> Any:
    """A resource whose references to other intents look like those that are stored later."""

    def walk(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: walk(member) for name, member in value.items()}
        if isinstance(value, list):
            return [walk(member) for member in value]
        if isinstance(value, str) and value.startswith("#intent:"):
            return uuid.uuid5(uuid.NAMESPACE_URL, value).urn
        return value

    return walk(resource)
