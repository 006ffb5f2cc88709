"""Interactions: the shipped tables and our own rules, one finding for each pair of ingredients.

The gravest speaks; what the others say stands beside it. A medicine that acts only where it is applied
counts low in the tables. Two ingredients of one product are meant to be together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations

from smart_app.reconciliation.records import AlertKind, Severity
from smart_app.reconciliation.safety.context import PatientContext
from smart_app.reconciliation.safety.data_files import table
from smart_app.reconciliation.safety.findings import GRAVITY, Finding, milder
from smart_app.reconciliation.safety.medicines import Line, MedicationList, Substance
from smart_app.reconciliation.safety.rule_engine import findings, shipped_rules
from terminology.interactions import Interaction, shipped_interactions


def interactions(medicines: MedicationList, context: PatientContext) -> Iterator[Finding]:
    """What interacts on one list."""
    hits: dict[tuple[str, ...], list[Finding]] = defaultdict(list)
    for rule in shipped_rules(AlertKind.INTERACTION):
        for finding in findings(rule, medicines, context):
            hits[finding.subject].append(finding)
    for finding in _of_tables(medicines):
        hits[finding.subject].append(finding)
    for subject in sorted(hits):
        yield _strongest(hits[subject])


def _strongest(found: Sequence[Finding]) -> Finding:
    """The gravest finding about a subject; on a tie our own rules, which come first."""
    if len(found) == 1:
        return found[0]
    first = min(found, key=lambda finding: GRAVITY.index(finding.severity))
    said = {first.words.partition(": ")[2]}
    also = []
    for finding in found:
        words = finding.words.partition(": ")[2]
        if words not in said:
            said.add(words)
            also.append(f"{finding.source} ({finding.year}): {words}")
    references = tuple(sorted({reference for each in found for reference in each.references}))
    return replace(first, also=tuple(also), references=references)


def _of_tables(medicines: MedicationList) -> Iterator[Finding]:
    held = medicines.substances()
    for one, two in combinations(sorted(held), 2):
        rows = _rows(held[one][0][1], held[two][0][1])
        if not rows:
            continue
        lines = [(a, b) for a, _ in held[one] for b, _ in held[two] if a.reference != b.reference]
        if lines:
            yield from (_finding(row, (held[one][0][1], held[two][0][1]), lines) for row in rows)


@lru_cache(maxsize=65536)
def _rows(one: Substance, two: Substance) -> tuple[Interaction, ...]:
    """The rows about two ingredients under every code they count as, each wording once, the gravest first."""
    if one.codes & two.codes:
        return ()
    tables = shipped_interactions()
    found: dict[tuple[str, str], Interaction] = {}
    rows = {row: None for a in sorted(one.codes) for b in sorted(two.codes) for row in tables.between(a, b)}
    for row in sorted(rows, key=lambda row: GRAVITY.index(grade(row))):
        found.setdefault((row.table, row.words), row)
    return tuple(found.values())


def _finding(
    row: Interaction, pair: tuple[Substance, Substance], lines: Sequence[tuple[Line, Line]]
) -> Finding:
    local = all(one.local or other.local for one, other in lines)
    first, second = sorted(pair, key=lambda each: (each.name.casefold(), each.rxcui))
    severity, rule, source, year, words, action = _told(row, local)
    return Finding(
        kind=AlertKind.INTERACTION,
        severity=severity,
        rule=rule,
        source=source,
        year=year,
        words=f"{first.name} and {second.name}: {words}",
        action=action,
        subject=tuple(sorted((first.rxcui, second.rxcui))),
        references=tuple(sorted({line.reference for two_lines in lines for line in two_lines})),
    )


@lru_cache(maxsize=16384)
def _told(row: Interaction, local: bool) -> tuple[Severity, str, str, int, str, str]:
    """What a row says of every pair it is about: severity, rule, source, year, words, action. local: one of the
    two acts only where it is applied."""
    rules = table("checks.toml")["tables"]
    severity = grade(row)
    what = _sentence(row.words) or rules[row.table]["says"][row.severity]
    if _is_conditional(row):
        what += f" The table says so only in a case: {_sentence(row.management.strip().lstrip('-').strip())}"
    if local:
        severity = Severity.LOW
        what += " One of them acts mainly where it is applied."
    return (
        severity,
        f"{row.table}-{row.row.casefold().replace(' ', '-')}",
        rules[row.table]["title"],
        rules[row.table]["year"],
        what,
        rules["action"] if _is_conditional(row) else _sentence(row.management) or rules["action"],
    )


def grade(row: Interaction) -> Severity:
    """How grave a row is; one step milder where the table says it only of some case."""
    severity = Severity(table("checks.toml")["tables"][row.table][row.severity])
    return milder(severity) if _is_conditional(row) else severity


def _is_conditional(row: Interaction) -> bool:
    """OSDI puts the case for which a severity holds where the management stands, after a dash."""
    return row.management.strip().startswith("-")


def _sentence(text: str) -> str:
    """A sentence; one that leads up to a list which the table lost says nothing."""
    text = " ".join(text.split())
    if text.endswith(":"):
        text = ""
    return text if not text or text.endswith((".", "!", "?")) else text + "."
