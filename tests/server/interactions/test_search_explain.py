"""`_explain=true`: how a search is answered, for those who look after the server and see all that it speaks of.

It holds names, numbers, SQL with placeholders and the steps of plans; no value, neither asked nor stored.
"""

from __future__ import annotations

import pytest


@pytest.fixture
def engineer(as_token):
    """An engineer signed in at some app."""
    return as_token("user/*.rs", fhir_user="Practitioner/engineer", role="engineer")


@pytest.fixture
def chart(fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    for number in range(3):
        fhir.put(f"Observation/o{number}", build.observation("Patient/p1", id=f"o{number}"))


def parts(parameters, name):
    return [one["part"] for one in parameters if one["name"] == name]


def values(part, name):
    return [value for one in part if one["name"] == name for key, value in one.items() if key != "name"]


def test_it_tells_what_was_understood_what_drove_it_and_what_ran(engineer, chart):
    answer = engineer.get(
        "Observation?patient=p1&status=final&_sort=-date&_include=Observation:patient&_explain=true"
    )

    assert answer.status == 200
    assert answer.json["resourceType"] == "Parameters"
    (searched,) = parts(answer.json["parameter"], "searched")
    assert (values(searched, "type"), values(searched, "way")) == (["Observation"], ["driven"])
    assert values(searched, "condition") == ["patient (reference, 1 value)", "status (token, 1 value)"]
    lists = parts(searched, "list")
    assert {values(one, "of")[0] for one in lists} == {
        "patient (reference, 1 value)",
        "status (token, 1 value)",
    }
    assert [values(one, "length") for one in lists if values(one, "chosen") == [True]] == [[3]]
    statements = parts(answer.json["parameter"], "statement")
    assert len(statements) >= 2
    for statement in statements:
        (sql,) = values(statement, "sql")
        assert sql.startswith("SELECT")
        assert values(statement, "plan")
        assert values(statement, "milliseconds")[0] >= 0


@pytest.mark.parametrize(
    "query", ["family=Testfall", "name:contains=estfa", "_has:Observation:patient:code=8480-6"]
)
def test_it_holds_no_value(engineer, chart, query):
    answer = engineer.get(f"Patient?{query}&_explain=true")
    assert answer.status == 200
    assert b"estfa" not in answer.body
    assert b"8480-6" not in answer.body


def test_several_types_are_explained_one_by_one(engineer, chart):
    parameters = engineer.get("Patient/p1/*?_type=Observation,Patient&_explain=true").json["parameter"]
    searched = parts(parameters, "searched")
    assert [values(one, "type") for one in searched] == [["Observation"], ["Patient"]]
    assert values(searched[0], "condition") == ["in the Patient compartment, by subject or performer"]


def test_the_console_is_what_it_is_for_and_others_are_refused(fhir, as_token, chart):
    refused = [
        fhir,  # a client without a role, whatever it may see
        as_token("user/*.rs", fhir_user="Practitioner/nurse", role="rn"),
        as_token("patient/*.rs", fhir_user="Practitioner/engineer", role="engineer", patient="p1"),
        as_token("user/Observation.rs", fhir_user="Practitioner/engineer", role="engineer"),
    ]
    for caller in refused:
        answer = caller.get("Observation?patient.family=x&_explain=true")
        assert (answer.status, answer.codes) == (403, ["forbidden"])


@pytest.mark.parametrize("value", ["yes", "", "true&_explain=true"])
def test_it_is_true_or_false_and_given_once(engineer, chart, value):
    answer = engineer.get(f"Observation?_explain={value}")
    assert (answer.status, answer.codes, answer.paths) == (400, ["value"], ["http._explain"])


def test_false_changes_nothing_but_the_search_itself(engineer, chart):
    assert engineer.get("Observation?_explain=false").json["total"] == 3


def test_a_search_that_is_wrong_is_refused_as_ever(engineer):
    assert engineer.get("Observation?colour=red&_explain=true").status == 400
