"""Search parameters that a site defines: stored as SearchParameter resources, indexed by the worker, then
answered like any other; never a way to more access than before.

Covers server/interactions/definition.py, server/interactions/operations/index_progress.py,
server/storage/custom_parameters.py, server/fhir/custom_definitions.py, server/fhir/index_custom.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server.app import create_app
from server.auth.tokens import Claims, mint
from server.database_diagnosis import diagnose_database
from server.logs import Log
from server.storage import open_store
from server.workers.job_runner import JobRunner
from server.workers.pulse import Pulse
from server.workers.reindexing import Reindexing
from server.workers.timing import Backoff, Timing

RACE = "urn:example:race"
ORIGIN = "http://127.0.0.1:8000"


def race(id: str, code: str) -> dict[str, Any]:
    """A synthetic patient with a coded extension."""
    value = {"url": RACE, "valueCoding": {"system": "urn:races", "code": code, "display": f"Race {code}"}}
    return {"resourceType": "Patient", "id": id, "extension": [value]}


def definition(id: str = "race", **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "id": id,
        "url": f"urn:example:search-parameter:{id}",
        "name": "Race",
        "status": "active",
        "description": "The race of a patient",
        "code": "x-race",
        "base": ["Patient"],
        "type": "token",
        "expression": f"Patient.extension('{RACE}').value.ofType(Coding)",
    } | changes


@pytest.fixture
def work(store: Any, clock: Any) -> Callable[..., int]:
    """`work()`: let a worker index until nothing is left; how many slices that took."""

    indexing = Reindexing(store, f"{ORIGIN}/fhir", "America/New_York", clock)
    timing = Timing()
    failures: list[str] = []
    runner = JobRunner(
        store.jobs,
        indexing.kinds,
        "tests",
        Pulse(timing),
        timing,
        Backoff(lambda: 0.0, attempts=3),
        clock,
        lambda name, error: failures.append(type(error).__name__),
    )

    def until_done() -> int:
        slices = 0
        while store.reindexing():
            indexing.task.run()
            slices += runner.run_one()
            clock.advance(seconds=2)
            assert slices < 100
        assert failures == []
        return slices

    return until_done


def ids(answer: Any) -> list[str]:
    assert answer.status == 200, answer.json
    return sorted(entry["resource"]["id"] for entry in answer.json.get("entry", ()))


def test_it_is_refused_until_the_worker_is_through_and_then_finds_what_was_there(fhir: Any, work: Any) -> None:
    for number in range(5):
        fhir.put(f"Patient/p{number}", race(f"p{number}", "a" if number % 2 else "b"))
    unknown = fhir.get("Patient?x-race=a")
    assert (unknown.status, unknown.codes) == (400, ["not-supported"])
    assert fhir.put("SearchParameter/race", definition()).status == 201
    early = fhir.get("Patient?x-race=a")
    assert (early.status, early.codes, early.paths) == (400, ["transient"], ["http.x-race"])
    assert int(early.headers["Retry-After"]) > 0
    assert "x-race" not in fhir.get("metadata").body.decode()
    work()
    assert ids(fhir.get("Patient?x-race=a")) == ["p1", "p3"]
    assert ids(fhir.get("Patient?x-race=urn:races|b")) == ["p0", "p2", "p4"]
    statement = fhir.get("metadata").json
    (patient,) = [row for row in statement["rest"][0]["resource"] if row["type"] == "Patient"]
    listed = {row["name"]: row for row in patient["searchParam"]}["x-race"]
    assert listed == {"name": "x-race", "definition": "urn:example:search-parameter:race", "type": "token"}


def test_what_is_written_while_it_is_indexed_and_after_is_found(fhir: Any, work: Any) -> None:
    fhir.put("Patient/before", race("before", "a"))
    fhir.put("SearchParameter/race", definition())
    fhir.put("Patient/meanwhile", race("meanwhile", "a"))
    fhir.put("Patient/before", race("before", "b"))
    work()
    fhir.put("Patient/after", race("after", "a"))
    assert ids(fhir.get("Patient?x-race=a")) == ["after", "meanwhile"]
    assert ids(fhir.get("Patient?x-race=b")) == ["before"]
    fhir.delete("Patient/after")
    assert ids(fhir.get("Patient?x-race=a")) == ["meanwhile"]


def test_modifiers_missing_chains_has_and_negation_work_as_with_any_other(fhir: Any, work: Any) -> None:
    fhir.put("SearchParameter/race", definition())
    work()
    fhir.put("Patient/a", race("a", "a"))
    fhir.put("Patient/b", race("b", "b"))
    fhir.put("Patient/none", {"resourceType": "Patient", "id": "none"})
    coded = {"status": "final", "code": {"text": "x"}, "subject": {"reference": "Patient/a"}}
    fhir.put("Observation/o", {"resourceType": "Observation", "id": "o", **coded})
    assert ids(fhir.get("Patient?x-race:missing=true")) == ["none"]
    assert ids(fhir.get("Patient?x-race:not=a")) == ["b", "none"]
    assert ids(fhir.get("Patient?x-race:text=race b")) == ["b"]
    assert ids(fhir.get("Observation?subject:Patient.x-race=a")) == ["o"]
    assert ids(fhir.get("Observation?subject.x-race=a")) == ["o"]
    assert ids(fhir.get("Observation?subject.x-race=b")) == []
    assert fhir.get("Patient?x-race:exact=a").codes == ["not-supported"]


def test_references_dates_numbers_quantities_strings_and_uris(fhir: Any, work: Any) -> None:
    def extension(url: str, **value: Any) -> dict[str, Any]:
        return {"url": url, **value}

    kinds = {
        "reference": ("Reference", {"target": ["Organization"]}),
        "date": ("date", {}),
        "number": ("decimal", {}),
        "quantity": ("Quantity", {}),
        "string": ("string", {}),
        "uri": ("uri", {}),
    }
    for kind, (datatype, more) in kinds.items():
        expression = f"Patient.extension('urn:{kind}').value.ofType({datatype})"
        stored = definition(kind, code=f"x-{kind}", type=kind, expression=expression, **more)
        assert fhir.put(f"SearchParameter/{kind}", stored).status == 201
    work()
    fhir.put("Organization/org", {"resourceType": "Organization", "id": "org", "name": "Home"})
    for number, id in ((1, "one"), (2, "two")):
        fhir.put(
            f"Patient/{id}",
            {
                "resourceType": "Patient",
                "id": id,
                "extension": [
                    extension("urn:reference", valueReference={"reference": "Organization/org"}),
                    extension("urn:date", valueDate=f"2026-0{number}-01"),
                    extension("urn:number", valueDecimal=number),
                    extension(
                        "urn:quantity",
                        valueQuantity={"value": number, "system": "http://unitsofmeasure.org", "code": "g"},
                    ),
                    extension("urn:string", valueString=f"Straße {id}"),
                    extension("urn:uri", valueUri=f"urn:thing:{id}"),
                ],
            },
        )
    assert ids(fhir.get("Patient?x-reference=Organization/org")) == ["one", "two"]
    assert ids(fhir.get("Patient?x-reference.name=home&x-number=1")) == ["one"]
    assert ids(fhir.get("Organization?_has:Patient:x-reference:x-number=2")) == ["org"]
    assert ids(fhir.get("Patient?x-number=1&_include=Patient:x-reference")) == ["one", "org"]
    assert ids(fhir.get("Organization?_revinclude=Patient:x-reference")) == ["one", "org", "two"]
    assert ids(fhir.get("Patient?x-date=ge2026-02")) == ["two"]
    assert ids(fhir.get("Patient?x-number=gt1")) == ["two"]
    assert ids(fhir.get("Patient?x-quantity=2000|http://unitsofmeasure.org|mg")) == ["two"]
    assert ids(fhir.get("Patient?x-string=strasse")) == ["one", "two"]
    assert ids(fhir.get("Patient?x-uri:below=urn:thing:one")) == ["one"]
    for sort in ("x-date", "x-number", "x-quantity", "x-string", "x-uri"):
        forth = fhir.get(f"Patient?_sort={sort}").json["entry"]
        back = fhir.get(f"Patient?_sort=-{sort}&_count=1").json
        assert [entry["resource"]["id"] for entry in forth] == ["one", "two"], sort
        assert back["entry"][0]["resource"]["id"] == "two", sort
    assert "x-reference" not in fhir.get("Patient?_sort=x-reference").text.partition("sorts by")[2]


def test_a_base_type_each_is_indexed_and_answered(fhir: Any, work: Any) -> None:
    flag = "extension('urn:b').value.ofType(boolean)"
    both = f"Patient.{flag} | Practitioner.{flag}"
    fhir.put(
        "SearchParameter/b", definition("b", code="x-b", base=["Patient", "Practitioner"], expression=both)
    )
    work()
    for kind in ("Patient", "Practitioner"):
        extension = [{"url": "urn:b", "valueBoolean": True}]
        fhir.put(f"{kind}/1", {"resourceType": kind, "id": "1", "extension": extension})
        assert ids(fhir.get(f"{kind}?x-b=true")) == ["1"]
    assert ids(fhir.get("?_type=Patient,Practitioner&x-b=true")) == ["1", "1"]
    assert fhir.get("?_type=Patient,Organization&x-b=true").status == 400


def test_a_draft_is_kept_and_not_used_and_what_is_retired_or_deleted_is_not_answered(
    fhir: Any, work: Any
) -> None:
    fhir.put("Patient/a", race("a", "a"))
    assert fhir.put("SearchParameter/race", definition(status="draft")).status == 201
    assert fhir.get("Patient?x-race=a").codes == ["not-supported"]
    fhir.put("SearchParameter/race", definition())
    work()
    assert ids(fhir.get("Patient?x-race=a")) == ["a"]
    assert fhir.put("SearchParameter/race", definition(status="retired")).status == 200
    assert fhir.get("Patient?x-race=a").codes == ["not-supported"]
    fhir.put("SearchParameter/race", definition())
    work()
    assert fhir.delete("SearchParameter/race").status == 204
    assert fhir.get("Patient?x-race=a").codes == ["not-supported"]
    fhir.put("Patient/b", race("b", "a"))  # written as if there never was one
    assert "x-race" not in fhir.get("metadata").body.decode()


def test_rows_of_a_parameter_that_is_gone_are_removed(fhir: Any, work: Any, store: Any) -> None:
    def stored() -> int:
        sql = "SELECT count(*) FROM reference_value WHERE parameter > 1000000"
        with store.database.reading() as connection:
            return int(connection.execute(sql).fetchone()[0])

    expression = "Patient.extension('urn:r').value.ofType(Reference)"
    fhir.put("SearchParameter/r", definition("r", code="x-r", type="reference", expression=expression))
    work()
    extension = [{"url": "urn:r", "valueReference": {"reference": "Organization/o"}}]
    fhir.put("Patient/a", {"resourceType": "Patient", "id": "a", "extension": extension})
    assert stored() == 1
    fhir.delete("SearchParameter/r")
    work()
    assert stored() == 0


def test_a_changed_definition_is_indexed_anew_under_a_number_of_its_own(
    fhir: Any, work: Any, store: Any
) -> None:
    fhir.put("Patient/a", race("a", "a"))
    fhir.put("SearchParameter/race", definition())
    work()
    (before,) = store.parameter_states()
    fhir.put("SearchParameter/race", definition(description="Only other words"))
    assert store.parameter_states() == (before,)
    changed = definition(expression=f"Patient.extension('{RACE}x').value.ofType(Coding)")
    assert fhir.put("SearchParameter/race", changed).status == 200
    assert fhir.get("Patient?x-race=a").codes == ["transient"]
    work()
    assert ids(fhir.get("Patient?x-race=a")) == []
    (after,) = store.parameter_states()
    assert after.number > before.number
    fhir.delete("SearchParameter/race")
    fhir.put("SearchParameter/race", definition())
    (again,) = store.parameter_states()
    assert again.number > after.number


def test_progress_is_told(fhir: Any, work: Any) -> None:
    for number in range(3):
        fhir.put(f"Patient/p{number}", race(f"p{number}", "a"))
    fhir.put("SearchParameter/race", definition())

    def progress(path: str) -> dict[str, Any]:
        answer = fhir.get(path)
        assert answer.status == 200
        (row,) = answer.json["parameter"]
        return {
            part["name"]: next(value for name, value in part.items() if name != "name") for part in row["part"]
        }

    told = progress("SearchParameter/race/$index-progress")
    assert told["ready"] is False
    assert (told["indexed"], told["percent"], told["base"], told["code"]) == (0, 0, "Patient", "x-race")
    work()
    told = progress("SearchParameter/$index-progress")
    assert told["definition"] == {"reference": "SearchParameter/race"}
    assert (told["ready"], told["indexed"], told["percent"]) == (True, 3, 100)
    assert fhir.get("SearchParameter/none/$index-progress").status == 404


REFUSED = [
    ("composite", {"type": "composite"}, "type"),
    ("special", {"type": "special"}, "type"),
    ("a code of R4", {"code": "birthdate"}, "code"),
    ("a code of every search", {"code": "page"}, "code"),
    ("a code with a dot", {"code": "a.b"}, "code"),
    ("a code with an underscore", {"code": "_x"}, "code"),
    ("an abstract base", {"base": ["Resource"]}, "base"),
    ("no expression", {"expression": None}, "expression"),
    ("no such element", {"expression": "Patient.foo"}, "expression"),
    ("an alternative to nowhere", {"expression": "Patient.identifier | Patient.foo"}, "expression"),
    ("a computed value", {"expression": "Patient.name.exists()"}, "expression"),
    ("no rule", {"expression": "Patient.name"}, "expression"),
    ("texts and codes", {"expression": "Patient.extension('urn:x').value"}, "expression"),
    ("arithmetic", {"expression": "Patient.multipleBirth + 1"}, "expression"),
    ("an unknown function", {"expression": "Patient.descendants()"}, "expression"),
    ("a regular expression", {"expression": "Patient.name.matches('(a+)+$')"}, "expression"),
    ("itself", {"expression": "Patient.repeat(link.other)"}, "expression"),
    ("deep", {"expression": "(" * 2000 + "Patient" + ")" * 2000}, "expression"),
    ("long", {"expression": "Patient." + ".".join(["extension"] * 5000)}, "expression"),
    ("many", {"expression": " | ".join(["Patient.identifier"] * 100)}, "expression"),
    ("quotes that do not end", {"expression": "Patient.extension('urn:x).value"}, "expression"),
    ("backslashes", {"expression": "Patient.extension('\\\\\\').value" + "\\" * 900}, "expression"),
    ("nothing", {"expression": "|||"}, "expression"),
    ("phonetic", {"xpathUsage": "phonetic"}, "xpathUsage"),
    (
        "an unknown target",
        {"type": "reference", "expression": "Patient.link.other", "target": ["Nothing"]},
        "target",
    ),
]


@pytest.mark.parametrize(("changes", "element"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_a_parameter_is_refused_and_nothing_of_it_is_kept(
    fhir: Any, store: Any, changes: dict[str, Any], element: str
) -> None:
    wanted = {name: value for name, value in (definition() | changes).items() if value is not None}
    begun = time.monotonic()
    answer = fhir.put("SearchParameter/race", wanted)
    assert time.monotonic() - begun < 2
    assert answer.status in (400, 422), answer.json
    if answer.status == 422:
        assert answer.paths == [f"SearchParameter.{element}"]
        assert answer.text
    assert fhir.get("SearchParameter/race").status == 404
    assert store.parameter_states() == ()
    assert store.reindexing() == ()


def test_the_types_that_can_be_defined_are_named(fhir: Any) -> None:
    answer = fhir.put("SearchParameter/race", definition(type="composite"))
    assert answer.status == 422
    for kind in ("string", "token", "reference", "date", "number", "quantity", "uri"):
        assert kind in answer.text


def test_a_code_is_defined_once_on_a_type_and_one_transaction_may_pass_it_on(fhir: Any, work: Any) -> None:
    fhir.put("SearchParameter/race", definition())
    second = fhir.put("SearchParameter/other", definition("other"))
    assert (second.status, second.codes, second.paths) == (422, ["business-rule"], ["SearchParameter.code"])
    assert fhir.get("SearchParameter/other").status == 404
    elsewhere = definition("other", base=["Practitioner"], expression="Practitioner.identifier")
    assert fhir.put("SearchParameter/other", elsewhere).status == 201
    entries = [
        {"resource": definition("third"), "request": {"method": "PUT", "url": "SearchParameter/third"}},
        {"request": {"method": "DELETE", "url": "SearchParameter/race"}},
    ]
    passed = fhir.post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert passed.status == 200, passed.json
    work()
    fhir.put("Patient/a", race("a", "a"))
    assert ids(fhir.get("Patient?x-race=a")) == ["a"]


def test_a_transaction_may_hold_a_definition_and_what_it_finds(fhir: Any, work: Any) -> None:
    entries = [
        {"resource": definition(), "request": {"method": "PUT", "url": "SearchParameter/race"}},
        *(
            {"resource": race(f"p{n}", "a"), "request": {"method": "PUT", "url": f"Patient/p{n}"}}
            for n in range(3)
        ),
    ]
    answer = fhir.post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status == 200, answer.json
    assert fhir.get("Patient?x-race=a").codes == ["transient"]
    work()
    assert ids(fhir.get("Patient?x-race=a")) == ["p0", "p1", "p2"]


def test_more_than_the_published_limit_is_refused(
    settings: Any, store: Any, clock: Any, authorization: Any
) -> None:
    few = replace(settings, limits={**settings.limits, "custom_search_parameters": 2})
    client = create_app(few, store=store, clock=clock, log=Log("ERROR")).test_client()
    token = mint(authorization, Claims(client_id="tests", scope="system/*.cruds"), timedelta(hours=1))

    def put(id: str, **changes: Any) -> int:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
        path, wanted = f"/fhir/SearchParameter/{id}", definition(id, **changes)
        return client.put(path, json=wanted, headers=headers, base_url=ORIGIN).status_code

    two = (
        "Patient.extension('urn:x').value.ofType(Coding) | Practitioner.extension('urn:x').value.ofType(Coding)"
    )
    assert put("two", base=["Patient", "Practitioner"], expression=two) == 201
    assert put("three", code="x-three") == 422
    assert put("two", base=["Patient"]) == 200
    assert put("three", code="x-three") == 201


def test_only_who_looks_after_the_server_defines(as_token: Any, fhir: Any) -> None:
    nurse = as_token("user/*.cruds", fhir_user="Practitioner/n", role="rn")
    assert nurse.put("SearchParameter/race", definition()).status == 403
    assert nurse.put("SearchParameter/race", definition(status="draft")).status == 403
    patient = as_token("patient/*.cruds", patient="a")
    assert patient.put("SearchParameter/race", definition()).status == 403
    narrow = as_token("system/SearchParameter.cuds?status=active")
    assert narrow.put("SearchParameter/race", definition()).status == 403
    assert as_token("system/SearchParameter.cuds").put("SearchParameter/race", definition()).status == 201
    assert narrow.delete("SearchParameter/race").status == 403
    assert fhir.get("SearchParameter/race").status == 200


def test_a_granular_scope_by_such_a_parameter_reaches_nothing(fhir: Any, as_token: Any, work: Any) -> None:
    fhir.put("SearchParameter/race", definition())
    fhir.put("Patient/a", race("a", "a"))
    work()
    narrow = as_token("system/Patient.rs?x-race=a")
    assert narrow.get("Patient/a").status == 403
    assert narrow.get("Patient?x-race=a").status == 403


def test_a_reference_to_a_patient_opens_no_chart(fhir: Any, as_token: Any, work: Any) -> None:
    expression = "Basic.extension('urn:about').value.ofType(Reference)"
    changes = {"code": "x-about", "base": ["Basic"], "type": "reference", "target": ["Patient"]}
    fhir.put("SearchParameter/about", definition("about", expression=expression, **changes))
    work()
    fhir.put("Patient/a", {"resourceType": "Patient", "id": "a"})
    about = [{"url": "urn:about", "valueReference": {"reference": "Patient/a"}}]
    fhir.put("Basic/b", {"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "extension": about})
    assert ids(fhir.get("Basic?x-about=Patient/a")) == ["b"]
    own = as_token("patient/*.rs", patient="a")
    assert own.get("Basic/b").status == 404
    assert ids(own.get("Basic?x-about=Patient/a")) == []
    assert ids(own.get("Patient?_revinclude=Basic:x-about")) == ["a"]
    assert ids(fhir.get("Patient/a/Basic")) == []


def test_another_process_knows_at_once(
    fhir: Any, settings: Any, clock: Any, authorization: Any, work: Any
) -> None:
    token = mint(authorization, Claims(client_id="tests", scope="system/*.cruds"), timedelta(hours=1))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
    second = open_store(settings.database_url)
    try:
        other = create_app(settings, store=second, clock=clock, log=Log("ERROR")).test_client()
        assert (
            other.put("/fhir/Patient/a", json=race("a", "a"), headers=headers, base_url=ORIGIN).status_code
            == 201
        )
        fhir.put("SearchParameter/race", definition())
        assert other.get("/fhir/Patient?x-race=a", headers=headers, base_url=ORIGIN).status_code == 400
        assert (
            other.put("/fhir/Patient/b", json=race("b", "a"), headers=headers, base_url=ORIGIN).status_code
            == 201
        )
        assert (
            other.put("/fhir/Patient/a", json=race("a", "c"), headers=headers, base_url=ORIGIN).status_code
            == 200
        )
        work()
        assert ids(fhir.get("Patient?x-race=a")) == ["b"]
        assert ids(fhir.get("Patient?x-race=c")) == ["a"]
        fhir.delete("SearchParameter/race")
        assert other.get("/fhir/Patient?x-race=a", headers=headers, base_url=ORIGIN).status_code == 400
        assert (
            other.put("/fhir/Patient/c", json=race("c", "a"), headers=headers, base_url=ORIGIN).status_code
            == 201
        )
    finally:
        second.close()


def test_a_condition_may_be_one_of_these(fhir: Any, work: Any) -> None:
    fhir.put("SearchParameter/race", definition())
    condition = {"If_None_Exist": "x-race=urn:races|a"}
    patient = {name: value for name, value in race("x", "a").items() if name != "id"}
    early = fhir.post("Patient", patient, **condition)
    assert (early.status, early.codes) == (400, ["transient"])
    work()
    assert fhir.post("Patient", patient, **condition).status == 201
    assert fhir.post("Patient", patient, **condition).status == 200


def test_an_expression_without_an_answer_for_a_resource_selects_nothing(fhir: Any, work: Any) -> None:
    fhir.put("SearchParameter/one", definition("one", code="x-one", expression="Patient.identifier.single()"))
    work()
    two = [{"value": "1"}, {"value": "2"}]
    assert fhir.put("Patient/two", {"resourceType": "Patient", "id": "two", "identifier": two}).status == 201
    assert (
        fhir.put("Patient/one", {"resourceType": "Patient", "id": "one", "identifier": two[:1]}).status == 201
    )
    assert ids(fhir.get("Patient?x-one=1")) == ["one"]


def test_the_doctor_and_the_console_tell_how_far_it_is(
    fhir: Any, work: Any, settings: Any, clock: Any, sign_in: Any
) -> None:
    def doctor() -> list[tuple[str, str]]:
        findings, _ = diagnose_database(settings, clock())
        return [(row["level"], row["finding"]) for row in findings if row["check"] == "search parameter"]

    browser = sign_in("engineer")

    def console() -> str:
        return str(browser.get("/console/queue", base_url=ORIGIN).text)

    assert doctor() == []
    fhir.put("Patient/a", race("a", "a"))
    fhir.put("SearchParameter/race", definition())
    ((level, said),) = doctor()
    assert level == "warning"
    assert "x-race of Patient" in said
    assert "Search parameters not ready" in console()
    assert "Patient x-race" in console()
    work()
    assert [level for level, _ in doctor()] == ["ok"]
    assert "Search parameters not ready" not in console()
