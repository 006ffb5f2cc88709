"""What a discharge does to a synthetic patient's chart: home list, discharge orders, fills, an allergy.

The home list is the chart's own prescriptions, completed with the dosage and category that Synthea
leaves out; the discharge orders are edits of it (`edits`). For the demonstration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from smart_app.discharge_cases import formulary
from smart_app.discharge_cases.edits import EDITS, Edit, same
from smart_app.discharge_cases.formulary import Product
from smart_app.discharge_cases.lines import SYNTHETIC, Line, Naming, allergy, fill, resource
from smart_app.discharge_cases.regimen import Regimen

_CATEGORY = "http://terminology.hl7.org/CodeSystem/medicationrequest-category"
_FIRST = ("dose", "same", "omission", "brand", "same", "frequency", "release", "strength", "substitution")
"""What happens to the chart's medications, in a drawn order: a few changes among much that stays."""
_EXTRA = ("addition", "stopped-but-filled", "timing", "incomplete", "split", "duplicate", "as-needed")
_AT_HOME = ("Oral Tablet", "Oral Capsule")
_MOST_LINES, _FEW_LINES = 9, 3


def discharge_story(
    patient_bundle_resources: Sequence[Mapping[str, Any]],
    seed: int,
    discharge_encounter: Mapping[str, Any],
    now: datetime,
) -> list[dict[str, Any]]:
    """The resources of one discharge, to be laid over the chart: a Type/id of the chart is replaced.

    patient_bundle_resources: the chart with local references (`Type/id`), as of the discharge.
    discharge_encounter: the inpatient Encounter of that chart. now: aware; nothing is dated after it.

    Gives the chart's current MedicationRequests with category community and a dosage (what is for
    the hospital or no longer taken becomes `completed`), MedicationStatements the patient reports,
    discharge MedicationRequests (category discharge, of that Encounter), MedicationDispenses, and for
    some an AllergyIntolerance. Ids follow from patient and seed; everything is tagged synthetic.
    """
    return _Story(patient_bundle_resources, seed, discharge_encounter, now).told()


class _Story:
    def __init__(
        self,
        resources: Sequence[Mapping[str, Any]],
        seed: int,
        encounter: Mapping[str, Any],
        now: datetime,
    ) -> None:
        self._random = Random(f"{seed}/{encounter['id']}")  # noqa: S311 - reproducible demonstration data
        self._seed = seed
        self._encounter = encounter
        self._now = now
        self._admitted = datetime.fromisoformat(encounter["period"]["start"])
        self._left = datetime.fromisoformat(encounter["period"]["end"])
        self._patient = f"Patient/{next(r['id'] for r in resources if r['resourceType'] == 'Patient')}"
        self._current = [dict(r) for r in resources if _is_current(r, self._left)]
        self._said: list[dict[str, Any]] = []
        self._kin: set[str] = set()

    def told(self) -> list[dict[str, Any]]:
        kept = self._chart_lines()
        for number, (edit, order) in enumerate(kept):
            self._tell(edit, f"chart-{number}", order)
        for number, name in enumerate(self._extra_edits(len(kept))):
            product = self._draw(name)
            more = EDITS[name](product, self._regimen(product), self._random) if product else None
            if more:
                self._tell(more, f"{name}-{number}", None)
        self._report()
        return self._said

    def _id(self, role: str) -> str:
        return str(uuid5(NAMESPACE_URL, f"urn:baton:discharge-story:{self._patient}:{self._seed}:{role}"))

    def _chart_lines(self) -> list[tuple[Edit, dict[str, Any]]]:
        """Edits of what the chart has the patient take at home; the rest of the chart's orders end."""
        plan = list(_FIRST)
        self._random.shuffle(plan)
        found: list[tuple[Edit, dict[str, Any]]] = []
        seen: set[str] = set()
        for order in self._newest_first():
            code, name = _coding(order)
            product = formulary.by_rxcui().get(code)
            taken = product is not None or (any(form in name for form in _AT_HOME) and "Pack" not in name)
            again = name in seen or (product is not None and bool(product.kin & self._kin))
            if not taken or again or len(found) == _MOST_LINES:
                self._said.append({**order, "status": "completed"})
                continue
            seen.add(name)
            if product is None:
                found.append((_unchanged(order), order))
                continue
            self._kin |= product.kin
            found.append((self._edit_of(product, plan), order))
        return found

    def _newest_first(self) -> list[dict[str, Any]]:
        return sorted(self._current, key=lambda r: (r.get("authoredOn", ""), r["id"]), reverse=True)

    def _edit_of(self, product: Product, plan: list[str]) -> Edit:
        regimen = self._regimen(product)
        for name in plan:
            if edit := EDITS[name](product, regimen, self._random):
                plan.remove(name)
                return edit
        return same(product, regimen, self._random)

    def _regimen(self, product: Product) -> Regimen:
        if product.ingredients == ("methotrexate",):
            return Regimen(Decimal(4), 1, 7)
        once = product.release.startswith("extended 24") or self._random.random() < 0.6
        return Regimen(Decimal(1), 1 if once else 2)

    def _extra_edits(self, lines: int) -> list[str]:
        """More events, so that every discharge has something to decide; some end in an allergy conflict."""
        extra = self._random.sample(_EXTRA, max(2, 6 - lines))
        extra += ["addition"] if "addition" not in extra else []
        extra += ["same", "dose", "same"] if lines < _FEW_LINES else []
        return extra + (["allergy"] if self._random.random() < 0.35 else [])

    def _draw(self, name: str) -> Product | None:
        pool = [product for product in formulary.products() if not product.kin & self._kin]
        pool = [product for product in pool if bool(formulary.parts(product)) == (name == "split")]
        if not pool:
            return None
        product = self._random.choice(pool)
        self._kin |= product.kin
        return product

    def _tell(self, edit: Edit, role: str, order: dict[str, Any] | None) -> None:
        """Write one edit down: the chart's own order carries the first line of the home list."""
        homes = []
        for index, line in enumerate(edit.before):
            home = self._home(line, order if index == 0 else None, f"{role}-home-{index}")
            homes.append(home)
            self._said.append(home)
        for index, line in enumerate(edit.after):
            self._said.append(self._ordered(line, f"{role}-discharge-{index}", order))
        for index, line in enumerate(edit.before):
            if self._random.random() < 0.7 or edit.fills:
                handed = self._admitted - timedelta(days=self._random.randint(5, 40))
                self._fill(line, f"{role}-fill-{index}", handed, homes[index])
        for index in edit.fills:
            again = self._left + timedelta(days=2)
            if again <= self._now:
                self._fill(edit.before[index], f"{role}-refill-{index}", again, homes[index])
        if edit.allergy:
            date = (self._admitted - timedelta(days=900)).date().isoformat()
            self._said.append(allergy(*edit.allergy, self._id(f"{role}-allergy"), self._patient, date))

    def _home(self, line: Line, order: dict[str, Any] | None, role: str) -> dict[str, Any]:
        extra = {"category": [_category("community", "Community")]}
        if order is None:
            date = (self._admitted - timedelta(days=self._random.randint(60, 400))).isoformat()
            return resource(line, self._id(role), self._patient, date, extra)
        found = {**order, **extra, "status": "active"}
        found["meta"] = _tagged(order)
        if line.naming is Naming.BRAND:
            found["medicationCodeableConcept"] = line.concept()
        found.pop("dosageInstruction", None)
        if dosages := line.dosages():
            found["dosageInstruction"] = dosages
        return found

    def _ordered(self, line: Line, role: str, order: dict[str, Any] | None) -> dict[str, Any]:
        extra: dict[str, Any] = {
            "category": [_category("discharge", "Discharge")],
            "encounter": {"reference": f"Encounter/{self._encounter['id']}"},
        }
        requester = _practitioner(self._encounter) or (order or {}).get("requester")
        if requester:
            extra["requester"] = requester
        if order and (reasons := order.get("reasonReference")):
            extra["reasonReference"] = reasons
        return resource(
            replace(line, statement=False),
            self._id(role),
            self._patient,
            self._encounter["period"]["end"],
            extra,
        )

    def _fill(self, line: Line, role: str, handed: datetime, home: Mapping[str, Any]) -> None:
        reference = f"{home['resourceType']}/{home['id']}"
        order = reference if home["resourceType"] == "MedicationRequest" else None
        found = fill(line, self._id(role), self._patient, handed.isoformat(), order)
        found["medicationCodeableConcept"] = home["medicationCodeableConcept"]
        self._said.append(found)

    def _report(self) -> None:
        """What the patient says to take besides: nobody ordered it, the pharmacy never saw it."""
        text = self._random.choice(("Fish oil capsules from the market", "Herbal sleep tea", "Vitamin gummies"))
        line = Line(None, None, text=text, instruction={"text": "once daily"}, statement=True)
        date = self._admitted.date().isoformat()
        extra = {"informationSource": {"reference": self._patient}}
        self._said.append(resource(line, self._id("reported"), self._patient, date, extra))


def _is_current(found: Mapping[str, Any], at: datetime) -> bool:
    """An active order that had been written by then."""
    if found["resourceType"] != "MedicationRequest" or found.get("status") != "active":
        return False
    return "authoredOn" not in found or datetime.fromisoformat(found["authoredOn"]) <= at


def _coding(order: Mapping[str, Any]) -> tuple[str, str]:
    concept = order.get("medicationCodeableConcept") or {}
    code = next((str(c.get("code")) for c in concept.get("coding") or ()), "")
    return code, str(concept.get("text") or "")


def _unchanged(order: Mapping[str, Any]) -> Edit:
    """A product outside the formulary stays as the chart has it, once a day."""
    concept = order["medicationCodeableConcept"]
    name = str(concept.get("text") or concept["coding"][0].get("display"))
    unit = "capsule" if "Capsule" in name else "tablet"
    instruction = {
        "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
        "doseAndRate": [{"doseQuantity": {"value": 1, "unit": unit}}],
    }
    line = Line(None, None, given=dict(concept), instruction=instruction)
    return Edit("same", (line,), (line,), ())


def _category(code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": _CATEGORY, "code": code, "display": display}]}


def _tagged(order: Mapping[str, Any]) -> dict[str, Any]:
    meta = {key: value for key, value in (order.get("meta") or {}).items() if key != "tag"}
    return {**meta, "tag": [*((order.get("meta") or {}).get("tag") or ()), SYNTHETIC]}


def _practitioner(encounter: Mapping[str, Any]) -> Mapping[str, Any] | None:
    people = (entry.get("individual") for entry in encounter.get("participant") or ())
    return next((person for person in people if person), None)
