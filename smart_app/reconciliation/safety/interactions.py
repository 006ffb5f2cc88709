"""Interactions: the shipped tables and our own rules, one finding for each pair of ingredients.

The gravest speaks; what the others say stands beside it. A medicine that acts only where it is applied
counts low in the tables. Two ingredients of one product are meant to be together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from smart_app.reconciliation.records import AlertKind, Severity
from smart_app.reconciliation.safety.context import PatientContext
from smart_app.reconciliation.safety.data_files import table
from smart_app.reconciliation.safety.findings import GRAVITY, Finding
from smart_app.reconciliation.safety.medicines import Line, Substance
from smart_app.reconciliation.safety.rule_engine import findings, shipped_rules
from terminology.interactions import Interaction, shipped_interactions


def interactions(lines: Sequence[Line], context: PatientContext) -> Iterator[Finding]:
    """What interacts on one list."""
    hits: dict[tuple[str, ...], list[Finding]] = defaultdict(list)
    for rule in shipped_rules(AlertKind.INTERACTION):
        for finding in findings(rule, lines, context):
            hits[finding.subject].append(finding)
    for finding in _of_tables(lines):
        hits[finding.subject].append(finding)
    for subject in sorted(hits):
        yield _strongest(hits[subject])


def _strongest(found: Sequence[Finding]) -> Finding:
    """The gravest finding about a subject; on a tie our own rules, which come first."""
    first = min(found, key=lambda finding: GRAVITY.index(finding.severity))
    said = {first.words.partition(": ")[2]}
    also = []
    for finding in found:
        words = finding.words.partition(": ")[2]
        if words not in said:
            said.add(words)
            also.append(f"Also {finding.source} ({finding.year}): {words}")
    references = tuple(sorted({reference for each in found for reference in each.references}))
    return replace(first, also=tuple(also), references=references)


def _of_tables(lines: Sequence[Line]) -> Iterator[Finding]:
    tables = shipped_interactions()
    for index, line in enumerate(lines):
        for other in lines[index + 1 :]:
            for one in line.substances:
                for two in other.substances:
                    if one.codes & two.codes:
                        continue
                    rows = {
                        row: None
                        for a in sorted(one.codes)
                        for b in sorted(two.codes)
                        for row in tables.between(a, b)
                    }
                    for row in rows:
                        yield _finding(row, (one, two), (line, other))


def _finding(row: Interaction, pair: tuple[Substance, Substance], lines: tuple[Line, Line]) -> Finding:
    rules = table("checks.toml")["tables"]
    severity = Severity(rules[row.table][row.severity])
    one, two = sorted(pair, key=lambda each: (each.name.casefold(), each.rxcui))
    what = row.words or rules[row.table]["says"][row.severity]
    if lines[0].local or lines[1].local:
        severity = Severity.LOW
        what += " One of them acts mainly where it is applied."
    return Finding(
        kind=AlertKind.INTERACTION,
        severity=severity,
        rule=f"{row.table}-{row.row.casefold().replace(' ', '-')}",
        source=rules[row.table]["title"],
        year=rules[row.table]["year"],
        words=f"{one.name} and {two.name}: {_sentence(what)}",
        action=_sentence(row.management) or rules["action"],
        subject=tuple(sorted((one.rxcui, two.rxcui))),
        references=tuple(sorted({line.reference for line in lines})),
    )


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if not text or text.endswith((".", "!", "?")) else text + "."
