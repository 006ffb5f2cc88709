"""Whether what the CapabilityStatement claims is so: hl7.org/fhir/R4/capabilitystatement.html. "C5".

Every claim is asked: of all types as far as that is cheap, in batches; of the charts' types with their data.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from asking.bodies import batched, local, references

TYPES = [
    "AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Coverage", "Device", "DiagnosticReport",
    "DocumentReference", "Encounter", "Endpoint", "Goal", "Immunization", "List", "Location", "Media",
    "Medication", "MedicationDispense", "MedicationRequest", "Observation", "Organization", "Patient",
    "Practitioner", "PractitionerRole", "Procedure", "Provenance", "Questionnaire", "QuestionnaireResponse",
    "RelatedPerson", "ServiceRequest", "Specimen", "Task",
]  # fmt: skip
# A value of each type of parameter that finds nothing, and one that cannot be.
VALUES = {
    "string": "zzzz",
    "token": "urn:example:none|zzzz",
    "reference": "zzzz",
    "date": "1850-01-01",
    "number": "123456",
    "quantity": "123456",
    "uri": "urn:example:none",
}
IMPOSSIBLE = {"date": "soon", "number": "much", "quantity": "much"}
INTERACTIONS = {
    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type"
}  # fmt: skip
# What a server recorded itself, it may let nobody write.
READ_ONLY = {"AuditEvent": {"read", "search-type"}}


def each_type(line: str, what: str) -> Any:
    return pytest.mark.parametrize(
        "resource_type",
        [
            pytest.param(name, marks=pytest.mark.requirement(f"{line}-{name}", f"{name}: {what}"))
            for name in TYPES
        ],
    )


@pytest.mark.requirement("C5-all-types")
def test_every_type_of_r4_is_offered(offered: dict[str, Any]) -> None:
    assert len(offered) == 146
    for name, kind in offered.items():
        claimed = {row["code"] for row in kind["interaction"]}
        assert claimed in (INTERACTIONS, READ_ONLY.get(name)), name


@pytest.mark.requirement("C5-interactions-all")
def test_every_interaction_of_every_type_is_answered(fhir: Any, offered: dict[str, Any]) -> None:
    asked = {
        "GET {}/none": ("read", "404"),
        "GET {}/none/_history/1": ("vread", "404"),
        "GET {}/none/_history": ("history-instance", "404"),
        "GET {}/_history?_count=1": ("history-type", "200"),
        "GET {}?_summary=count": ("search-type", "200"),
        "PUT {}/none": ("update", "400"),
        "POST {}": ("create", "400"),
        "DELETE {}?_id=none": ("delete", "204"),
    }
    for template, (interaction, status) in asked.items():
        method, _, path = template.partition(" ")
        entries = []
        claiming = [
            name
            for name, kind in offered.items()
            if interaction in {row["code"] for row in kind["interaction"]}
        ]
        for name in claiming:
            entry: dict[str, Any] = {"request": {"method": method, "url": path.format(name)}}
            if method in ("PUT", "POST"):  # not valid: nothing is written, but the method is taken
                entry["resource"] = {"resourceType": name, "id": "none", "noSuchElement": 1}
            entries.append(entry)
        told = {
            name: answer["response"]["status"][:3]
            for name, answer in zip(claiming, fhir.batch(entries), strict=True)
            if not answer["response"]["status"].startswith(status)
        }
        assert told == {}, template


@each_type("C5-writes", "create, read, vread, update, patch, history, delete, with versions and conditions")
def test_what_is_claimed_of_writing_is_so(fhir: Any, charts: Any, offered: Any, resource_type: str) -> None:
    kind = offered[resource_type]
    body = {name: value for name, value in charts[resource_type][0].items() if name != "id"}
    mark = {"system": "urn:example:conformance", "code": f"{fhir.run}-{resource_type}"}
    body["meta"] = {"tag": [mark]}
    condition = f"_tag={mark['system']}|{mark['code']}"

    created = fhir.post(resource_type, body, If_None_Exist=condition)
    assert created.status_code == 201, created.text
    path = f"{resource_type}/{created.json()['id']}"
    assert created.headers["Location"] == f"{fhir.base}/{path}/_history/1"
    assert kind["conditionalCreate"] is True
    again = fhir.post(resource_type, body, If_None_Exist=condition)
    assert (again.status_code, again.json()["id"]) == (200, created.json()["id"])

    read = fhir.get(path)
    assert read.json() == created.json()
    assert {n: v for n, v in read.json().items() if n not in ("id", "meta")} == {
        n: v for n, v in body.items() if n != "meta"
    }
    assert kind["conditionalRead"] == "full-support"
    assert fhir.get(path, If_None_Match=read.headers["ETag"]).status_code == 304
    assert fhir.get(path, If_Modified_Since=read.headers["Last-Modified"]).status_code == 304

    assert kind["versioning"] in ("versioned", "versioned-update")
    assert fhir.put(path, read.json() | {"language": "en"}, If_Match='W/"9"').status_code == 412
    if kind["versioning"] == "versioned-update":
        assert fhir.put(path, read.json() | {"language": "en"}).status_code == 428
    updated = fhir.put(path, read.json() | {"language": "en"}, If_Match='W/"1"')
    assert (updated.status_code, updated.headers["ETag"]) == (200, 'W/"2"'), updated.text
    patched = fhir.ask(
        "PATCH",
        path,
        [{"op": "replace", "path": "/language", "value": "de"}],
        Content_Type="application/json-patch+json",
        If_Match='W/"2"',
    )
    assert (patched.status_code, patched.json()["language"]) == (200, "de"), patched.text
    assert kind["conditionalUpdate"] is True
    conditional = fhir.put(f"{resource_type}?{condition}", patched.json() | {"language": "fr"})
    assert (conditional.status_code, conditional.headers["ETag"]) == (200, 'W/"4"'), conditional.text

    assert kind["readHistory"] is True
    assert fhir.get(f"{path}/_history/1").json() == created.json()
    history = fhir.get(f"{path}/_history").json()
    assert [entry["resource"]["meta"]["versionId"] for entry in history["entry"]] == ["4", "3", "2", "1"]

    assert kind["conditionalDelete"] == "single"
    assert fhir.ask("DELETE", f"{resource_type}?{condition}").status_code == 204
    assert fhir.get(path).status_code == 410
    assert kind["updateCreate"] is True
    back = fhir.put(path, read.json())
    assert back.status_code in (200, 201)
    assert fhir.ask("DELETE", path, If_Match=back.headers["ETag"]).status_code == 204


@pytest.mark.requirement("C5-search-parameters-all")
def test_every_search_parameter_of_every_type_is_answered(fhir: Any, offered: dict[str, Any]) -> None:
    asked = [
        f"{name}?{row['name']}={quote(VALUES[row['type']], safe='')}&_summary=count"
        for name, kind in offered.items()
        for row in kind["searchParam"]
        if row["type"] in VALUES and row["name"] not in ("_id", "_lastUpdated")
    ]
    asked += [
        f"{name}?{row['name']}:missing=true&_summary=count"
        for name, kind in offered.items()
        for row in kind["searchParam"]
        if row["type"] == "composite"
    ]
    answers = zip(asked, fhir.reads(asked), strict=True)
    refused = [url for url, answer in answers if answer["response"]["status"][:3] != "200"]
    # A boolean is a token that is true or false, nothing else.
    booleans = [url.replace(quote(VALUES["token"], safe=""), "true") for url in refused]
    told = zip(booleans, fhir.reads(booleans), strict=True)
    assert [url for url, answer in told if answer["response"]["status"][:3] != "200"] == []
    assert len(booleans) < len(asked) / 50


@pytest.mark.requirement("C5-search-values-all")
def test_a_value_that_cannot_be_is_refused_by_every_parameter_that_can_tell(fhir: Any, offered: Any) -> None:
    asked = [
        (name, row["name"], IMPOSSIBLE[row["type"]])
        for name, kind in offered.items()
        for row in kind["searchParam"]
        if row["type"] in IMPOSSIBLE
    ]
    answers = fhir.reads([f"{name}?{code}={value}" for name, code, value in asked])
    for (name, code, _), answer in zip(asked, answers, strict=True):
        assert answer["response"]["status"][:3] == "400", (name, code)
        (expression,) = answer["response"]["outcome"]["issue"][0]["expression"]
        assert expression.endswith(f"http.{code}")


@each_type("C5-search", "every parameter splits the resources in those with and those without its element")
def test_every_search_parameter_works_on_data(fhir: Any, charts: Any, offered: Any, resource_type: str) -> None:
    assert charts[resource_type]
    names = [row["name"] for row in offered[resource_type]["searchParam"]]
    names = [name for name in names if name not in ("_id", "_lastUpdated")]
    urls = [f"{resource_type}?_summary=count&_total=accurate"] + [
        f"{resource_type}?{name}:missing={said}&_summary=count&_total=accurate"
        for name in names
        for said in ("true", "false")
    ]
    total, *counts = (answer["resource"]["total"] for answer in fhir.reads(urls))
    assert total >= len(charts[resource_type])
    assert {
        n: w + wo for n, w, wo in zip(names, counts[::2], counts[1::2], strict=True) if w + wo != total
    } == {}
    assert sum(counts[1::2]) > 0


@each_type("C5-include", "every searchInclude brings only what its matches refer to")
def test_every_include_is_answered(fhir: Any, charts: Any, offered: Any, resource_type: str) -> None:
    claimed = offered[resource_type].get("searchInclude", [])
    listed = ",".join(resource["id"] for resource in charts[resource_type][:40])
    asked = [f"{resource_type}?_id={listed}&_include={quote(name)}" for name in claimed]
    for url, answer in zip(asked, fhir.reads(asked), strict=True):
        assert answer["response"]["status"][:3] == "200", url
        entries = answer["resource"]["entry"]
        named = {ref for e in entries if e["search"]["mode"] == "match" for ref in references(e["resource"])}
        came = {local(e["resource"]) for e in entries if e["search"]["mode"] == "include"}
        assert came <= named, url
    if claimed:
        everything = fhir.included(f"{resource_type}?_id={listed}&_include={resource_type}:*")
        stored = {local(resource) for resources in charts.values() for resource in resources}
        apart = {
            local(e["resource"])
            for answer in fhir.reads(asked)
            for e in answer["resource"]["entry"]
            if e["search"]["mode"] == "include"
        }
        assert {local(resource) for resource in everything} == apart
        assert apart & stored == apart


@each_type("C5-revinclude", "every searchRevInclude brings only what refers to its matches")
def test_every_revinclude_is_answered(fhir: Any, charts: Any, offered: Any, resource_type: str) -> None:
    claimed = offered[resource_type].get("searchRevInclude", [])
    listed = [resource["id"] for resource in charts[resource_type][:10]]
    mine = {f"{resource_type}/{id}" for id in listed}
    start = f"{resource_type}?_id={','.join(listed)}"
    asked = [
        "&".join((start, *(f"_revinclude={quote(name)}" for name in names))) for names in batched(claimed, 40)
    ]
    came: dict[str, set[str]] = {}
    for answer in fhir.reads(asked):
        assert answer["response"]["status"][:3] == "200"
        for entry in answer["resource"]["entry"]:
            if entry["search"]["mode"] == "include":
                came[local(entry["resource"])] = set(references(entry["resource"]))
    assert [name for name, named in came.items() if not named & mine] == []
    assert any(name.startswith("Provenance/") for name in came)


@pytest.mark.requirement("C5-include-all")
def test_every_include_of_every_type_is_known(fhir: Any, offered: dict[str, Any]) -> None:
    asked = []
    for name, kind in offered.items():
        for way in ("Include", "RevInclude"):
            for names in batched(kind.get(f"search{way}", []), 50):
                parts = "&".join(f"_{way.lower()}={quote(one)}" for one in names)
                asked.append(f"{name}?_id=none&{parts}")
    statuses = {answer["response"]["status"][:3] for answer in fhir.reads(asked)}
    assert statuses == {"200"}


@pytest.mark.requirement("C5-sort")
def test_every_order_that_is_listed_is_taken_and_no_other(fhir: Any, offered: dict[str, Any]) -> None:
    taken, refused = [], []
    for name, kind in offered.items():
        listed = {e["valueCode"] for e in kind.get("extension", ()) if e["url"].endswith(":sortable")}
        taken.append(f"{name}?_count=1&_sort={','.join(sorted(listed))}")
        others = sorted({row["name"] for row in kind["searchParam"]} - listed)
        refused += [f"{name}?_sort={other}" for other in others[:3]]
    assert {answer["response"]["status"][:3] for answer in fhir.reads(taken)} == {"200"}
    assert {answer["response"]["status"][:3] for answer in fhir.reads(refused)} == {"400"}


@pytest.mark.requirement("C5-compartments")
def test_every_compartment_can_be_searched(fhir: Any, charts: Any, statement: dict[str, Any]) -> None:
    names = [re.split("/", url)[-1] for url in statement["rest"][0]["compartment"]]
    assert {"patient", "encounter", "practitioner", "relatedperson", "device"} == set(names)
    for resource_type in charts:
        if resource_type.casefold() in names:
            for resource in charts[resource_type][:3]:
                found = fhir.matches(f"{local(resource)}/*?_count=500")
                assert local(resource) in {local(one) for one in found}
                assert all(local(resource) in {local(one), *references(one)} for one in found)


@pytest.mark.requirement("C5-validate-all")
def test_every_type_can_be_validated(fhir: Any, offered: dict[str, Any]) -> None:
    names = [name for name, kind in offered.items() if "validate" in {row["name"] for row in kind["operation"]}]
    assert len(names) == len(offered)
    parameters = [[{"name": "resource", "resource": {"resourceType": name, "noSuch": 1}}] for name in names]
    answers = fhir.batch(
        [
            {
                "request": {"method": "POST", "url": f"{name}/$validate"},
                "resource": {"resourceType": "Parameters", "parameter": parameter},
            }
            for name, parameter in zip(names, parameters, strict=True)
        ]
    )
    assert {answer["response"]["status"][:3] for answer in answers} == {"200"}
    outcomes = [answer["resource"] for answer in answers]
    assert all("error" in {issue["severity"] for issue in outcome["issue"]} for outcome in outcomes)


@pytest.mark.requirement("C5-operations")
def test_every_operation_it_names_is_performed(fhir: Any, charts: Any, offered: dict[str, Any]) -> None:
    patient, encounter = charts["Patient"][0], charts["Encounter"][0]
    path, meta = (
        local(patient),
        {"name": "meta", "valueMeta": {"tag": [{"system": "urn:example:t", "code": "x"}]}},
    )
    change = {"resourceType": "Parameters", "parameter": [meta]}
    gender = "http://hl7.org/fhir/administrative-gender"
    genders = "http://hl7.org/fhir/ValueSet/administrative-gender"
    likeness = {
        name: patient[name] for name in ("resourceType", "identifier", "name", "birthDate") if name in patient
    }
    asked = {
        ("Patient", "everything"): lambda: fhir.get(f"{path}/$everything?_count=5"),
        ("Encounter", "everything"): lambda: fhir.get(f"{local(encounter)}/$everything"),
        ("Patient", "validate"): lambda: fhir.get(f"{path}/$validate"),
        ("Patient", "meta"): lambda: fhir.get(f"{path}/$meta"),
        ("Patient", "meta-add"): lambda: fhir.post(f"{path}/$meta-add", change),
        ("Patient", "meta-delete"): lambda: fhir.post(f"{path}/$meta-delete", change),
        ("Observation", "lastn"): lambda: fhir.get(
            f"Observation/$lastn?patient={patient['id']}&category=vital-signs"
        ),
        ("Patient", "match"): lambda: fhir.post("Patient/$match", likeness),
        ("SearchParameter", "index-progress"): lambda: fhir.get("SearchParameter/$index-progress"),
        ("CodeSystem", "lookup"): lambda: fhir.get(f"CodeSystem/$lookup?system={gender}&code=male"),
        ("CodeSystem", "validate-code"): lambda: fhir.get(f"CodeSystem/$validate-code?url={gender}&code=male"),
        ("CodeSystem", "subsumes"): lambda: fhir.get(
            f"CodeSystem/$subsumes?system={gender}&codeA=male&codeB=female"
        ),
        ("ValueSet", "expand"): lambda: fhir.get(f"ValueSet/$expand?url={genders}"),
        ("ValueSet", "validate-code"): lambda: fhir.get(
            f"ValueSet/$validate-code?url={genders}&system={gender}&code=male"
        ),
        ("ConceptMap", "translate"): lambda: fhir.get(f"ConceptMap/$translate?system={gender}&code=male"),
    }
    of_people = {("Patient", "break-glass")}  # a service has no emergencies
    named = {(name, row["name"]) for name, kind in offered.items() for row in kind.get("operation", ())}
    everywhere = {code for name, code in named if name == "Basic"}
    assert {(name, code) for name, code in named if code not in everywhere or name == "Patient"} == {
        *asked,
        *of_people,
    }
    for call in asked.values():
        assert call().status_code == 200
    reason = [
        {"name": "reason", "valueCode": "ETREAT"},
        {"name": "comment", "valueString": "none of a service"},
    ]
    refused = fhir.post(f"{path}/$break-glass", {"resourceType": "Parameters", "parameter": reason})
    assert refused.status_code == 403, refused.text
    (answer,) = fhir.reads([f"{path}/$meta"])
    assert "urn:example:t" not in str(answer["resource"])
