"""Doses above the most that labelling names, for one dose and a day; weekly medicines taken daily."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache

from smart_app.reconciliation.compare import route
from smart_app.reconciliation.records import AlertKind, Amount, Severity
from smart_app.reconciliation.safety.context import PatientContext
from smart_app.reconciliation.safety.data_files import rows, table
from smart_app.reconciliation.safety.findings import Finding
from smart_app.reconciliation.safety.medicines import Line, Substance, selector
from smart_app.reconciliation.words import amount_words

_CANCER = ("cancer", "carcinoma", "leukemia", "leukaemia", "lymphoma", "tumor", "tumour", "neoplasm", "sarcoma")


@dataclass(frozen=True, slots=True)
class Limit:
    """The most of one ingredient by one route; None where labelling names none."""

    rxcui: str
    route: str
    age_from: int | None
    single: Fraction | None
    daily: Fraction | None
    unit: str
    severity: Severity
    source: str
    year: int


@cache
def limits() -> dict[tuple[str, str], tuple[Limit, ...]]:
    """(ingredient, route) -> limits, those of the highest age first."""
    found: dict[tuple[str, str], list[Limit]] = defaultdict(list)
    for row in rows("dose_limits.tsv"):
        limit = Limit(
            rxcui=row["rxcui"],
            route=row["route"],
            age_from=int(row["age_from"]) if row["age_from"] else None,
            single=Fraction(row["single"]) if row["single"] else None,
            daily=Fraction(row["daily"]) if row["daily"] else None,
            unit=row["unit"],
            severity=Severity(row["severity"]),
            source=row["source"],
            year=int(row["year"]),
        )
        found[limit.rxcui, limit.route].append(limit)
    return {key: tuple(sorted(each, key=lambda at: -(at.age_from or 0))) for key, each in found.items()}


def limit_for(substance: Substance, where: str | None, context: PatientContext) -> Limit | None:
    """The limit that holds for this patient; one for older people only where the age is known."""
    for limit in limits().get((substance.rxcui, where or ""), ()):
        if limit.age_from is None or (context.age is not None and context.age >= limit.age_from):
            return limit
    return None


def doses(lines: Sequence[Line], context: PatientContext) -> Iterator[Finding]:
    """Single doses, then days, then weekly medicines, of one list."""
    daily: dict[str, list[tuple[Line, Substance, Limit, Fraction]]] = defaultdict(list)
    told: set[tuple[str, str]] = set()
    for line in lines:
        for substance in line.substances:
            limit = limit_for(substance, route(line.item), context)
            if limit is None:
                continue
            for amount in line.item.per_dose:
                above = limit.single is not None and amount.value > limit.single
                if amount.ingredient == substance.rxcui and amount.unit == limit.unit and above:
                    told.add((substance.rxcui, line.reference))
                    yield _finding(
                        (line,),
                        substance,
                        limit,
                        f"{_words(amount.value, limit.unit)} in one dose",
                        limit.single,
                    )
            for amount in line.item.per_day:
                if amount.ingredient == substance.rxcui and amount.unit == limit.unit:
                    daily[substance.rxcui].append((line, substance, limit, amount.value))
    for members in daily.values():
        _, substance, limit, _ = members[0]
        total = sum((value for *_, value in members), Fraction(0))
        found = tuple(line for line, *_ in members)
        alone = len(found) == 1 and (substance.rxcui, found[0].reference) in told
        if limit.daily is not None and total > limit.daily and not alone:
            over = f"{_words(total, limit.unit)} a day" + (
                f" over {len(found)} lines" if len(found) > 1 else ""
            )
            yield _finding(found, substance, limit, over, limit.daily)
    yield from _weekly(lines)


def _words(value: Fraction, unit: str) -> str:
    return amount_words(Amount(Decimal(value.numerator) / Decimal(value.denominator), unit))


def _finding(
    lines: Sequence[Line], substance: Substance, limit: Limit, over: str, most: Fraction | None
) -> Finding:
    at = f" from {limit.age_from} years on" if limit.age_from else ""
    single = over.endswith("one dose")
    return Finding(
        kind=AlertKind.DOSE,
        severity=limit.severity,
        rule=f"dose-{'single' if single else 'daily'}-{substance.name.replace(' ', '-')}",
        source=limit.source,
        year=limit.year,
        words=f"{substance.name}: {over}; the most is {_words(most or Fraction(0), limit.unit)}{at}.",
        action=table("doses.toml")["action"],
        subject=(substance.rxcui, *(line.reference for line in lines if single)),
        references=tuple(sorted({line.reference for line in lines})),
    )


def _weekly(lines: Sequence[Line]) -> Iterator[Finding]:
    for rule in table("doses.toml")["weekly"]:
        wanted = selector(rule["drugs"])
        for line in lines:
            often = line.item.sig.per_day
            if often is None or often * 7 <= rule["most_per_week"] or line.item.sig.duration_days == 1:
                continue
            if route(line.item) not in rule["routes"] or _treats_cancer(line):
                continue
            for substance in line.taken(wanted):
                yield Finding(
                    kind=AlertKind.DOSE,
                    severity=Severity(rule["severity"]),
                    rule=rule["id"],
                    source=rule["source"],
                    year=rule["year"],
                    words=rule["effect"],
                    action=rule["action"],
                    subject=(substance.rxcui, line.reference),
                    references=(line.reference,),
                )


def _treats_cancer(line: Line) -> bool:
    said = (line.item.indication or "").casefold()
    return any(word in said for word in _CANCER)


def unknown_amounts(lines: Sequence[Line], context: PatientContext) -> Iterator[str]:
    """Names of medicines that have a limit but no amount a day that could be compared with it."""
    for line in lines:
        for substance in line.substances:
            limit = limit_for(substance, route(line.item), context)
            known = any(a.ingredient == substance.rxcui for a in line.item.per_day)
            if limit is not None and not known:
                yield line.item.medication.name
