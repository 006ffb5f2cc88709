"""The bars: what must hold of the figures, and whether it does.

Ratios are taken round by round, from neighbours in time, and their median counts. Where several sizes or
searches share a bar, the worst one counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import access_cost
from access_cost import Cost
from care_team import BAR, Measured
from hl7v2_parser import BAR as ADMISSIONS
from hl7v2_parser import Rates, admissions_a_second
from operations import OPERATIONS
from over_http import INSERTS, Figure, Results
from storage import GROWING, Row


@dataclass(frozen=True, slots=True)
class Verdict:
    """One bar. at_least: the direction. value: None where the figures it needs were not measured."""

    name: str
    value: float | None
    bar: float
    at_least: bool
    where: str = ""

    @property
    def holds(self) -> bool:
        """Whether the bar is reached; true as well for what was not measured."""
        if self.value is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def line(self) -> str:
        """The verdict for a terminal."""
        if self.value is None:
            return f"not measured  {self.name}"
        sign = ">=" if self.at_least else "<="
        word = "holds " if self.holds else "MISSED"
        return f"{word}  {self.name}: {self.value:.2f} {sign} {self.bar:g} {self.where}".rstrip()


def ratio(figure: Figure, limit: Figure) -> float:
    """Median of the ratios of rounds that were neighbours."""
    return statistics.median(one / other for one, other in zip(figure.rates, limit.rates, strict=False))


def verdicts(
    http: Results | None,
    in_process: Mapping[str, Sequence[Row]],
    cold_start: Mapping[str, Sequence[float]] | None,
) -> list[Verdict]:
    """Every bar but a care team's, with what was measured for it."""
    found: list[Verdict] = []
    for database in sorted({one.database for one in http.figures}) if http else ():
        assert http
        found += [
            _worst_ratio(http, database, "read", "flask", 0.5),
            _worst_ratio(http, database, "read", "wsgi", 0.25),
            _worst_ratio(http, database, "create", INSERTS, 0.5),
        ]
        if database == "sqlite":
            found.append(_import_rate(http, database))
        found.append(_flat(http, database))
        memory = http.memory.get(database, {})
        found += [
            Verdict(f"{database}: MB of a {role} process", mb, 150.0, False) for role, mb in memory.items()
        ]
    for database, rows in in_process.items():
        fixed = [row for row in rows if row.unit == "us" and row.name.partition(",")[0] not in GROWING]
        worst = max(fixed, key=lambda row: row.last_to_first)
        name = f"{database}: slowest growth of a search in process"
        found.append(Verdict(name, worst.last_to_first, 1.5, False, worst.name))
    for what, seconds in (cold_start or {}).items():
        found.append(Verdict(f"seconds to first {what}", statistics.median(seconds), 1.0, False))
    return found


def care_verdicts(care: Sequence[Measured]) -> list[Verdict]:
    """The bars of a care team's day."""
    found: list[Verdict] = []
    for database in dict.fromkeys(one.database for one in care):
        for percentile in ("p50_ms", "p95_ms"):
            slowest = max(
                (one for one in care if one.database == database), key=lambda one: one.growth(percentile)
            )
            name = f"{database}: slowest growth of {percentile[:3]} in a care team's day"
            where = f"{slowest.shape} x{slowest.clients}"
            found.append(Verdict(name, slowest.growth(percentile), BAR, False, where))
    return found


def access_verdicts(costs: Sequence[Cost]) -> list[Verdict]:
    """The bar of the access decision."""
    found: list[Verdict] = []
    for database in dict.fromkeys(one.database for one in costs):
        dearest = max((one for one in costs if one.database == database), key=lambda one: one.share)
        name = f"{database}: share of a read that is the decision"
        found.append(Verdict(name, dearest.share, access_cost.BAR, False, f"token: {dearest.kind}"))
    return found


def _pairs(http: Results, database: str, name: str, limit: str) -> Iterable[tuple[Figure, Figure]]:
    """The figures of the most clients that were measured, at every size."""
    clients = max(one.clients for one in http.figures)
    for figure in http.figures:
        if (figure.name, figure.database, figure.clients) == (name, database, clients):
            other = http.find(limit, database, figure.size, clients)
            if other is not None:
                yield figure, other


def _worst_ratio(http: Results, database: str, name: str, limit: str, bar: float) -> Verdict:
    ratios = {one.size: ratio(one, other) for one, other in _pairs(http, database, name, limit)}
    size = min(ratios, key=ratios.__getitem__, default=0)
    return Verdict(f"{database}: {name} / {limit}", ratios.get(size), bar, True, f"at {size:,}" if size else "")


def _import_rate(http: Results, database: str) -> Verdict:
    rates = [one.rate for one in http.figures if (one.name, one.database) == ("transaction", database)]
    return Verdict(f"{database}: transaction import, resources/s", max(rates, default=None), 2000.0, True)


def _flat(http: Results, database: str) -> Verdict:
    """How much slower a search is at the largest size than at the smallest."""
    sizes = sorted({one.size for one in http.figures})
    clients = max(one.clients for one in http.figures)
    growth: dict[str, float] = {}
    for operation in OPERATIONS:
        first = http.find(operation.name, database, sizes[0], clients)
        last = http.find(operation.name, database, sizes[-1], clients)
        if operation.search and first and last:
            growth[operation.label] = ratio(first, last)
    worst = max(growth, key=growth.__getitem__, default="")
    return Verdict(f"{database}: slowest growth of a search over HTTP", growth.get(worst), 1.5, False, worst)


def parser_verdicts(found: Sequence[Rates]) -> list[Verdict]:
    """The bar of the HL7 v2 parser."""
    if not found:
        return []
    return [
        Verdict("HL7 v2 admissions read a second on one core", admissions_a_second(found), ADMISSIONS, True)
    ]
