"""RxNorm dose forms taken apart: the form itself, how it releases, where it goes in.

The forms are data (`data/rxnorm/dose_forms.tsv`). The quantity before a drug's name ("24 HR",
"Osmotic 24 HR", "10 ML") adds hours of release or the package.
Source: nlm.nih.gov/research/umls/rxnorm/docs/appendix2.html (dose forms)
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_HOURS = re.compile(r"\b(\d+) HR\b")
_MODIFIERS = {"Abuse-Deterrent": "abuse-deterrent", "Osmotic": "osmotic", "Matrix Delivery": "matrix"}


@dataclass(frozen=True, slots=True)
class DoseForm:
    """`form` is None where only a group is named ("Pill"), `release` where a form has none (creams)."""

    form: str | None
    release: str | None
    route: str | None


@cache
def dose_forms() -> dict[str, DoseForm]:
    """All dose forms by RxNorm's name of them."""
    table = files("terminology") / "data" / "rxnorm" / "dose_forms.tsv"
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines(), delimiter="\t")
    return {
        row["dose_form"]: DoseForm(row["form"] or None, row["release"] or None, row["route"] or None)
        for row in rows
    }


def trailing_form(name: str) -> str | None:
    """The longest dose form a drug name ends with, else None."""
    found = [form for form in dose_forms() if name.endswith(" " + form)]
    return max(found, key=len, default=None)


def release_of(form: DoseForm, quantity: str) -> str | None:
    """How a drug releases, from its form and the quantity before its name.

    "24 HR" on an extended release tablet gives `extended 24 h`; hours on a patch give `24 h`.
    """
    words = [form.release] if form.release and form.release != "immediate" else []
    if hours := _HOURS.search(quantity):
        words.append(f"{hours[1]} h")
    words += [word for modifier, word in _MODIFIERS.items() if modifier in quantity]
    return " ".join(words) or form.release


def package_of(quantity: str) -> str | None:
    """What remains of the quantity once release is taken out: `10 mL`, `60 actuations`, `Sensor`."""
    rest = _HOURS.sub("", quantity)
    for modifier in _MODIFIERS:
        rest = rest.replace(modifier, "")
    words = " ".join(rest.split())
    return words.replace(" ML", " mL").replace(" ACTUAT", " actuations").replace(" MG", " mg") or None
