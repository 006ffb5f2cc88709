"""How a product is taken, and the several ways in which a chart writes that down."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from smart_app.discharge_cases.formulary import Product
from terminology.systems import UCUM, V3_GTS_ABBREVIATION

_CODES = {(1, 1): "QD", (2, 1): "BID", (3, 1): "TID", (4, 1): "QID", (1, 2): "QOD", (1, 7): "WK"}
_PHRASES = {
    (1, 1): ("once daily", "every day", "daily"),
    (2, 1): ("twice daily", "BID", "every 12 hours"),
    (3, 1): ("three times daily", "TID", "3 times a day"),
    (4, 1): ("four times a day", "QID", "every 6 hours"),
    (1, 2): ("every other day", "every 2 days", "QOD"),
    (1, 7): ("once weekly", "once a week", "every week"),
}
_WHEN = {"HS": "at bedtime", "MORN": "in the morning", "EVE": "in the evening"}
_COUNTS = {"0.5": "half a", "1": "1", "2": "2", "1.5": "1.5"}


class Style(StrEnum):
    """Ways to write a regimen. All say the same."""

    COUNT = "count"
    AMOUNT = "amount"
    CODE = "code"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Regimen:
    """`count` dosage units, `times` in `days` days."""

    count: Decimal
    times: int
    days: int = 1
    when: str | None = None
    as_needed: bool = False
    duration_days: int | None = None

    @property
    def rate(self) -> tuple[int, int]:
        return self.times, self.days


RATES = tuple(_CODES)


def dosage(product: Product, regimen: Regimen, style: Style, wording: int = 0) -> dict[str, Any]:
    """A FHIR Dosage of this regimen in one style; `wording` picks among equal phrases of TEXT."""
    if style is Style.TEXT:
        return {"text": sig_text(product, regimen, wording)}
    found: dict[str, Any] = {"timing": _timing(regimen, coded=style is Style.CODE)}
    if regimen.as_needed:
        found["asNeededBoolean"] = True
    quantity: dict[str, Any] = {"value": _number(regimen.count), "unit": product.unit_word}
    if style is Style.AMOUNT and len(product.strengths) == 1:
        amount = _number(regimen.count * product.strengths[0])
        quantity = {"value": amount, "unit": product.unit, "system": UCUM, "code": product.unit}
    found["doseAndRate"] = [{"doseQuantity": quantity}]
    return found


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _timing(regimen: Regimen, *, coded: bool) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    if regimen.duration_days:
        bounds["boundsDuration"] = {
            "value": regimen.duration_days,
            "unit": "days",
            "system": UCUM,
            "code": "d",
        }
    if coded and regimen.rate in _CODES and regimen.when is None:
        code = {"coding": [{"system": V3_GTS_ABBREVIATION, "code": _CODES[regimen.rate]}]}
        return {"repeat": bounds, "code": code} if bounds else {"code": code}
    unit, period = ("wk", 1) if regimen.days == 7 else ("d", regimen.days)
    repeat = {**bounds, "frequency": regimen.times, "period": period, "periodUnit": unit}
    if regimen.when:
        repeat["when"] = [regimen.when]
    return {"repeat": repeat}


def sig_text(product: Product, regimen: Regimen, wording: int = 0) -> str:
    """The regimen in words, one of several ways."""
    count = _COUNTS.get(str(regimen.count.normalize()), str(regimen.count.normalize()))
    plural = product.unit_word if regimen.count <= 1 else product.unit_word + "s"
    phrases = _PHRASES[regimen.rate]
    words = ["Take", count, plural, "by mouth", phrases[wording % len(phrases)]]
    if wording % 2 and count != "half a":
        short = {"tablet": "tab", "capsule": "cap"}[product.unit_word]
        words = [count, short if regimen.count <= 1 else short + "s", "PO", phrases[wording % len(phrases)]]
    if regimen.when:
        words.append(_WHEN[regimen.when])
    if regimen.as_needed:
        words.append("as needed")
    if regimen.duration_days:
        words.append(f"for {regimen.duration_days} days")
    return " ".join(words)
