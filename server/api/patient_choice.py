"""Patients for the choice of one before a standalone launch, seen with the eyes of the person signed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from server.api.choice_search import Perform, escaped, search
from server.auth.sessions import Session

_TEXT_LIMIT = 100
_WORDS = 5


@dataclass(frozen=True, slots=True)
class PatientSearch:
    """What somebody looks for, as typed. birth_date: as 1950-04-30. number: any identifier, in full."""

    name: str = ""
    birth_date: str = ""
    number: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it asks for all patients."""
        return not (self.name or self.birth_date or self.number)


@dataclass(frozen=True, slots=True)
class PatientLine:
    """A patient to choose. details: what tells people of one name apart."""

    id: str
    name: str
    details: str


@dataclass(frozen=True, slots=True)
class PatientPage:
    """Some of the patients found. cursor: continues, "" at the end. fault: why nothing was searched, or ""."""

    lines: tuple[PatientLine, ...] = ()
    cursor: str = ""
    fault: str = ""


def patient_search(form: Mapping[str, str]) -> PatientSearch:
    """What the fields of the search form hold."""
    return PatientSearch(
        *(form.get(name, "").strip()[:_TEXT_LIMIT] for name in ("_name", "_birth_date", "_number"))
    )


def find_patients(perform: Perform, session: Session, asked: PatientSearch, cursor: str = "") -> PatientPage:
    """Patients by family name: whose name begins with each word typed, born that day, with that identifier."""
    query = [("_sort", "family")]
    query += [("name", escaped(word)) for word in _words(asked.name)]
    if asked.birth_date:
        try:
            query.append(("birthdate", date.fromisoformat(asked.birth_date).isoformat()))
        except ValueError:
            return PatientPage(fault="The date of birth is a day such as 1950-04-30.")
    if asked.number:
        if not asked.number.isprintable():
            return PatientPage(fault="The number holds a character that no number has.")
        query.append(("identifier", escaped(asked.number)))
    found = search(perform, session, "Patient", tuple(query), cursor)
    # The search sorts by any of a patient's names, also one before a marriage; the page by the name it shows.
    lines = sorted(map(_line, found.resources), key=lambda line: line.name.casefold())
    return PatientPage(tuple(lines), found.cursor, found.fault)


def patient_name(perform: Perform, session: Session, id: str) -> str:
    """The name of a patient the person may see, "" where there is none."""
    found = search(perform, session, "Patient", (("_id", escaped(id)),))
    return _line(found.resources[0]).name if found.resources else ""


def _words(name: str) -> list[str]:
    return [word for word in name.replace(",", " ").split() if word.isprintable()][:_WORDS]


def _line(patient: Mapping[str, Any]) -> PatientLine:
    names = patient.get("name", ())
    name = next((row for row in names if row.get("use") in ("usual", "official")), names[0] if names else {})
    given = " ".join(part for part in name.get("given", ()) if part)
    written = ", ".join(part for part in (name.get("family"), given) if part) or name.get("text", "")
    number = next(
        (
            row.get("value", "")
            for row in patient.get("identifier", ())
            if any(coding.get("code") == "MR" for coding in row.get("type", {}).get("coding", ()))
        ),
        "",
    )
    details = (
        f"born {patient['birthDate']}" if patient.get("birthDate") else "",
        patient.get("gender", ""),
        f"record {number}" if number else "",
    )
    return PatientLine(patient["id"], written or "No name", " · ".join(part for part in details if part))
