"""What is valid R4 and what is not: one row a rule, with every issue code and FHIRPath expected.

Covers hl7.org/fhir/R4/json.html, datatypes.html, references.html, narrative.html, extensibility.html,
bundle.html and the "Constraints" of the resource pages.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from server.fhir.validation import validate
from server.fhir.validation_accept import accepts

Json = dict[str, Any]
Faults = list[tuple[str, str]]

EXTENSION = {"url": "http://example.org/why", "valueCode": "unknown"}
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'
SUBJECT = {"reference": "Patient/1"}
UCUM = "http://unitsofmeasure.org"


def patient(**more: Any) -> Json:
    return {"resourceType": "Patient"} | more


def observation(**more: Any) -> Json:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "Weight"}} | more


def request(**more: Any) -> Json:
    return {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "metoprolol"},
        "subject": SUBJECT,
    } | more


def condition(**more: Any) -> Json:
    return {"resourceType": "Condition", "subject": SUBJECT} | more


def narrative(inner: str, opening: str = f"<div {XHTML}>") -> Json:
    return patient(text={"status": "generated", "div": f"{opening}{inner}</div>"})


def coded(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def bundle(kind: str, *entries: Json, **more: Any) -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)} | more


def questionnaire(*items: Json) -> Json:
    return {"resourceType": "Questionnaire", "status": "active", "item": list(items)}


def listing(**more: Any) -> Json:
    return {"resourceType": "List", "status": "current", "mode": "working"} | more


def allergy(**more: Any) -> Json:
    return {"resourceType": "AllergyIntolerance", "patient": SUBJECT} | more


def dosed(repeat: Json) -> Json:
    return request(dosageInstruction=[{"timing": {"repeat": repeat}}])


ALLERGY_CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
ALLERGY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
CONDITION_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITION_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
REPEAT = "MedicationRequest.dosageInstruction[0].timing.repeat"

VALID: list[tuple[str, Json]] = [
    ("a Patient without any element", patient()),
    ("an absent value with its reason", patient(_birthDate={"extension": [EXTENSION]})),
    ("a value with an id beside it", patient(birthDate="2000", _birthDate={"id": "b"})),
    ("a required element with only an extension", {**observation(), "_status": {"extension": [EXTENSION]}}),
    (
        "required only as extension",
        {k: v for k, v in observation(_status={"extension": [EXTENSION]}).items() if k != "status"},
    ),
    ("null padding", patient(name=[{"given": ["A", None], "_given": [None, {"extension": [EXTENSION]}]}])),
    ("an array of extensions only", patient(name=[{"_given": [{"extension": [EXTENSION]}]}])),
    ("an id in a null-padded array", patient(name=[{"given": ["A", "B"], "_given": [{"id": "x"}, None]}])),
    ("resourceType last", {"active": True, "resourceType": "Patient"}),
    ("a leap day", patient(birthDate="2024-02-29")),
    ("the leap day of 2000", patient(birthDate="2000-02-29")),
    ("a year", patient(birthDate="1950")),
    ("a month", patient(birthDate="1950-12")),
    ("a leap second", observation(issued="2016-12-31T23:59:60Z")),
    ("fractions of a second", observation(effectiveDateTime="2024-01-31T10:00:00.123456789+14:00")),
    ("a decimal with precision", observation(valueQuantity={"value": Decimal("1.50")})),
    ("an integer as decimal", observation(valueQuantity={"value": 3})),
    ("a negative exponent", observation(valueQuantity={"value": Decimal("1.0E-22")})),
    ("a boolean choice", patient(deceasedBoolean=False)),
    ("a choice with its extension", observation(valueString="x", _valueString={"extension": [EXTENSION]})),
    ("a choice that is only an extension", observation(_valueString={"extension": [EXTENSION]})),
    (
        "a nested extension",
        patient(extension=[{"url": "http://x", "extension": [{"url": "a", "valueBoolean": True}]}]),
    ),
    ("an extension with an id", patient(extension=[{"id": "e", "url": "http://x", "valueString": "a"}])),
    (
        "base64 with line breaks",
        {"resourceType": "Binary", "contentType": "text/plain", "data": "QUJD\r\nRERE"},
    ),
    ("a media type with parameters", {"resourceType": "Binary", "contentType": "text/plain; charset=utf-8"}),
    ("FHIR's media type", {"resourceType": "Binary", "contentType": "application/fhir+json; fhirVersion=4.0"}),
    ("an absolute reference", request(subject={"reference": "https://other.example.org/fhir/Patient/1"})),
    (
        "an absolute reference of unknown shape",
        request(subject={"reference": "https://other.example.org/p?x=1"}),
    ),
    ("a versioned reference", request(subject={"reference": "Patient/1/_history/2"})),
    ("a urn reference", request(subject={"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"})),
    ("a urn:oid reference", request(subject={"reference": "urn:oid:1.2.3"})),
    ("a conditional reference", request(subject={"reference": "Patient?identifier=urn:x|1"})),
    ("a logical reference", request(subject={"type": "Patient", "identifier": {"value": "1"}})),
    ("a reference of display only", request(subject={"display": "unknown"})),
    ("type and reference agree", request(subject={"reference": "Patient/1", "type": "Patient"})),
    (
        "a contained resource",
        {
            **{k: v for k, v in request().items() if k != "medicationCodeableConcept"},
            "medicationReference": {"reference": "#m"},
            "contained": [{"resourceType": "Medication", "id": "m"}],
        },
    ),
    (
        "a contained resource that refers to its container",
        patient(
            contained=[
                {
                    "resourceType": "Observation",
                    "status": "final",
                    "code": {"text": "x"},
                    "subject": {"reference": "#"},
                }
            ]
        ),
    ),
    (
        "a contained resource named by a canonical",
        {
            **questionnaire({"linkId": "1", "type": "choice", "answerValueSet": "#v"}),
            "contained": [{"resourceType": "ValueSet", "id": "v", "status": "active"}],
        },
    ),
    (
        "a narrative with a table and a link",
        narrative('<table class="x"><tr><td>1</td></tr></table><a href="Patient/1">p</a>'),
    ),
    ("a narrative of one picture", narrative('<img src="data:image/png;base64,AAAA" alt=""/>')),
    ("a narrative with entities of XML", narrative("a &amp; b &lt; &#160;")),
    ("a narrative with a comment", narrative("<!-- made by hand --><p>x</p>")),
    ("a narrative with a style", narrative('<p style="color: red">x</p>')),
    ("a mail link", narrative('<a href="mailto:a@example.org">x</a>')),
    ("a colon in a relative link", narrative('<a href="Patient/1?x=a:b">x</a>')),
    (
        "a period of one day",
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"code": "AMB"},
            "period": {"start": "2024-01-01", "end": "2024-01-01T23:00:00Z"},
        },
    ),
    (
        "dates that another time zone puts in order",
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"code": "AMB"},
            "period": {"start": "2024-01-02", "end": "2024-01-01T23:00:00Z"},
        },
    ),
    (
        "a range of different units",
        observation(valueRange={"low": {"value": 5, "unit": "mg"}, "high": {"value": 1, "unit": "g"}}),
    ),
    ("a ratio", observation(valueRatio={"numerator": {"value": 1}, "denominator": {"value": 8}})),
    (
        "a transaction",
        bundle(
            "transaction",
            {"fullUrl": "urn:uuid:1", "resource": patient(), "request": {"method": "POST", "url": "Patient"}},
        ),
    ),
    ("a delete in a batch", bundle("batch", {"request": {"method": "DELETE", "url": "Patient/1"}})),
    ("an empty searchset", {"resourceType": "Bundle", "type": "searchset", "total": 0}),
    (
        "two versions in a history",
        bundle(
            "history",
            *[
                {
                    "fullUrl": "http://x/Patient/1",
                    "resource": patient(id="1"),
                    "request": {"method": "PUT", "url": "Patient/1"},
                    "response": {"status": "200"},
                }
            ]
            * 2,
        ),
    ),
    (
        "parameters of all kinds",
        {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "a", "valueString": "x"},
                {"name": "b", "resource": patient()},
                {"name": "c", "part": [{"name": "d", "valueInteger": 1}]},
            ],
        },
    ),
    (
        "money in a currency",
        {"resourceType": "Account", "status": "active", "coverage": [{"coverage": {"display": "x"}}]},
    ),
    (
        "an abated, resolved condition",
        condition(clinicalStatus=coded(CONDITION_CLINICAL, "resolved"), abatementDateTime="2020"),
    ),
    (
        "a second coding from another system",
        condition(
            clinicalStatus={
                "coding": [{"system": "urn:x", "code": "z"}, {"system": CONDITION_CLINICAL, "code": "active"}]
            }
        ),
    ),
    ("text with a no-break space", patient(name=[{"text": "A\u00a0B"}])),
    ("text in any script", patient(name=[{"text": "田中 \U0001f600"}])),
    (
        "a research study as R4 has it",
        {"resourceType": "ResearchStudy", "status": "active", "title": "t", "objective": [{"name": "o"}]},
    ),
    (
        "evidence variable as R4 has it",
        {
            "resourceType": "EvidenceVariable",
            "status": "active",
            "characteristic": [
                {"definitionCodeableConcept": {"text": "x"}, "participantEffectiveDateTime": "2020"}
            ],
        },
    ),
    ("a final detected issue", {"resourceType": "DetectedIssue", "status": "registered"}),
]

INVALID: list[tuple[str, Json, Faults]] = [
    # The resource itself
    ("resourceType missing", {"active": True}, [("required", "")]),
    ("resourceType unknown", {"resourceType": "Person2"}, [("not-supported", "")]),
    ("resourceType of R5", {"resourceType": "SubscriptionStatus"}, [("not-supported", "")]),
    ("resourceType abstract", {"resourceType": "DomainResource"}, [("not-supported", "")]),
    ("resourceType a data type", {"resourceType": "HumanName"}, [("not-supported", "")]),
    ("resourceType not text", {"resourceType": 1}, [("structure", "")]),
    # Unknown elements
    ("an unknown element", patient(foo=1), [("structure", "Patient.foo")]),
    ("an unknown nested element", patient(name=[{"famly": "A"}]), [("structure", "Patient.name[0].famly")]),
    ("an element of another release", patient(meta={"project": "x"}), [("structure", "Patient.meta.project")]),
    ("an extension of a complex element", patient(_name=[{"id": "x"}]), [("structure", "Patient._name")]),
    ("a name that is no name", patient(**{"a b": 1}), [("structure", "Patient")]),
    ("a name as R4 writes none, which may be somebody's", patient(Johnson=1), [("structure", "Patient")]),
    (
        "resourceType inside an element",
        patient(name=[{"resourceType": "HumanName", "family": "A"}]),
        [("structure", "Patient.name[0].resourceType")],
    ),
    # Cardinality
    (
        "a required element missing",
        {"resourceType": "Observation", "code": {"text": "x"}},
        [("required", "Observation.status")],
    ),
    (
        "two required elements missing",
        {"resourceType": "Observation"},
        [("required", "Observation.status"), ("required", "Observation.code")],
    ),
    (
        "a required choice missing",
        {k: v for k, v in request().items() if not k.startswith("medication")},
        [("required", "MedicationRequest.medication")],
    ),
    ("a required element inside", patient(link=[{"other": SUBJECT}]), [("required", "Patient.link[0].type")]),
    ("an array for one value", patient(gender=["male"]), [("structure", "Patient.gender")]),
    (
        "an array for one object",
        patient(maritalStatus=[{"text": "x"}]),
        [("structure", "Patient.maritalStatus")],
    ),
    ("one object for an array", patient(name={"family": "A"}), [("structure", "Patient.name")]),
    ("one value for an array", patient(name=[{"given": "A"}]), [("structure", "Patient.name[0].given")]),
    ("an empty array", patient(name=[]), [("structure", "Patient.name")]),
    ("an empty array of values", patient(name=[{"given": []}]), [("structure", "Patient.name[0].given")]),
    ("an empty object", patient(name=[{}]), [("structure", "Patient.name[0]")]),
    ("an object with only an id", patient(maritalStatus={"id": "a"}), [("invariant", "Patient.maritalStatus")]),
    # Choices
    (
        "two forms of a choice",
        observation(valueString="x", valueBoolean=True),
        [("structure", "Observation.value")],
    ),
    (
        "a form and the extension of another",
        observation(valueString="x", _valueBoolean={"extension": [EXTENSION]}),
        [("structure", "Observation.value")],
    ),
    ("a choice without its type", observation(value="x"), [("structure", "Observation.value")]),
    ("a form that is not offered", observation(valueDecimal=1), [("structure", "Observation.valueDecimal")]),
    (
        "a fault inside a choice",
        observation(valueQuantity={"value": "1"}),
        [("structure", "Observation.value.ofType(Quantity).value")],
    ),
    # Nulls
    ("null for a value", patient(gender=None), [("structure", "Patient.gender")]),
    ("null for an object", patient(maritalStatus=None), [("structure", "Patient.maritalStatus")]),
    ("null for an array", patient(name=None), [("structure", "Patient.name")]),
    ("null in an array of objects", patient(name=[None]), [("structure", "Patient.name[0]")]),
    (
        "null without an extension",
        patient(name=[{"given": ["A", None]}]),
        [("structure", "Patient.name[0].given[1]")],
    ),
    (
        "null on both sides",
        patient(name=[{"given": ["A", None], "_given": [{"id": "x"}, None]}]),
        [("structure", "Patient.name[0].given[1]")],
    ),
    (
        "arrays of different length",
        patient(name=[{"given": ["A", "B"], "_given": [{"id": "x"}]}]),
        [("structure", "Patient.name[0].given")],
    ),
    ("null beside nothing", patient(name=[{"_given": [None]}]), [("structure", "Patient.name[0].given[0]")]),
    (
        "an empty extension object",
        patient(birthDate="2000", _birthDate={}),
        [("structure", "Patient.birthDate")],
    ),
    ("only an id instead of a value", patient(_birthDate={"id": "x"}), [("invariant", "Patient.birthDate")]),
    (
        "an extension object of a wrong type",
        patient(birthDate="2000", _birthDate="x"),
        [("structure", "Patient.birthDate")],
    ),
    (
        "a fault in the extension of a value",
        patient(_birthDate={"extension": [{"url": "x"}]}),
        [("invariant", "Patient.birthDate.extension[0]")],
    ),
    (
        "an unknown property beside a value",
        patient(birthDate="2000", _birthDate={"value": "x"}),
        [("structure", "Patient.birthDate.value")],
    ),
    # Primitives
    ("a text for a boolean", patient(active="true"), [("structure", "Patient.active")]),
    ("a number for a boolean", patient(active=1), [("structure", "Patient.active")]),
    ("a number for a text", patient(name=[{"family": 1}]), [("structure", "Patient.name[0].family")]),
    ("an object for a text", patient(name=[{"family": {"a": 1}}]), [("structure", "Patient.name[0].family")]),
    (
        "a text for a number",
        observation(valueInteger="1"),
        [("structure", "Observation.value.ofType(integer)")],
    ),
    (
        "a fraction for an integer",
        observation(valueInteger=Decimal("1.0")),
        [("value", "Observation.value.ofType(integer)")],
    ),
    (
        "a boolean for an integer",
        observation(valueInteger=True),
        [("structure", "Observation.value.ofType(integer)")],
    ),
    (
        "an integer of 33 bits",
        observation(valueInteger=2**31),
        [("value", "Observation.value.ofType(integer)")],
    ),
    (
        "a positive integer of zero",
        patient(telecom=[{"system": "phone", "value": "1", "rank": 0}]),
        [("value", "Patient.telecom[0].rank")],
    ),
    (
        "a negative unsigned integer",
        {"resourceType": "Bundle", "type": "searchset", "total": -1},
        [("value", "Bundle.total")],
    ),
    ("an empty text", patient(name=[{"family": ""}]), [("value", "Patient.name[0].family")]),
    ("a vertical tab", patient(name=[{"family": "a\x0bb"}]), [("value", "Patient.name[0].family")]),
    ("an id with a space", patient(id="a b"), [("value", "Patient.id")]),
    ("an id too long", patient(id="a" * 65), [("value", "Patient.id")]),
    ("a date that does not exist", patient(birthDate="2024-02-30"), [("value", "Patient.birthDate")]),
    ("a leap day in a common year", patient(birthDate="2023-02-29"), [("value", "Patient.birthDate")]),
    ("the leap day of 1900", patient(birthDate="1900-02-29"), [("value", "Patient.birthDate")]),
    ("the 31st of June", patient(birthDate="2024-06-31"), [("value", "Patient.birthDate")]),
    ("a date of the year 0", patient(birthDate="0000-01-01"), [("value", "Patient.birthDate")]),
    ("a date without zeros", patient(birthDate="2024-1-1"), [("value", "Patient.birthDate")]),
    ("a date with a time", patient(birthDate="2024-01-01T00:00:00Z"), [("value", "Patient.birthDate")]),
    ("digits of another script", patient(birthDate="２０２４"), [("value", "Patient.birthDate")]),
    ("a newline after a date", patient(birthDate="2024-01-01\n"), [("value", "Patient.birthDate")]),
    (
        "a time without a zone",
        observation(effectiveDateTime="2024-01-01T10:00:00"),
        [("value", "Observation.effective.ofType(dateTime)")],
    ),
    (
        "a time without seconds",
        observation(effectiveDateTime="2024-01-01T10:00Z"),
        [("value", "Observation.effective.ofType(dateTime)")],
    ),
    (
        "hour 24",
        observation(effectiveDateTime="2024-01-01T24:00:00Z"),
        [("value", "Observation.effective.ofType(dateTime)")],
    ),
    ("an instant without a time", observation(issued="2024-01-01"), [("value", "Observation.issued")]),
    (
        "a time of day of 25 hours",
        observation(valueTime="25:00:00"),
        [("value", "Observation.value.ofType(time)")],
    ),
    ("a code with a space at the end", patient(language="en "), [("value", "Patient.language")]),
    ("a code with two spaces", patient(language="e  n"), [("value", "Patient.language")]),
    ("a uri with a space", patient(implicitRules="http://x y"), [("value", "Patient.implicitRules")]),
    (
        "an oid that is none",
        patient(extension=[{"url": "x", "valueOid": "1.2.3"}]),
        [("value", "Patient.extension[0].value.ofType(oid)")],
    ),
    (
        "a uuid in capitals",
        patient(extension=[{"url": "x", "valueUuid": "urn:uuid:0C3151BD-1CBF-4D64-B04D-CD9187A4C6E0"}]),
        [("value", "Patient.extension[0].value.ofType(uuid)")],
    ),
    (
        "base64 that is none",
        {"resourceType": "Binary", "contentType": "a/b", "data": "***"},
        [("value", "Binary.data")],
    ),
    (
        "base64 cut short",
        {"resourceType": "Binary", "contentType": "a/b", "data": "QUJ"},
        [("value", "Binary.data")],
    ),
    # Required bindings
    ("a code outside its value set", patient(gender="f"), [("code-invalid", "Patient.gender")]),
    ("a code in capitals", patient(gender="Male"), [("code-invalid", "Patient.gender")]),
    (
        "a code of a repeated element",
        allergy(clinicalStatus=coded(ALLERGY_CLINICAL, "active"), category=["food", "sun"]),
        [("code-invalid", "AllergyIntolerance.category[1]")],
    ),
    ("an inner code", patient(name=[{"use": "x"}]), [("code-invalid", "Patient.name[0].use")]),
    (
        "a concept outside its value set",
        allergy(clinicalStatus=coded(ALLERGY_CLINICAL, "gone")),
        [("code-invalid", "AllergyIntolerance.clinicalStatus")],
    ),
    (
        "a concept of another system",
        allergy(clinicalStatus=coded("urn:x", "active")),
        [("code-invalid", "AllergyIntolerance.clinicalStatus")],
    ),
    (
        "a concept of text only",
        allergy(clinicalStatus={"text": "active"}),
        [("code-invalid", "AllergyIntolerance.clinicalStatus")],
    ),
    (
        "a unit of time outside UCUM's seven",
        dosed({"period": 1, "periodUnit": "day"}),
        [("code-invalid", f"{REPEAT}.periodUnit")],
    ),
    (
        "a media type that is none",
        {"resourceType": "Binary", "contentType": "text"},
        [("code-invalid", "Binary.contentType")],
    ),
    (
        "a currency that is none",
        {"resourceType": "Invoice", "status": "draft", "totalNet": {"value": 1, "currency": "XXZ"}},
        [("code-invalid", "Invoice.totalNet.currency")],
    ),
    (
        "an event of R4's wider list",
        {
            "resourceType": "Immunization",
            "status": "preparation",
            "vaccineCode": {"text": "x"},
            "patient": SUBJECT,
            "occurrenceDateTime": "2020",
        },
        [("code-invalid", "Immunization.status")],
    ),
    # References
    (
        "a target of a wrong type",
        request(subject={"reference": "Practitioner/1"}),
        [("value", "MedicationRequest.subject")],
    ),
    (
        "a wrong type elsewhere",
        request(subject={"reference": "https://x.example.org/fhir/Practitioner/1"}),
        [("value", "MedicationRequest.subject")],
    ),
    (
        "a wrong type by Reference.type",
        request(subject={"type": "Practitioner", "display": "x"}),
        [("value", "MedicationRequest.subject")],
    ),
    (
        "a wrong type of a conditional reference",
        request(subject={"reference": "Practitioner?identifier=1"}),
        [("value", "MedicationRequest.subject")],
    ),
    (
        "type and reference disagree",
        request(requester={"reference": "Patient/1", "type": "Practitioner"}),
        [("value", "MedicationRequest.requester.type")],
    ),
    (
        "a reference that is only an id",
        request(subject={"reference": "1"}),
        [("value", "MedicationRequest.subject.reference")],
    ),
    (
        "a reference to no type of R4",
        request(subject={"reference": "Human/1"}),
        [("value", "MedicationRequest.subject.reference")],
    ),
    (
        "a reference with a slash too many",
        request(subject={"reference": "Patient/1/2"}),
        [("value", "MedicationRequest.subject.reference")],
    ),
    (
        "a reference with a bad id",
        request(subject={"reference": "Patient/a b"}),
        [("value", "MedicationRequest.subject.reference")],
    ),
    ("an empty reference", request(subject={}), [("structure", "MedicationRequest.subject")]),
    ("a text for a reference", request(subject="Patient/1"), [("structure", "MedicationRequest.subject")]),
    # Contained resources
    (
        "a fragment of nothing",
        request(subject={"reference": "#p"}),
        [("invariant", "MedicationRequest.subject.reference")],
    ),
    (
        "a fragment of a wrong type",
        request(subject={"reference": "#p"}, contained=[{"resourceType": "Device", "id": "p"}]),
        [("value", "MedicationRequest.subject")],
    ),
    (
        "a contained resource nobody names",
        patient(contained=[{"resourceType": "Device", "id": "d"}]),
        [("invariant", "Patient.contained[0]")],
    ),
    (
        "a contained resource with a fault",
        request(subject={"reference": "#p"}, contained=[patient(id="p", gender="x")]),
        [("code-invalid", "MedicationRequest.contained[0].gender")],
    ),
    (
        "a contained resource with a version",
        request(subject={"reference": "#p"}, contained=[patient(id="p", meta={"versionId": "1"})]),
        [("invariant", "MedicationRequest.contained[0]")],
    ),
    (
        "a contained resource with a label",
        request(subject={"reference": "#p"}, contained=[patient(id="p", meta={"security": [{"code": "R"}]})]),
        [("invariant", "MedicationRequest.contained[0]")],
    ),
    (
        "a contained resource with contained ones",
        request(
            subject={"reference": "#p"},
            contained=[
                patient(
                    id="p",
                    managingOrganization={"reference": "#o"},
                    contained=[{"resourceType": "Organization", "id": "o", "name": "x"}],
                )
            ],
        ),
        [
            ("invariant", "MedicationRequest.contained[0].managingOrganization.reference"),
            ("invariant", "MedicationRequest.contained[0]"),
        ],
    ),
    (
        "two contained resources with one id",
        request(subject={"reference": "#p"}, contained=[patient(id="p"), patient(id="p")]),
        [("duplicate", "MedicationRequest.contained[1]")],
    ),
    (
        "a contained resource without a type",
        patient(contained=[{"id": "x"}]),
        [("required", "Patient.contained[0]"), ("invariant", "Patient.contained[0]")],
    ),
    # Narratives
    ("a script", narrative("<script>x</script>"), [("value", "Patient.text.div")]),
    ("an event handler", narrative('<p onclick="x">y</p>'), [("value", "Patient.text.div")]),
    ("a link that runs", narrative('<a href="javascript:x">y</a>'), [("value", "Patient.text.div")]),
    (
        "a link that runs, disguised",
        narrative('<a href="java&#10;script:x">y</a>'),
        [("value", "Patient.text.div")],
    ),
    (
        "a link of data",
        narrative('<a href="data:text/html;base64,AAAA">y</a>'),
        [("value", "Patient.text.div")],
    ),
    (
        "a picture that is a page",
        narrative('<img src="data:text/html;base64,AAAA"/>'),
        [("value", "Patient.text.div")],
    ),
    ("a form", narrative("<form>y</form>"), [("value", "Patient.text.div")]),
    ("a frame", narrative('<iframe src="http://x">y</iframe>'), [("value", "Patient.text.div")]),
    ("a style element", narrative("<style>p{}</style>y"), [("value", "Patient.text.div")]),
    ("an unclosed element", narrative("<p>y"), [("value", "Patient.text.div")]),
    ("an entity of HTML", narrative("a&nbsp;b"), [("value", "Patient.text.div")]),
    ("no namespace", narrative("x", "<div>"), [("value", "Patient.text.div")]),
    (
        "a root that is no div",
        patient(text={"status": "generated", "div": f"<p {XHTML}>x</p>"}),
        [("value", "Patient.text.div")],
    ),
    (
        "a document type",
        patient(text={"status": "generated", "div": f"<!DOCTYPE div><div {XHTML}>x</div>"}),
        [("value", "Patient.text.div")],
    ),
    ("nothing but space", narrative(" <p>\u00a0</p> "), [("value", "Patient.text.div")]),
    (
        "a narrative that is no text",
        patient(text={"status": "generated", "div": 1}),
        [("structure", "Patient.text.div")],
    ),
    # Extensions
    (
        "an extension of nothing",
        patient(extension=[{"url": "http://x"}]),
        [("invariant", "Patient.extension[0]")],
    ),
    (
        "an extension of both kinds",
        patient(extension=[{"url": "http://x", "valueString": "a", "extension": [EXTENSION]}]),
        [("invariant", "Patient.extension[0]")],
    ),
    (
        "an extension without a url",
        patient(extension=[{"valueString": "a"}]),
        [("required", "Patient.extension[0].url")],
    ),
    (
        "an extension of two values",
        patient(extension=[{"url": "x", "valueString": "a", "valueCode": "a"}]),
        [("structure", "Patient.extension[0].value")],
    ),
    (
        "a fault in a nested extension",
        patient(extension=[{"url": "x", "extension": [{"url": "y", "valueDate": "z"}]}]),
        [("value", "Patient.extension[0].extension[0].value.ofType(date)")],
    ),
    (
        "a modifier extension of a data type",
        patient(name=[{"family": "A", "modifierExtension": [EXTENSION]}]),
        [("structure", "Patient.name[0].modifierExtension")],
    ),
    # Data types
    ("att-1", patient(photo=[{"data": "QUJD"}]), [("invariant", "Patient.photo[0]")]),
    ("cpt-2", patient(telecom=[{"value": "1"}]), [("invariant", "Patient.telecom[0]")]),
    (
        "per-1",
        patient(name=[{"family": "A", "period": {"start": "2024-02-01", "end": "2024-01-01"}}]),
        [("invariant", "Patient.name[0].period")],
    ),
    (
        "per-1 within a day",
        patient(
            name=[
                {"family": "A", "period": {"start": "2024-01-01T10:00:00Z", "end": "2024-01-01T10:30:00+01:00"}}
            ]
        ),
        [("invariant", "Patient.name[0].period")],
    ),
    (
        "qty-3",
        observation(valueQuantity={"value": 1, "code": "mg"}),
        [("invariant", "Observation.value.ofType(Quantity)")],
    ),
    (
        "sqty-1",
        observation(referenceRange=[{"low": {"value": 1, "comparator": "<"}}]),
        [
            ("structure", "Observation.referenceRange[0].low.comparator"),
            ("invariant", "Observation.referenceRange[0].low"),
        ],
    ),
    (
        "rng-2",
        observation(valueRange={"low": {"value": 2, "unit": "mg"}, "high": {"value": 1, "unit": "mg"}}),
        [("invariant", "Observation.value.ofType(Range)")],
    ),
    (
        "rat-1",
        observation(valueRatio={"numerator": {"value": 1}}),
        [("invariant", "Observation.value.ofType(Ratio)")],
    ),
    (
        "drt-1",
        request(dispenseRequest={"expectedSupplyDuration": {"value": 3, "code": "d"}}),
        [
            ("invariant", "MedicationRequest.dispenseRequest.expectedSupplyDuration"),
            ("invariant", "MedicationRequest.dispenseRequest.expectedSupplyDuration"),
        ],
    ),
    (
        "age-1",
        condition(onsetAge={"value": -1, "code": "a", "system": UCUM}),
        [("invariant", "Condition.onset.ofType(Age)")],
    ),
    ("tim-1", dosed({"duration": 1}), [("invariant", REPEAT)]),
    ("tim-2", dosed({"period": 1}), [("invariant", REPEAT)]),
    ("tim-5", dosed({"period": -1, "periodUnit": "d"}), [("invariant", REPEAT)]),
    ("tim-6", dosed({"periodMax": 1}), [("invariant", REPEAT)]),
    ("tim-8", dosed({"countMax": 2}), [("invariant", REPEAT)]),
    ("tim-9", dosed({"offset": 10, "when": ["C"]}), [("invariant", REPEAT)]),
    ("tim-10", dosed({"timeOfDay": ["10:00:00"], "when": ["C"]}), [("invariant", REPEAT)]),
    # Clinical and administrative resources
    ("pat-1", patient(contact=[{"gender": "male"}]), [("invariant", "Patient.contact[0]")]),
    (
        "obs-3",
        observation(referenceRange=[{"age": {"low": {"value": 1}}}]),
        [("invariant", "Observation.referenceRange[0]")],
    ),
    ("obs-6", observation(valueString="x", dataAbsentReason={"text": "y"}), [("invariant", "Observation")]),
    (
        "obs-7",
        observation(code=coded("u", "a"), valueString="x", component=[{"code": coded("u", "a")}]),
        [("invariant", "Observation")],
    ),
    ("ait-1", allergy(), [("invariant", "AllergyIntolerance")]),
    (
        "ait-2",
        allergy(
            clinicalStatus=coded(ALLERGY_CLINICAL, "active"),
            verificationStatus=coded(ALLERGY_VERIFICATION, "entered-in-error"),
        ),
        [("invariant", "AllergyIntolerance")],
    ),
    (
        "con-4",
        condition(clinicalStatus=coded(CONDITION_CLINICAL, "active"), abatementString="x"),
        [("invariant", "Condition")],
    ),
    (
        "con-5",
        condition(
            clinicalStatus=coded(CONDITION_CLINICAL, "active"),
            verificationStatus=coded(CONDITION_VERIFICATION, "entered-in-error"),
        ),
        [("invariant", "Condition")],
    ),
    ("con-1", condition(stage=[{"type": {"text": "x"}}]), [("invariant", "Condition.stage[0]")]),
    ("con-2", condition(evidence=[{"extension": [EXTENSION]}]), [("invariant", "Condition.evidence[0]")]),
    (
        "cpl-3",
        {
            "resourceType": "CarePlan",
            "status": "active",
            "intent": "plan",
            "subject": SUBJECT,
            "activity": [{"reference": {"reference": "Task/1"}, "detail": {"status": "completed"}}],
        },
        [("invariant", "CarePlan.activity[0]")],
    ),
    (
        "ctm-1",
        {
            "resourceType": "CareTeam",
            "participant": [
                {"member": {"reference": "Patient/1"}, "onBehalfOf": {"reference": "Organization/1"}}
            ],
        },
        [("invariant", "CareTeam.participant[0]")],
    ),
    ("lst-1", listing(emptyReason={"text": "x"}, entry=[{"item": SUBJECT}]), [("invariant", "List")]),
    ("lst-2", listing(entry=[{"item": SUBJECT, "deleted": True}]), [("invariant", "List")]),
    ("lst-3", listing(mode="snapshot", entry=[{"item": SUBJECT, "date": "2024"}]), [("invariant", "List")]),
    (
        "inv-1 of Task",
        {
            "resourceType": "Task",
            "status": "draft",
            "intent": "order",
            "authoredOn": "2024-02-01",
            "lastModified": "2024-01-01",
        },
        [("invariant", "Task")],
    ),
    (
        "mdd-1",
        {
            "resourceType": "MedicationDispense",
            "status": "completed",
            "medicationCodeableConcept": {"text": "x"},
            "whenPrepared": "2024-02-01",
            "whenHandedOver": "2024-01-01",
        },
        [("invariant", "MedicationDispense")],
    ),
    (
        "mad-1",
        {
            "resourceType": "MedicationAdministration",
            "status": "completed",
            "medicationCodeableConcept": {"text": "x"},
            "subject": SUBJECT,
            "effectiveDateTime": "2024",
            "dosage": {"text": "x"},
        },
        [("invariant", "MedicationAdministration.dosage")],
    ),
    ("org-1", {"resourceType": "Organization", "active": True}, [("invariant", "Organization")]),
    (
        "org-3",
        {"resourceType": "Organization", "name": "x", "telecom": [{"system": "phone", "use": "home"}]},
        [("invariant", "Organization.telecom[0]")],
    ),
    (
        "org-2",
        {"resourceType": "Organization", "name": "x", "address": [{"city": "y", "use": "home"}]},
        [("invariant", "Organization.address[0]")],
    ),
    (
        "gol-1",
        {
            "resourceType": "Goal",
            "lifecycleStatus": "active",
            "description": {"text": "x"},
            "subject": SUBJECT,
            "target": [{"detailString": "x"}],
        },
        [("invariant", "Goal.target[0]")],
    ),
    (
        "app-1 and app-3",
        {"resourceType": "Appointment", "status": "booked", "participant": [{"status": "accepted"}]},
        [("invariant", "Appointment.participant[0]"), ("invariant", "Appointment")],
    ),
    (
        "fhs-1",
        {
            "resourceType": "FamilyMemberHistory",
            "status": "completed",
            "patient": SUBJECT,
            "relationship": {"text": "x"},
            "ageString": "1",
            "bornString": "2",
        },
        [("invariant", "FamilyMemberHistory")],
    ),
    (
        "prr-1",
        {
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "order",
            "subject": SUBJECT,
            "orderDetail": [{"text": "x"}],
        },
        [("invariant", "ServiceRequest")],
    ),
    (
        "ppc-1",
        {"resourceType": "Consent", "status": "active", "scope": {"text": "x"}, "category": [{"text": "y"}]},
        [("invariant", "Consent")],
    ),
    (
        "ras-1",
        {
            "resourceType": "RiskAssessment",
            "status": "final",
            "subject": SUBJECT,
            "prediction": [{"probabilityRange": {"low": {"value": 1}}}],
        },
        [("invariant", "RiskAssessment.prediction[0].probability.ofType(Range)")],
    ),
    (
        "ras-2",
        {
            "resourceType": "RiskAssessment",
            "status": "final",
            "subject": SUBJECT,
            "prediction": [{"probabilityDecimal": 101}],
        },
        [("invariant", "RiskAssessment.prediction[0]")],
    ),
    ("que-1", questionnaire({"linkId": "1", "type": "group"}), [("invariant", "Questionnaire.item[0]")]),
    (
        "que-2",
        questionnaire({"linkId": "1", "type": "string"}, {"linkId": "1", "type": "string"}),
        [("invariant", "Questionnaire")],
    ),
    (
        "que-3",
        questionnaire({"linkId": "1", "type": "display", "code": [{"code": "x"}]}),
        [("invariant", "Questionnaire.item[0]")],
    ),
    (
        "que-7",
        questionnaire(
            {
                "linkId": "1",
                "type": "string",
                "enableWhen": [{"question": "2", "operator": "exists", "answerString": "x"}],
            }
        ),
        [("invariant", "Questionnaire.item[0].enableWhen[0]")],
    ),
    (
        "que-8 and que-13",
        questionnaire(
            {"linkId": "1", "type": "display", "initial": [{"valueString": "x"}, {"valueString": "y"}]}
        ),
        [("invariant", "Questionnaire.item[0]"), ("invariant", "Questionnaire.item[0]")],
    ),
    (
        "qrs-1",
        {
            "resourceType": "QuestionnaireResponse",
            "status": "completed",
            "item": [{"linkId": "1", "answer": [{"valueString": "x"}], "item": [{"linkId": "2"}]}],
        },
        [("invariant", "QuestionnaireResponse.item[0]")],
    ),
    (
        "inv-1 of Parameters",
        {"resourceType": "Parameters", "parameter": [{"name": "a"}]},
        [("invariant", "Parameters.parameter[0]")],
    ),
    # Conformance and terminology resources
    (
        "sdf-6",
        {
            "resourceType": "StructureDefinition",
            "url": "http://x",
            "name": "x",
            "status": "draft",
            "kind": "resource",
            "abstract": True,
            "type": "Patient",
        },
        [("invariant", "StructureDefinition")],
    ),
    (
        "eld-3",
        {
            "resourceType": "StructureDefinition",
            "url": "http://x",
            "name": "x",
            "status": "draft",
            "kind": "resource",
            "abstract": True,
            "type": "Patient",
            "differential": {"element": [{"id": "Patient", "path": "Patient", "max": "many"}]},
        },
        [("invariant", "StructureDefinition.differential.element[0].max")],
    ),
    (
        "vsd-1",
        {"resourceType": "ValueSet", "status": "draft", "compose": {"include": [{"version": "1"}]}},
        [("invariant", "ValueSet.compose.include[0]")],
    ),
    (
        "csd-1",
        {
            "resourceType": "CodeSystem",
            "status": "draft",
            "content": "complete",
            "concept": [{"code": "a", "concept": [{"code": "a"}]}],
        },
        [("invariant", "CodeSystem")],
    ),
    (
        "spd-1",
        {
            "resourceType": "SearchParameter",
            "url": "http://x",
            "name": "x",
            "status": "draft",
            "description": "x",
            "code": "x",
            "base": ["Patient"],
            "type": "token",
            "xpath": "x",
        },
        [("invariant", "SearchParameter")],
    ),
    # Bundles
    ("bdl-1", {"resourceType": "Bundle", "type": "collection", "total": 1}, [("invariant", "Bundle")]),
    (
        "bdl-2",
        bundle("collection", {"resource": patient(), "search": {"mode": "match"}}),
        [("invariant", "Bundle")],
    ),
    ("bdl-3", bundle("transaction", {"resource": patient()}), [("invariant", "Bundle")]),
    (
        "bdl-3 the other way",
        bundle("collection", {"resource": patient(), "request": {"method": "GET", "url": "x"}}),
        [("invariant", "Bundle")],
    ),
    ("bdl-4", bundle("batch-response", {"resource": patient()}), [("invariant", "Bundle")]),
    ("bdl-5", bundle("collection", {"fullUrl": "urn:uuid:1"}), [("invariant", "Bundle.entry[0]")]),
    (
        "bdl-7",
        bundle("collection", *[{"fullUrl": "urn:uuid:1", "resource": patient()}] * 2),
        [("invariant", "Bundle")],
    ),
    (
        "bdl-8",
        bundle("collection", {"fullUrl": "http://x/Patient/1/_history/1", "resource": patient()}),
        [("invariant", "Bundle.entry[0]")],
    ),
    ("bdl-9 to bdl-11", bundle("document", {"resource": patient()}), [("invariant", "Bundle")] * 3),
    (
        "a fault in an entry",
        bundle(
            "collection",
            {"resource": patient()},
            {"resource": patient(contact=[{"gender": "x", "name": {"text": "y"}}])},
        ),
        [("code-invalid", "Bundle.entry[1].resource.contact[0].gender")],
    ),
    (
        "an entry without a type",
        bundle("collection", {"resource": {"id": "1"}}),
        [("required", "Bundle.entry[0].resource")],
    ),
    (
        "an entry that is no object",
        bundle("collection", {"resource": "x"}),
        [("structure", "Bundle.entry[0].resource")],
    ),
    (
        "a method that is none",
        bundle("batch", {"request": {"method": "FETCH", "url": "x"}}),
        [("code-invalid", "Bundle.entry[0].request.method")],
    ),
    # Several at once
    (
        "every fault, not only the first",
        patient(foo=1, gender="x", birthDate="2024-02-30", name=[{"given": [1]}], contact=[{}]),
        [
            ("structure", "Patient.foo"),
            ("code-invalid", "Patient.gender"),
            ("value", "Patient.birthDate"),
            ("structure", "Patient.name[0].given[0]"),
            ("structure", "Patient.contact[0]"),
        ],
    ),
]


@pytest.mark.parametrize(("name", "resource"), VALID, ids=[row[0] for row in VALID])
def test_is_valid(name: str, resource: Json) -> None:
    assert validate(resource) == ()


@pytest.mark.parametrize(("name", "resource", "faults"), INVALID, ids=[row[0] for row in INVALID])
def test_is_refused_with_code_and_expression(name: str, resource: Json, faults: Faults) -> None:
    assert [(issue.code, issue.expression) for issue in validate(resource)] == faults
    assert not accepts(resource)


def test_the_table_is_not_small() -> None:
    assert len(VALID) + len(INVALID) >= 200


def test_no_diagnostics_quote_a_value() -> None:
    secret = "Qzxv"
    for build in (
        patient(
            gender=secret, birthDate=secret, id=f"{secret} {secret}", active=secret, name=[{"use": secret}]
        ),
        patient(text={"status": secret, "div": f"<div>{secret}"}, extension=[{"url": f" {secret}"}]),
        request(
            subject={"reference": secret}, status=secret, requester={"reference": f"#{secret}", "type": secret}
        ),
        {"resourceType": secret},
        patient(**{secret: secret}),
        observation(valueQuantity={"value": secret, "code": secret}),
        bundle(secret, {"fullUrl": secret, "request": {"method": secret, "url": secret}}),
    ):
        issues = validate(build)
        assert issues
        assert all(secret not in issue.diagnostics + issue.expression for issue in issues)
