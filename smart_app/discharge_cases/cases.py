"""A whole case: two Lists in a collection Bundle, and the groups and alerts that are right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

from smart_app.discharge_cases import formulary
from smart_app.discharge_cases.combined import COMBINED
from smart_app.discharge_cases.edits import EDITS, Edit
from smart_app.discharge_cases.formulary import Product
from smart_app.discharge_cases.lines import SYNTHETIC, Line, allergy, fill, resource
from smart_app.discharge_cases.regimen import RATES, Regimen
from smart_app.discharge_cases.special import SPECIAL

ADMITTED, DISCHARGED, FILLED, EVALUATED = "2026-03-02", "2026-03-06", "2026-03-09", "2026-03-10T12:00:00Z"
"""Fixed days of every generated case; only their order matters."""
_PATIENT = "Patient/synthetic"
_LINES = (3, 9)
_SPECIAL_LINES = (0, 1, 1, 2)
CASE_EDITS = (*EDITS, *COMBINED, *SPECIAL)
"""Names of all edits that a case may hold."""


@dataclass(frozen=True, slots=True)
class Case:
    """`expected`: groups {edit, kind, before, after, differences, evidence}; alerts {kind, references}."""

    seed: int
    bundle: dict[str, Any]
    expected: dict[str, Any]


def discharge_case(seed: int, medications: Sequence[str] = ()) -> Case:
    """The case of a seed: same seed and medications, same case.

    medications: RxCUIs of the chart's products; those in the formulary are drawn first, then others
    until there are three to nine edits. No two edits concern related drugs, so that each answer stands alone.
    """
    random = Random(seed)  # noqa: S311 - reproducible test data, not a secret
    chosen = _draw(random, medications, random.randint(*_LINES))
    edits = [edit for product in chosen if (edit := _edit(product, random))]
    edits += _special(random, frozenset().union(*(product.kin for product in chosen)))
    texts = [line.text.lower() for edit in edits for line in edit.before if line.text]
    edits = [e for i, e in enumerate(edits) if e.name != "unmapped" or _first_of_text(edits, i, texts)]
    return _case(seed, edits, random)


def _first_of_text(edits: Sequence[Edit], index: int, texts: Sequence[str]) -> bool:
    """Two lines with equal words would have two right answers: only the first stays."""
    text = edits[index].before[0].text.lower()
    earlier = [line.text.lower() for edit in edits[:index] for line in edit.before if line.text]
    return text in texts and text not in earlier


def _draw(random: Random, medications: Sequence[str], count: int) -> list[Product]:
    known = formulary.by_rxcui()
    candidates = [known[rxcui] for rxcui in medications if rxcui in known]
    pool = list(formulary.products())
    combinations = [product for product in pool if formulary.parts(product)]
    if random.random() < 0.5:
        candidates.append(random.choice(combinations))
    names = sorted({product.ingredients for product in pool})
    random.shuffle(names)
    for name in names:
        candidates.append(random.choice([product for product in pool if product.ingredients == name]))
    kin: set[str] = set()
    found: list[Product] = []
    for product in candidates:
        if len(found) < count and not product.kin & kin:
            found.append(product)
            kin |= product.kin
    return found


def _edit(product: Product, random: Random) -> Edit | None:
    regimen = Regimen(Decimal(random.choice([1, 1, 1, 2])), *random.choice(RATES[:3]))
    if product.ingredients == ("methotrexate",):
        regimen = Regimen(Decimal(4), 1, 7)
    known = EDITS | COMBINED
    names = list(known)
    random.shuffle(names)
    if formulary.parts(product) and random.random() < 0.6:
        names.insert(0, "split")
    elif random.random() < 0.2:
        names.insert(0, "combination")
    for name in names:
        if edit := known[name](product, regimen, random):
            return edit
    return None


def _special(random: Random, kin: frozenset[str]) -> list[Edit]:
    """Up to two edits of insulins, patches and the like, unrelated to the others."""
    found: list[Edit] = []
    for name in random.sample(sorted(SPECIAL), random.choice(_SPECIAL_LINES)):
        special = SPECIAL[name](random)
        if special and not special.kin & kin:
            found.append(special.edit)
            kin |= special.kin
    return found


def _case(seed: int, edits: Sequence[Edit], random: Random) -> Case:
    resources: dict[str, list[dict[str, Any]]] = {"before": [], "after": [], "other": []}
    groups: list[dict[str, Any]] = []
    alerts: list[dict[str, Any]] = []
    for number, edit in enumerate(edits):
        references = {
            "before": [_add(resources, "before", line, f"{number}-b{i}") for i, line in enumerate(edit.before)],
            "after": [_add(resources, "after", line, f"{number}-a{i}") for i, line in enumerate(edit.after)],
        }
        fills = []
        for index in edit.fills:
            found = fill(edit.before[index], f"{number}-f{index}", _PATIENT, FILLED, None)
            resources["other"].append(found)
            fills.append(f"MedicationDispense/{found['id']}")
        groups += [
            {
                "edit": edit.name,
                "kind": answer.kind,
                "before": [references["before"][i] for i in answer.before],
                "after": [references["after"][i] for i in answer.after],
                "differences": sorted(answer.differences),
                "evidence": fills,
            }
            for answer in edit.answers
        ]
        if edit.duplicates:
            named = sorted(references["after"][i] for i in edit.duplicates)
            alerts.append({"kind": "duplicate-ingredient", "references": named})
        if edit.allergy:
            known = allergy(*edit.allergy, f"{number}-allergy", _PATIENT, ADMITTED)
            resources["other"].append(known)
            named = sorted([*references["before"], *references["after"], f"AllergyIntolerance/{known['id']}"])
            alerts.append({"kind": "allergy", "references": named})
    for side in ("before", "after"):
        random.shuffle(resources[side])
    return Case(seed, _bundle(resources), {"groups": groups, "alerts": alerts})


def _add(resources: dict[str, list[dict[str, Any]]], side: str, line: Line, identity: str) -> str:
    date = ADMITTED if side == "before" else DISCHARGED
    resources[side].append(resource(line, identity, _PATIENT, date))
    return f"{line.resource_type}/{identity}"


def _bundle(resources: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    lists = []
    for side, date in (("before", ADMITTED), ("after", DISCHARGED)):
        entries = [{"item": {"reference": f"{r['resourceType']}/{r['id']}"}} for r in resources[side]]
        found: dict[str, Any] = {
            "resourceType": "List",
            "id": side,
            "meta": {"tag": [SYNTHETIC]},
            "status": "current",
            "mode": "snapshot",
            "code": {"text": side},
            "subject": {"reference": _PATIENT},
            "date": date,
        }
        lists.append(found | ({"entry": entries} if entries else {}))
    patient = {"resourceType": "Patient", "id": "synthetic", "meta": {"tag": [SYNTHETIC]}}
    everything = [patient, *lists, *resources["before"], *resources["after"], *resources["other"]]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": EVALUATED,
        "entry": [
            {"fullUrl": f"urn:baton:synthetic:{r['resourceType']}:{r['id']}", "resource": r} for r in everything
        ],
    }


def discharge_cases(seed: int, count: int) -> Iterator[Case]:
    """`count` cases whose seeds follow from `seed`."""
    for number in range(count):
        yield discharge_case(seed * 1_000_003 + number)
