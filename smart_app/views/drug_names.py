"""A drug's name as people write it: RxNorm's "24 HR metoprolol succinate 50 MG Extended Release Oral
Tablet" -> "Metoprolol succinate 50 mg 24-hour extended release oral tablet".

Only the case of units and dose forms and the place of the release hours change; a name that is not
of this form, such as a patient's own words, keeps its words.
"""

from __future__ import annotations

import re

_UNITS = {
    "MG": "mg",
    "ML": "mL",
    "MCG": "mcg",
    "MEQ": "mEq",
    "UNT": "units",
    "HR": "h",
    "ACTUAT": "actuation",
    "MMOL": "mmol",
    "GM": "g",
    "L": "L",
}
_UNIT = re.compile(
    r"(?<=[\d ])(MG|ML|MCG|MEQ|UNT|HR|ACTUAT|MMOL|GM)(?=[ /\]]|$)|(?<=/)(ML|HR|ACTUAT|MG|L)(?=[ ]|$)"
)
_HOURS = re.compile(r"^(\d+) HR (.*?)(Extended Release|Delayed Release|Transdermal|$)")
_FORM = re.compile(
    r"\b(Extended|Delayed|Release|Oral|Tablet|Capsule|Solution|Suspension|Injection|Injectable|Inhaler|"
    r"Inhalation|Metered|Dose|Dry|Powder|Topical|Cream|Ointment|Gel|Lotion|Transdermal|System|Patch|Nasal|"
    r"Spray|Ophthalmic|Otic|Rectal|Vaginal|Suppository|Chewable|Disintegrating|Sublingual|Prefilled|Syringe|"
    r"Pen|Cartridge|Medicated|Pack|Film|Product|Granules|Lozenge|Effervescent)\b"
)


def show_drug(name: str) -> str:
    """The name for people. Text without an RxNorm dose form only gets a capital letter."""
    moved = _HOURS.sub(lambda found: f"{found[2]}{found[1]}-hour {found[3]}", name)
    head, bracket, brand = moved.partition(" [")
    words = _UNIT.sub(lambda found: _UNITS[found[0]], _FORM.sub(lambda found: found[0].lower(), head))
    first = words.partition(" ")[0]
    if first.lower() == first:  # tall-man lettering ("glyBURIDE") is left as it is
        words = words[:1].upper() + words[1:]
    return words + bracket + brand
