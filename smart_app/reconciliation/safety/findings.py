"""What a check finds on one list, and how the findings of several lists become alerts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smart_app.reconciliation.records import Alert, AlertKind, Severity
from smart_app.reconciliation.safety.data_files import table

GRAVITY = tuple(Severity)
"""The gravest first."""
BEFORE, AFTER, RESULT = "before", "after", "result"
"""The lists that are checked: both sides, and what the patient takes after all decisions so far."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` is what the finding is about (RxCUIs, an allergy ...): the same on two lists is one alert."""

    kind: AlertKind
    severity: Severity
    rule: str
    source: str
    year: int
    words: str
    action: str
    subject: tuple[str, ...]
    references: tuple[str, ...]
    code: str = ""
    also: tuple[str, ...] = ()
    """What other sources say about the same, as sentences."""


def graver(one: Severity, other: Severity) -> Severity:
    return min(one, other, key=GRAVITY.index)


def milder(severity: Severity) -> Severity:
    """One step down."""
    return GRAVITY[min(GRAVITY.index(severity) + 1, len(GRAVITY) - 1)]


def alerts(found: Sequence[tuple[str, Finding]]) -> tuple[Alert, ...]:
    """(list, finding) -> alerts, the gravest first, then by kind, rule and references."""
    merged: dict[tuple[object, ...], list[tuple[str, Finding]]] = {}
    for name, finding in found:
        merged.setdefault((finding.kind, finding.rule, finding.subject), []).append((name, finding))
    made = [_alert(members) for members in merged.values()]
    return tuple(sorted(made, key=lambda a: (GRAVITY.index(a.severity), a.kind, a.rule, a.references, a.words)))


def _alert(members: Sequence[tuple[str, Finding]]) -> Alert:
    gravest = min((finding for _, finding in members), key=lambda f: GRAVITY.index(f.severity))
    lists = tuple(name for name in (BEFORE, AFTER, RESULT) if any(name == where for where, _ in members))
    words = [gravest.words, gravest.action]
    if gravest.kind is AlertKind.INTERACTION and BEFORE not in lists:
        words.insert(1, "New with the discharge.")
    codes = table("checks.toml")["codes"]
    return Alert(
        kind=gravest.kind,
        severity=gravest.severity,
        references=_union(finding.references for _, finding in members),
        rule=gravest.rule,
        source=f"{gravest.source} ({gravest.year})",
        words=" ".join(word for word in words if word),
        action=gravest.action,
        code=gravest.code or codes.get(gravest.kind.value, ""),
        lists=lists,
        also=gravest.also,
    )


def _union(references: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted(set().union(*references)))
