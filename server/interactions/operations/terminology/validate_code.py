"""$validate-code of a CodeSystem and of a ValueSet: is this a code, is it in the value set, is it called so?

The answer is 200 with `result`, whatever it says; another status means that nothing was judged.
Sources: hl7.org/fhir/R4/codesystem-operation-validate-code.html, valueset-operation-validate-code.html; what is
answered beyond R4 (code, system, version, inactive, issues) is R5's of the same name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from server.errors import FhirError, Issue, operation_outcome
from server.interactions.call import Call
from server.interactions.operations.definition import Arguments
from server.interactions.operations.terminology.asking import Asking, asking, coded_of, parameters
from server.interactions.request import InteractionResponse
from server.storage.interface import Reader
from server.terminology.code_validation import Coded, Judgement, Judging
from server.terminology.composition import Composer

_FORMS = ("code", "coding", "codeableConcept")


def validate_code_in_system(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """Whether a code is one of a code system. Raises: FhirError required, not-found, invalid-search."""
    with asking(call, arguments) as asked:
        form = _form(asked)
        composer = Composer(asked.definitions, fragments=True)
        by = Judging(composer, None, arguments.one("abstract") is not False, _language(arguments))
        system = ""
        if call.request.id or asked.is_given("codeSystem"):
            source = asked.code_system()
            system = source.url
            composer.know(source)
        elif arguments.one("url"):
            system = arguments.one("url")
        elif form == "code":
            raise FhirError("required", "one of url and codeSystem is needed", asked.place("url"))
        codes = [replace(coded, system=coded.system or system) for coded in _coded(asked, form)]
        if system and any(coded.system != system for coded in codes) and form != "codeableConcept":
            raise FhirError("invalid-search", "the coding is of another code system", asked.place(form))
        if system:  # of a concept with several codings those of this system count
            codes = [coded for coded in codes if coded.system == system]
        version = arguments.one("version") or ""
        return _answer(by.any_of(replace(coded, version=version or coded.version) for coded in codes), form)


def validate_code_in_value_set(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """Whether a code is in a value set. Raises: FhirError required, not-found, not-determinable, too-costly."""
    with asking(call, arguments) as asked:
        form = _form(asked)
        composer = Composer(asked.definitions, fragments=True)
        composed = composer.compose(asked.value_set())
        by = Judging(composer, composed, arguments.one("abstract") is not False, _language(arguments))
        codes = _coded(asked, form)
        if form == "code" and not codes[0].system:
            return _answer(by.inferred(codes[0]), form)
        return _answer(by.any_of(codes), form)


def _form(asked: Asking) -> str:
    given = [name for name in _FORMS if asked.is_given(name)]
    if len(given) != 1:
        raise FhirError("required", f"one of {', '.join(_FORMS)} is needed", asked.place("code"))
    return given[0]


def _language(arguments: Arguments) -> str:
    return arguments.one("displayLanguage") or ""


def _coded(asked: Asking, form: str) -> list[Coded]:
    one = asked.arguments.one
    if form == "code":
        return [Coded(one("system") or "", one("code"), one("systemVersion") or "", one("display") or "")]
    codings = [one("coding")] if form == "coding" else one("codeableConcept").get("coding", [])
    found = [coded_of(coding) for coding in codings if coding.get("code")]
    if not found:
        raise FhirError("required", "there is no code in it", asked.place(form))
    return found


def _answer(judged: Judgement, form: str) -> InteractionResponse:
    coded = judged.coded
    rows: list[dict[str, Any]] = [{"name": "result", "valueBoolean": judged.is_valid}]
    said = [finding.text for finding in judged.findings if finding.severity != "information"]
    if said:
        rows.append({"name": "message", "valueString": "; ".join(dict.fromkeys(said))})
    for name, element, value in (
        ("display", "valueString", judged.display),
        ("code", "valueCode", coded.code),
        ("system", "valueUri", coded.system),
        ("version", "valueString", coded.version),
    ):
        if value:
            rows.append({"name": name, element: value})
    if judged.inactive:
        rows.append({"name": "inactive", "valueBoolean": True})
    if judged.findings:
        issues = [
            Issue(
                finding.code, finding.text, _expression(form, finding.element, finding.place), finding.severity
            )
            for finding in judged.findings
        ]
        rows.append({"name": "issues", "resource": operation_outcome(issues)})
    return parameters(rows)


def _expression(form: str, element: str, place: int) -> str:
    if form == "code":
        return element
    return f"Coding.{element}" if form == "coding" else f"CodeableConcept.coding[{place}].{element}"
