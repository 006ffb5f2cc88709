"""What reading an HL7 v2 message costs: our parser beside PyPI hl7kit, hl7 and hl7apy, in the same run.

    python benchmarks/hl7v2_parser.py [--rounds 5] [--check]

Each parser gets the bytes of an admission (13 segments) and of a report (50 results) and gives the same fields:
PID-3, PID-5, PV1-3 and PV1-19 of the admission, as well every OBX-3 and OBX-5 of the report. Parsers take turns
within a round; rates are messages a second of processor time of one core, so that neighbours on the machine do
not count. hl7apy reads without looking for groups and without validation, which is the fastest it can. All
messages are synthetic.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import click
import hl7
import hl7kit
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from mappings.hl7v2.message import parse

BAR = 20_000
"""Admissions a second on one core."""

FIELDS = ("PID-3.1", "PID-5.1", "PV1-3.1", "PV1-19.1")
RESULTS = 50

_HEAD = (
    "MSH|^~\\&|SYNTHETIC|WEST^1.2.3.4^ISO|BATON|HOME|20260301120000-0500||{kind}|M0001|P|2.5.1|||AL|NE"
    "||UNICODE UTF-8",
    "PID|1||T-100^^^WEST&1.2.3.4&ISO^MR~S-5^^^STATE^SB||Probe^Ana^B^^Dr.^^L||19500214|F||2106-3^White^HL70005"
    "|1 Elm St^^Springfield^IL^62701^USA^H||^PRN^PH^^1^217^5550100|||M^Married^HL70002||A-77^^^WEST",
    "PV1|1|I|W1^12^B^WEST^^^Main|R|||D1^Test^Doc^^^^MD|||MED||||7|||D1^Test^Doc^^^^MD|I|V-77^^^WEST"
    "|||||||||||||||||||||||||20260301113000-0500",
)
_ADMISSION = (
    "EVN|A01|20260301115900-0500|||OP7^Test^Clerk",
    "PD1|||Practice West^^P1|D2^Test^Doctor",
    "NK1|1|Probe^Ben|SPO^Spouse^HL70063|1 Elm St^^Springfield^IL^62701|^PRN^PH^^1^217^5550100",
    "PV2|||I50.9^Heart failure^I10|||||20260301|20260306|5",
    "AL1|1|DA|7980^Penicillin^RXNORM|SV|Hives~Rash",
    "AL1|2|FA|P1^Peanut^L|MO|Swelling",
    "DG1|1||I50.9^Heart failure, unspecified^I10||20260301|A",
    "DG1|2||E11.9^Type 2 diabetes^I10||20260301|A",
    "IN1|1|PLAN1^Plan^L|PAYER1|Payer of Tests|1 Pay St^^Springfield^IL^62701|||G1||||20260101|20261231",
    "GT1|1||Probe^Ana||1 Elm St^^Springfield^IL^62701|^PRN^PH^^1^217^5550100||19500214|F",
)


def admission() -> bytes:
    """An ADT^A01 of 13 segments."""
    head, patient, visit = (line.format(kind="ADT^A01^ADT_A01") for line in _HEAD)
    event, *rest = _ADMISSION
    return "".join(f"{line}\r" for line in (head, event, patient, *rest[:2], visit, *rest[2:])).encode()


def report() -> bytes:
    """An ORU^R01 with 50 numeric results."""
    lines = [line.format(kind="ORU^R01^ORU_R01") for line in _HEAD]
    lines += ["ORC|RE|P1|F1", "OBR|1|P1|F1|24323-8^Comprehensive metabolic panel^LN|||20260301110000"]
    lines += [
        f"OBX|{n}|NM|{2000 + n}-7^Analyte {n} in Serum^LN||{n}.{n % 10}|mmol/L^mmol/L^UCUM|1.0-99.0|N|||F"
        "|||20260301111500"
        for n in range(1, RESULTS + 1)
    ]
    return "".join(f"{line}\r" for line in lines).encode()


def _ours(data: bytes, results: int) -> list[str]:
    message = parse(data)
    found = [message.get(path).text for path in FIELDS]
    if results:
        for segment in message.every("OBX"):
            found += [segment.value(3).text, segment.value(5).text]
    return found


def _hl7kit(data: bytes, results: int) -> list[str]:
    message = hl7kit.parse(data)
    found = [message.get(path) for path in FIELDS]
    for number in range(1, results + 1):
        found += [message.get(f"OBX[{number}]-3.1"), message.get(f"OBX[{number}]-5")]
    return found


def _hl7(data: bytes, results: int) -> list[str]:
    message = hl7.parse(data.decode())
    patient, visit = message.segment("PID"), message.segment("PV1")
    found = [
        str(one) for one in (patient(3)(1)(1)(1), patient(5)(1)(1)(1), visit(3)(1)(1)(1), visit(19)(1)(1)(1))
    ]
    if results:
        for segment in message.segments("OBX"):
            found += [str(segment(3)(1)(1)(1)), str(segment(5))]
    return found


def _hl7apy(data: bytes, results: int) -> list[str]:
    message = parse_message(data.decode(), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
    patient, visit = message.pid, message.pv1
    values = (patient.pid_3[0].cx_1, patient.pid_5.xpn_1.fn_1, visit.pv1_3.pl_1, visit.pv1_19.cx_1)
    found = [value.to_er7() for value in values]
    if results:
        for segment in message.obx:
            found += [segment.obx_3.ce_1.to_er7(), segment.obx_5.to_er7()]
    return found


PARSERS: dict[str, Callable[[bytes, int], list[str]]] = {
    "Baton": _ours, "hl7kit": _hl7kit, "hl7": _hl7, "hl7apy": _hl7apy,
}  # fmt: skip
MESSAGES: dict[str, tuple[Callable[[], bytes], int]] = {
    "ADT^A01, 13 segments": (admission, 0),
    f"ORU^R01, {RESULTS} results": (report, RESULTS),
}


@dataclass(slots=True)
class Rates:
    """What one parser reads of one kind of message: messages a second of a core, in each round."""

    message: str
    parser: str
    rounds: list[float] = field(default_factory=list)


def measure(rounds: int, seconds: float, step: Callable[[str], None]) -> list[Rates]:
    """Every parser with every message. Raises: SystemExit where parsers read different values."""
    found = []
    for name, (make, results) in MESSAGES.items():
        data = make()
        read = {parser: work(data, results) for parser, work in PARSERS.items()}
        if any(values != read["Baton"] for values in read.values()):
            raise SystemExit(f"{name}: the parsers do not read the same values")
        rates = {parser: Rates(name, parser) for parser in PARSERS}
        for _ in range(rounds):
            for parser, work in PARSERS.items():
                step(f"{parser}, {name}")
                rates[parser].rounds.append(_rate(work, data, results, seconds))
        found += rates.values()
    return found


def steps(rounds: int) -> int:
    """How many times `measure` calls step."""
    return len(MESSAGES) * len(PARSERS) * rounds


def _rate(work: Callable[[bytes, int], list[str]], data: bytes, results: int, seconds: float) -> float:
    done, size = 0, 1
    begun = time.process_time()
    while (taken := time.process_time() - begun) < seconds:
        for _ in range(size):
            work(data, results)
        done += size
        size = min(size * 2, 256)
    return done / taken


def times(found: Sequence[Rates], message: str, parser: str) -> float:
    """How many times as fast ours is: the median of neighbouring rounds."""
    ours, theirs = (
        next(one.rounds for one in found if (one.message, one.parser) == (message, name))
        for name in ("Baton", parser)
    )
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def admissions_a_second(found: Sequence[Rates]) -> float:
    """Ours, the median of the rounds."""
    return statistics.median(found[0].rounds)


def table(found: Sequence[Rates]) -> list[str]:
    """A row a parser, a column a message: messages a second (lowest to highest), and how far ours is ahead."""
    lines = [
        "| messages a second on one core | " + " | ".join(MESSAGES) + " |",
        "| --- " * (len(MESSAGES) + 1) + "|",
    ]
    for parser in PARSERS:
        cells = []
        for message in MESSAGES:
            rounds = next(one.rounds for one in found if (one.message, one.parser) == (message, parser))
            span = f"{statistics.median(rounds):,.0f} ({min(rounds):,.0f} to {max(rounds):,.0f})"
            cells.append(
                span if parser == "Baton" else f"{span}; ours {times(found, message, parser):.1f} times"
            )
        lines.append(f"| {parser} | {' | '.join(cells)} |")
    return lines


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seconds", type=float, default=0.5, show_default=True, help="Of one parser in one round.")
@click.option("--check", is_flag=True, help="Status 1 where the bar is missed.")
def main(rounds: int, seconds: float, check: bool) -> None:
    """Measure our parser beside others."""
    with click.progressbar(length=steps(rounds), file=sys.stderr, item_show_func=str) as bar:
        found = measure(rounds, seconds, lambda what: bar.update(1, what))
    click.echo("\n".join(table(found)))
    rate = admissions_a_second(found)
    click.echo(f"{'holds ' if rate >= BAR else 'MISSED'}  ADT/s on one core: {rate:,.0f} >= {BAR:,}")
    if check and rate < BAR:
        sys.exit(1)


if __name__ == "__main__":
    main()
