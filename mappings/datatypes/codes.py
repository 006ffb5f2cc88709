"""CWE, CE, CNE, CF and codes of tables (ID, IS) -> CodeableConcept, Coding, code (v2-to-FHIR datatype maps).

A code that a table translates is followed by the code as sent, so that nothing of it is lost. A code that the
table does not know stays as sent, with a finding; where FHIR wants a code of its own set, it stays out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mappings.datatypes.authorities import oid_uri, source_uri, uri_as_sent
from mappings.datatypes.reading import as_code, as_uri, said, text
from mappings.scope import Scope
from mappings.tables import TableRow

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition, Value

_HL7 = "http://terminology.hl7.org/CodeSystem/v2-"
_HL7_TABLE = re.compile(r"HL7[- ]?(\d{4})", re.ASCII)
_LOCAL = re.compile(r"L|99[A-Za-z0-9_-]*", re.ASCII)
_NUMBER = re.compile(r"\d{4}", re.ASCII)
# Code, text, coding system, its version, its OID: three times in a CWE (v2.9 ch. 2A).
TRIPLETS = ((1, 2, 3, 7, 14), (4, 5, 6, 8, 17), (10, 11, 12, 13, 20))
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})[-_]([A-Za-z]{2}|[0-9]{3})", re.ASCII)
Coding = dict[str, Any]


def coding_system(name: Value, oid: Value, scope: Scope, path: str) -> str:
    """The URI of a coding system by its name (table 0396), "" where none is sent.

    What is configured for the source comes first, what nobody knows gets a URI of the source and a finding.
    """
    sent = said(name)
    if not sent:
        found = oid_uri(said(oid))
        if found:
            scope.used(oid, path)
        return found
    scope.used(name, path)
    row = scope.table("0396", sent)
    found = as_uri(scope.source.systems.get(sent, "")) or (row.target if row else "")
    if found:
        return found
    table = _HL7_TABLE.fullmatch(sent)
    if table:
        return _HL7 + table[1]
    found = uri_as_sent(sent)
    if not found and not _LOCAL.fullmatch(sent):
        found = oid_uri(said(oid))
        if found:
            scope.used(oid, path)
        else:
            scope.warn(
                "coding-system-unknown", name, "this coding system is neither configured nor in table 0396"
            )
    return found or source_uri(scope, sent)


def cwe(value: Repetition, scope: Scope, table: str = "") -> dict[str, Any] | None:
    """CWE, CE, CNE, CF, ID, IS -> CodeableConcept; its text is CWE.9, else CWE.2 where there is no code."""
    codings = _translated(value, scope, table)
    for triplet in TRIPLETS:
        if value.said(triplet[0]):
            _append(codings, value, scope, triplet, table)
    found: dict[str, Any] = {"coding": codings} if codings else {}
    words = text(value, scope, "text", 9)
    if not words and not codings:
        words = text(value, scope, "text", 2) or text(value, scope, "text", 5) or text(value, scope, "text", 11)
    if words:
        found["text"] = words
    return found or None


def _translated(value: Repetition, scope: Scope, table: str) -> list[Coding]:
    row = _row(value, scope, table)
    if row is None or not row.target:
        return []
    scope.used(value.value(1), "coding[0].code", row.name)
    return [_of_row(row)]


def _of_row(row: TableRow) -> Coding:
    coding = {"system": row.system, "code": row.target, "display": row.display}
    return {member: content for member, content in coding.items() if content}


def _row(value: Repetition, scope: Scope, table: str) -> TableRow | None:
    code = as_code(value.said()) if table else ""
    if not code:
        return None
    row = scope.table(table, code)
    if row is None:
        scope.warn("code-unknown", value.value(), f"table {table} does not know this code")
    return row


def _as_sent(value: Repetition, scope: Scope, triplet: tuple[int, ...], table: str) -> Coding | None:
    number, words, system, version, oid = triplet
    leaf = value.value(number)
    code = as_code(said(leaf))
    if not code:
        return None
    uri = coding_system(value.value(system), value.value(oid), scope, "system")
    if not uri and number == 1 and table:
        uri = _system_of(table)
    if not uri:
        scope.warn("coding-system-missing", leaf, "a code without the name of its coding system")
    scope.used(leaf, "code")
    coding = {
        "system": uri,
        "version": text(value, scope, "version", version) if uri else "",
        "code": code,
        "display": text(value, scope, "display", words),
    }
    return {member: content for member, content in coding.items() if content}


def _system_of(table: str) -> str:
    found = _NUMBER.match(table)
    return _HL7 + found[0] if found else ""


def _append(
    codings: list[Coding], value: Repetition, scope: Scope, triplet: tuple[int, ...], table: str
) -> None:
    """Add a coding as sent; one that is there already only gets the words and the version that it lacks."""
    apart = scope.apart()
    sent = _as_sent(value, apart, triplet, table)
    if sent is None:
        return
    same = [at for at, coding in enumerate(codings) if _names(coding) == _names(sent)]
    if same:
        codings[same[0]] = {**codings[same[0]], **sent}
    else:
        codings.append(sent)
    scope.take(apart, f"coding[{same[0] if same else len(codings) - 1}]")


def _names(coding: Coding) -> tuple[str | None, str]:
    return coding.get("system"), coding["code"]


def cwe_coding(value: Repetition, scope: Scope, table: str = "") -> Coding | None:
    """CWE, CE, CNE, CF, ID, IS -> Coding: the translated one, else the first as sent."""
    row = _row(value, scope, table)
    if row is not None and row.target:
        scope.used(value.value(1), "code", row.name)
        return _of_row(row)
    for triplet in TRIPLETS:
        if found := _as_sent(value, scope, triplet, table):
            return found
    words = text(value, scope, "display", 2)
    return {"display": words} if words else None


def code(value: Repetition, scope: Scope, table: str) -> str | None:
    """ID, IS, CWE, CE, ... -> code that a table gives; None without one, with a finding for an unknown code."""
    row = _row(value, scope, table)
    if row is None or not row.target:
        return None
    scope.used(value.value(1), "", row.name)
    return row.target


def priority(value: Repetition, scope: Scope) -> str | None:
    """CWE, ID of table 0485 -> request priority; timing-critical codes (`TM30`) say a time and no priority."""
    leaf = value.value(1)
    sent = as_code(said(leaf))
    row = scope.table("0485", sent.rstrip("0123456789")) if sent else None
    if sent and row is None:
        scope.warn("code-unknown", leaf, "table 0485 does not know this code")
    if row is None or not row.target:
        return None
    scope.used(leaf, "", row.name)
    return row.target


def yes_no(value: Repetition, scope: Scope) -> bool | None:
    """ID of table 0136 -> boolean; None, with a finding, for what is neither yes nor no."""
    found = code(value, scope, "0136")
    return None if found is None else found == "true"


def cwe_text(value: Repetition, scope: Scope) -> str | None:
    """CWE, CE, ... -> string: the original text, else the text of a code, else the code."""
    for component in (9, 2, 5, 1):
        if words := text(value, scope, "", component):
            return words
    return None


def language(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """CWE, CE of table 0296 -> CodeableConcept with a language tag of BCP 47; a region that is sent is kept."""
    leaf = value.value(1)
    tag = _LANGUAGE.fullmatch(said(leaf))
    row = scope.table("0296", tag[1]) if tag else None
    if tag is None or row is None:
        return cwe(value, scope, "0296")
    scope.used(leaf, "coding[0].code", row.name)
    scope.used(value.value(2), "text")
    words = value.said(2) or value.said(9)
    if not value.said(2):
        scope.used(value.value(9), "text")
    coding = {"system": row.system, "code": f"{row.target}-{tag[2].upper()}"}
    return {"coding": [coding], "text": words} if words else {"coding": [coding]}
