"""Scopes of some categories show those and nothing else, whichever way resources come along: line G4.

Source:
hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#finer-grained-resource-constraints-using-search-parameters
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asking.bodies import bundle, local
from asking.client import Fhir
from asking.ward import OBSERVATION, Sight, Ward, category


def line(id: str, what: str) -> Any:
    return pytest.mark.requirement(id, what)


@line("G4-vread", "no version of it can be read")
def test_versions(sight: Sight) -> None:
    for name in sight.categories:
        for one in sight.shown(name):
            assert sight.own.get(f"{local(one)}/_history/1").json() == one
        for one in sight.hidden(name):
            assert sight.own.get(f"{local(one)}/_history/1").status_code == 404


@line("G4-history", "no history shows it: of the resource, of the type, of the system")
def test_histories(sight: Sight) -> None:
    for name in sight.categories:
        for one in sight.hidden(name):
            answer = sight.own.get(f"{local(one)}/_history")
            assert answer.status_code == 404 or answer.json().get("entry", []) == []
        answer = sight.own.get(f"{name}/_history?_count=100")
        assert answer.status_code == 200
        ids = {entry["fullUrl"].rsplit("/", 1)[1] for entry in answer.json().get("entry", ())}
        assert ids == sight.seen(name)
        sight.none_hidden(answer.text)
    sight.none_hidden(sight.own.get("_history?_count=200").text)


@line("G4-include", "_include brings what is of the categories alone")
@pytest.mark.parametrize(
    "query", ["DiagnosticReport?_include=DiagnosticReport:result", "List?_include=List:item", "List?_include=*"]
)
def test_includes(sight: Sight, query: str) -> None:
    told = sight.told(f"{query}&patient={sight.chart.patient}")
    for name in sight.categories:
        found = {key.partition("/")[2] for key in told if key.startswith(f"{name}/")}
        assert found in (sight.seen(name), set())
    assert any(key.startswith("Observation/") for key in told)


@line("G4-revinclude", "_revinclude brings what is of the categories alone")
def test_reverse_includes(sight: Sight) -> None:
    told = sight.told(
        f"Encounter?patient={sight.chart.patient}&_revinclude=Observation:encounter&_revinclude=Condition:encounter"
    )
    for name in sight.categories:
        assert {key.partition("/")[2] for key in told if key.startswith(f"{name}/")} == sight.seen(name)


@line("G4-iterate", ":iterate goes no way through what is hidden")
def test_iterated_includes(sight: Sight) -> None:
    own = sight.chart.of["Observation"]
    derived = {one["id"]: [ref["reference"] for ref in one.get("derivedFrom", ())] for one in own}
    for one in sight.shown("Observation"):
        reached, waiting = {local(one)}, [one["id"]]
        while waiting:
            for reference in derived[waiting.pop()]:
                id = reference.partition("/")[2]
                if id in sight.seen("Observation") and reference not in reached:
                    reached.add(reference)
                    waiting.append(id)
        query = f"Observation?_id={one['id']}&_include=Observation:derived-from"
        assert sight.told(f"{query}&_include:iterate=Observation:derived-from") == reached


@line("G4-chain", "a chain does not find by what is hidden")
def test_chains(sight: Sight) -> None:
    patient = sight.chart.patient
    for one in sight.chart.of["Observation"]:
        code = one["code"]["coding"][0]["code"]
        found = sight.own.get(f"DiagnosticReport?patient={patient}&result.code={code}").json()["total"]
        assert found == int(sight.sees(one))
        found = sight.own.get(f"List?patient={patient}&item:Observation.code={code}").json()["total"]
        assert found == int(sight.sees(one))


@line("G4-has", "_has does not find by what is hidden")
def test_reverse_chains(sight: Sight) -> None:
    for name in sight.categories:
        for one in sight.chart.of[name]:
            code = one["code"]["coding"][0]["code"]
            for query in (
                f"Patient?_id={sight.chart.patient}&_has:{name}:patient:code={code}",
                f"Encounter?patient={sight.chart.patient}&_has:{name}:encounter:code={code}",
            ):
                assert sight.own.get(query).json()["total"] == int(sight.sees(one)), query


@line("G4-has-not", "nor does a negation or :missing behind a chain tell of it")
def test_negations(sight: Sight) -> None:
    patient = sight.chart.patient
    hidden = [one["code"]["coding"][0]["code"] for one in sight.hidden("Observation")]
    for code in hidden:
        found = sight.own.get(f"Observation?patient={patient}&code:not={code}").json()["total"]
        assert found == len(sight.seen("Observation"))
        assert sight.own.get(f"List?patient={patient}&item:Observation.code:not={code}").json()["total"] == 1


@line("G4-sort", "sorted pages leave no gap where something is hidden")
@pytest.mark.parametrize("sort", ["date", "-date", "_id", "-_lastUpdated"])
def test_sorted_pages(sight: Sight, sort: str) -> None:
    query = f"Observation?patient={sight.chart.patient}&_sort={sort}&_count=1"
    found = [one["id"] for one in sight.own.matches(query)]
    whole = [one["id"] for one in sight.chart.fhir.matches(query)]
    assert found == [id for id in whole if id in sight.seen("Observation")]


@line("G4-compartment", "searches of a compartment and of all types show what is of the categories alone")
def test_compartments(sight: Sight) -> None:
    for name in sight.categories:
        found = {one["id"] for one in sight.own.matches(f"Patient/{sight.chart.patient}/{name}")}
        assert found == sight.seen(name)
    for query in (f"Patient/{sight.chart.patient}/*?_count=100", "?_type=Observation,Condition&_count=100"):
        told = sight.told(query)
        for name in sight.categories:
            assert {key.partition("/")[2] for key in told if key.startswith(f"{name}/")} == sight.seen(name)


def entries(sight: Sight) -> tuple[list[str], list[str]]:
    """What may be read, and what may not."""
    shown = [local(one) for name in sight.categories for one in sight.shown(name)]
    return shown, [local(one) for name in sight.categories for one in sight.hidden(name)]


@line("G4-batch", "entries of a batch are answered as requests of their own")
def test_batch(sight: Sight) -> None:
    shown, hidden = entries(sight)
    answers = sight.own.reads([*shown, *hidden, f"Observation?patient={sight.chart.patient}"])
    statuses = [answer["response"]["status"][:3] for answer in answers[:-1]]
    assert statuses == ["200"] * len(shown) + ["404"] * len(hidden)
    assert answers[-1]["resource"]["total"] == len(sight.seen("Observation"))


@line("G4-transaction", "so are those of a transaction")
def test_transaction(sight: Sight) -> None:
    shown, hidden = entries(sight)

    def ask(urls: list[str]) -> Any:
        asked = [{"request": {"method": "GET", "url": url}} for url in urls]
        return sight.own.post("", bundle("transaction", *asked))

    answer = ask([*shown, f"Condition?patient={sight.chart.patient}"])
    assert answer.status_code == 200
    assert answer.json()["entry"][-1]["resource"]["total"] == len(sight.seen("Condition"))
    sight.none_hidden(answer.text)
    for url in hidden:
        refused = ask([url])
        assert refused.status_code == 404 or refused.json()["entry"][0]["response"]["status"].startswith("404")
        sight.none_hidden(refused.text)


@line("G4-everything", "$everything leaves it out")
def test_everything(sight: Sight) -> None:
    told = sight.told(f"Patient/{sight.chart.patient}/$everything?_count=50")
    for name in sight.categories:
        assert {key.partition("/")[2] for key in told if key.startswith(f"{name}/")} == sight.seen(name)
    for encounter in sight.chart.of["Encounter"]:
        sight.none_hidden(sight.own.get(f"{local(encounter)}/$everything").text)


@line("G4-lastn", "$lastn leaves it out")
def test_last_observations(sight: Sight) -> None:
    categories = ",".join(category(one)[1] for one in sight.chart.of["Observation"])
    answer = sight.own.get(f"Observation/$lastn?patient={sight.chart.patient}&max=3&category={categories}")
    assert answer.status_code == 200, answer.text
    found = {e["resource"]["id"] for e in answer.json()["entry"] if e["search"]["mode"] == "match"}
    assert found == sight.seen("Observation")


@line("G4-meta", "$meta tells nothing of it")
def test_meta(sight: Sight) -> None:
    for name in sight.categories:
        assert sight.own.get(f"{local(sight.shown(name)[0])}/$meta").status_code == 200
        for one in sight.hidden(name):
            assert sight.own.get(f"{local(one)}/$meta").status_code == 404


@line("G4-match", "$match never finds whom the scope leaves out")
def test_match(ward: Ward, mint: Callable[..., str]) -> None:
    asked = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "resource", "resource": PERSON | {"name": [{"family": ward.fhir.run, "given": ["Ann"]}]}}
        ],
    }
    for gender in ("female", "male"):
        name = [{"family": ward.fhir.run, "given": ["Ann"]}]
        ward.fhir.create(PERSON | {"name": name, "gender": gender})
    own = Fhir(ward.fhir.base, mint("system/Patient.rs?gender=female"), ward.fhir.run)
    everyone, found = (who.post("Patient/$match", asked) for who in (ward.fhir, own))
    assert {e["resource"]["gender"] for e in everyone.json()["entry"] if "gender" in e["resource"]} == {
        "male",
        "female",
    }
    assert {e["resource"]["gender"] for e in found.json()["entry"] if "gender" in e["resource"]} == {"female"}


PERSON: dict[str, Any] = {"resourceType": "Patient", "birthDate": "1941-02-03"}


@line("G4-write", "what the scope leaves out is neither written nor found by a conditional write")
def test_conditional_writes(ward: Ward, mint: Callable[..., str]) -> None:
    scopes = [f"patient/Observation.cruds?category={OBSERVATION}|laboratory", "patient/Patient.rs"]
    own = Fhir(ward.fhir.base, mint(" ".join(scopes), "--patient", ward.patient), ward.fhir.run)
    laboratory = next(one for one in ward.of["Observation"] if category(one)[1] == "laboratory")
    vital = next(one for one in ward.of["Observation"] if category(one)[1] == "vital-signs")
    content = {name: part for name, part in laboratory.items() if name not in ("id", "meta")}
    other = {name: part for name, part in vital.items() if name not in ("id", "meta")}

    assert own.post("Observation", other).status_code == 403
    assert own.put(local(vital), vital | {"status": "amended"}).status_code in (403, 404)
    assert own.put(local(laboratory), laboratory | {"category": vital["category"]}).status_code == 403
    assert own.ask("DELETE", local(vital)).status_code in (204, 403, 404)
    code = vital["code"]["coding"][0]["code"]
    deleted = own.ask("DELETE", f"Observation?code={code}")
    nothing = own.ask("DELETE", "Observation?code=nothing-has-this-code")
    assert (deleted.status_code, deleted.content) == (nothing.status_code, nothing.content)
    assert own.put(f"Observation?code={code}", other | {"status": "amended"}).status_code == 403
    created = own.post("Observation", content, If_None_Exist=f"code={code}")
    assert created.status_code == 201, "what is hidden does not fulfil a condition"
    assert ward.fhir.ask("DELETE", local(created.json())).status_code == 204
    assert ward.fhir.get(local(vital)).json() == vital
    assert ward.fhir.get(local(laboratory)).json() == laboratory
