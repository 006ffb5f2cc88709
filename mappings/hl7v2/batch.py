"""Several messages in one file or frame: FHS, BHS, messages, BTS, FTS; and what is answered to them together.

What is odd becomes a `Finding`: `batch-count`, `batch-trailer`, `batch-leftover`, `several-messages`.
Source: HL7 v2.5.1, 2.10.3 (batch protocol), 2.15.2, 2.15.3 (BHS, BTS), 2.15.6, 2.15.7 (FHS, FTS)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mappings.hl7v2.acknowledgement import echo, plain_text
from mappings.hl7v2.errors import Hl7Error
from mappings.hl7v2.segment import Segment
from mappings.hl7v2.separators import USUAL, Separators, read_separators
from mappings.hl7v2.value import Content
from mappings.result import Finding

_PARTS = re.compile(
    rb"(?:\A\xef\xbb\xbf|^|(?<=\r))[ \t\x0b]*(FHS|BHS|MSH|BTS|FTS)(?=[!-/:-@\[-`{-~\s]|\Z)", re.MULTILINE
)
_BLANK = b"\xef\xbb\xbf \t\r\n\x00\x0b\x1a\x1c"


@dataclass(frozen=True, slots=True)
class Batch:
    """messages: as they came, in order. is_batch: whether there are headers or trailers of one.

    header: the first of FHS and BHS, None where none can be read; control_id: its field 11.
    """

    messages: tuple[bytes, ...]
    is_batch: bool = False
    header: Segment | None = None
    control_id: str = ""
    warnings: tuple[Finding, ...] = ()


def split(data: bytes) -> Batch:
    """The messages of a batch; of what is none all of it as one message, be it readable or not.

    Each message goes from its MSH to the next header or trailer. Never raises.
    """
    if data.count(b"MSH") < 2 and not any(name in data for name in (b"FHS", b"BHS", b"BTS", b"FTS")):
        return Batch((data,))
    marks = [(match[1].decode("ascii"), match.start(1)) for match in _PARTS.finditer(data)]
    names = [name for name, _ in marks]
    is_batch = any(name != "MSH" for name in names)
    if not is_batch and len(names) < 2:
        return Batch((data,))
    ends = [*(start for _, start in marks[1:]), len(data)]
    parts = [(name, data[start:end]) for (name, start), end in zip(marks, ends, strict=True)]
    header = next((_header(name, part) for name, part in parts if name in ("FHS", "BHS")), None)
    return Batch(
        tuple(part for name, part in parts if name == "MSH"),
        is_batch,
        header,
        header.value(11).text.strip() if header else "",
        tuple(_oddities(data[: marks[0][1]], parts, is_batch)),
    )


def _header(name: str, part: bytes) -> Segment | None:
    line = part.splitlines()[0]
    try:
        separators, _ = read_separators(line)
    except Hl7Error:
        return None
    return Segment(Content(line, line, separators, "utf-8"), name, 1, 1, 0, len(line))


def _oddities(before: bytes, parts: Sequence[tuple[str, bytes]], is_batch: bool) -> list[Finding]:
    names = [name for name, _ in parts]
    findings = []
    if not is_batch:
        findings.append(Finding("several-messages", "", "There are several messages without a batch"))
    if before.strip(_BLANK) or any(_lines(part) > 1 for name, part in parts if name != "MSH"):
        findings.append(Finding("batch-leftover", "", "There is something that belongs to no message"))
    for header, trailer in (("BHS", "BTS"), ("FHS", "FTS")):
        if names.count(header) != names.count(trailer):
            text = f"There are not as many {trailer} as {header}: something may be cut off"
            findings.append(Finding("batch-trailer", trailer, text))
    messages = batches = 0
    for name, part in parts:
        messages = 0 if name == "BHS" else messages + (name == "MSH")
        batches += name == "BHS"
        counted = {"BTS": messages, "FTS": batches}.get(name)
        declared = _count(part) if counted is not None else None
        if declared is not None and declared != counted:
            findings.append(Finding("batch-count", f"{name}-1", "There are not as many as are counted there"))
    return findings


def _lines(part: bytes) -> int:
    return sum(1 for line in part.splitlines() if line.strip(_BLANK))


def _count(trailer: bytes) -> int | None:
    match = re.match(rb"...[^\w\s]\s*(\d{1,9})\b", trailer)
    return int(match[1]) if match else None


def acknowledge_batch(
    batch: Batch, acknowledgements: Sequence[bytes], *, control_id: str, at: datetime
) -> bytes:
    """One answer to a batch: the acknowledgements of its messages in a batch, in a file where one came."""
    header = batch.header
    separators = header.content.separators if header else USUAL
    opened, closed = [_answer("BHS", header, separators, control_id, at)], []
    if header and header.name == "FHS":
        opened.insert(0, _answer("FHS", header, separators, control_id, at))
        closed.append(separators.field.join((b"FTS", b"1")))
    closed.insert(0, separators.field.join((b"BTS", b"%d" % len(acknowledgements))))
    return b"".join((*(line + b"\r" for line in opened), *acknowledgements, *(line + b"\r" for line in closed)))


def _answer(name: str, header: Segment | None, separators: Separators, control_id: str, at: datetime) -> bytes:
    there = [echo(header.raw_field(number)) if header else b"" for number in (5, 6, 3, 4, 11)]
    fields = (
        name.encode("ascii"),
        separators.encoding,
        *there[:4],
        at.strftime("%Y%m%d%H%M%S%z").encode("ascii"),
        *([b""] * 3),
        plain_text(control_id, separators),
        there[4],
    )
    return separators.field.join(fields)
