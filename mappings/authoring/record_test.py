"""A golden test out of a message: de-identified, with what the maps make of it now."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mappings.authoring.deidentify import Disguise, deidentified
from mappings.authoring.golden import RECEIVED, as_golden
from mappings.engine import MapSet
from mappings.hl7v2.message import Message, parse
from mappings.result import Mapped, Source


def record(message: Message, path: Path, source: Source, maps: MapSet) -> tuple[Path, Path, Path]:
    """Write `path`.hl7, .toml and .json; answers the three. Raises FileExistsError where one is there."""
    raw = deidentified(message, Disguise.fresh(datetime.now(UTC).date()))
    mapped = maps.run(parse(raw), source, received=RECEIVED)
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n") + b"\n"
    contents = (
        (path.with_suffix(".hl7"), lines),
        (path.with_suffix(".toml"), _description(message, source, mapped).encode()),
        (path.with_suffix(".json"), as_golden(mapped).encode()),
    )
    for target, _ in contents:
        if target.exists():
            raise FileExistsError(17, "exists", str(target))
    for target, content in contents:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return contents[0][0], contents[1][0], contents[2][0]


def _description(message: Message, source: Source, mapped: Mapped) -> str:
    kind = f"{message.get('MSH-9.1').text}^{message.get('MSH-9.2').text}"
    lines = [f"about = {_quoted(f'Recorded {kind}; say here what it shows')}"]
    if mapped.refused:
        lines.append(f"refused = {_quoted(mapped.refused.code)}")
    lines.append("\n[source]")
    lines.append(f"name = {_quoted(source.name)}")
    lines.append(f"production = {'true' if source.production else 'false'}")
    if source.time_zone:
        lines.append(f"time_zone = {_quoted(source.time_zone)}")
    if source.authorities:
        lines.append(f"authorities = [{', '.join(map(_quoted, source.authorities))}]")
    if source.overlay:
        lines.append(f"overlay = {_quoted(source.overlay)}")
    if source.medication_list:
        lines.append("medication_list = true")
    for name, table in (("systems", source.systems), ("switches", source.switches)):
        if table:
            lines.append(f"\n[source.{name}]")
            lines += [f"{_quoted(key)} = {_quoted(value)}" for key, value in table.items()]
    for intent in mapped.intents:
        if ":" not in intent.key:
            kind = intent.resource["resourceType"]
            lines += ["\n[[assert]]", f"on = {_quoted(intent.key)}", f"that = {_quoted(f'{kind}.exists()')}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
