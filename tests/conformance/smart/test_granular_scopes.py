"""Scopes of some categories show those and nothing else, whichever way resources are asked for: lines G1-G4.

Two sets of scopes, as the test kit of US Core has them, and a chart that holds every category. What a token
should be told is worked out here from what was stored. Source:
hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#finer-grained-resource-constraints-using-search-parameters
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from asking.bodies import bundle, local
from asking.client import Fhir

CONDITION = "http://terminology.hl7.org/CodeSystem/condition-category"
US_CONDITION = "http://hl7.org/fhir/us/core/CodeSystem/condition-category"
OBSERVATION = "http://terminology.hl7.org/CodeSystem/observation-category"
US_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"
LOINC = "http://loinc.org"

Category = tuple[str, str]
SETS: dict[str, dict[str, tuple[Category, ...]]] = {
    "1": {
        "Condition": ((CONDITION, "encounter-diagnosis"), (US_CONDITION, "health-concern")),
        "Observation": ((OBSERVATION, "laboratory"), (OBSERVATION, "social-history")),
    },
    "2": {
        "Condition": ((CONDITION, "problem-list-item"),),
        "Observation": ((OBSERVATION, "vital-signs"), (OBSERVATION, "survey"), (US_CATEGORY, "sdoh")),
    },
}
OTHERS = ("Patient", "Encounter", "DiagnosticReport", "Provenance", "List", "CarePlan", "Goal", "Practitioner")


def line(id: str, what: str) -> Any:
    return pytest.mark.requirement(id, what)


def category(resource: dict[str, Any]) -> Category:
    (coding,) = resource["category"][0]["coding"]
    return coding["system"], coding["code"]


@dataclass(slots=True)
class Sight:
    """What one set of scopes should show of the chart. own: requests with a token of that set."""

    chart: Ward
    own: Fhir
    categories: dict[str, tuple[Category, ...]]

    def sees(self, resource: dict[str, Any]) -> bool:
        wanted = self.categories.get(resource["resourceType"])
        return wanted is None or category(resource) in wanted

    def seen(self, name: str) -> set[str]:
        """The ids of what is shown of a type."""
        return {one["id"] for one in self.chart.of[name] if self.sees(one)}

    def hidden(self, name: str) -> list[dict[str, Any]]:
        found = [one for one in self.chart.of[name] if not self.sees(one)]
        assert found, "a test that hides nothing shows nothing"
        return found

    def shown(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.chart.of[name] if self.sees(one)]

    def told(self, query: str) -> set[str]:
        """Type/id of everything a search answers with, matches and others."""
        return {local(entry["resource"]) for entry in self.own.all(query)}

    def none_hidden(self, text: str) -> None:
        """That an answer holds nothing hidden: neither an id as a resource's own nor any content."""
        for name in self.categories:
            for one in self.hidden(name):
                assert f'"id":"{one["id"]}"' not in text.replace('": "', '":"')
                assert one["code"]["text"] not in text


@dataclass(slots=True)
class Ward:
    """What was stored. of: type -> resources. patient: id."""

    fhir: Fhir
    patient: str
    of: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="session")
def ward(fhir: Fhir) -> Ward:
    """A chart with Conditions and Observations of every category, and what refers to them and is referred
    to."""
    of: dict[str, list[dict[str, Any]]] = {}

    def made(resource: dict[str, Any]) -> dict[str, Any]:
        stored = fhir.create(resource)
        of.setdefault(stored["resourceType"], []).append(stored)
        return stored

    patient = made({"resourceType": "Patient", "name": [{"family": f"Granular{fhir.run}"}]})
    subject = {"reference": f"Patient/{patient['id']}"}
    encounters = [
        made(
            {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "subject": subject,
            }
        )
        for _ in range(9)
    ]
    number = 0
    for system, code in [one for each in SETS.values() for one in each["Condition"]]:
        number += 1
        made(
            {
                "resourceType": "Condition",
                "category": [{"coding": [{"system": system, "code": code}]}],
                "code": {"coding": [{"system": LOINC, "code": f"c-{code}"}], "text": f"Condition of {code}"},
                "subject": subject,
                "encounter": {"reference": local(encounters[number])},
                "recordedDate": f"2024-01-0{number}",
            }
        )
    for system, code in [one for each in SETS.values() for one in each["Observation"]]:
        number += 1
        before = of.get("Observation", [])
        made(
            {
                "resourceType": "Observation",
                "status": "final",
                "category": [{"coding": [{"system": system, "code": code}]}],
                "code": {"coding": [{"system": LOINC, "code": f"o-{code}"}], "text": f"Observation of {code}"},
                "subject": subject,
                "encounter": {"reference": local(encounters[number])},
                "effectiveDateTime": f"2024-02-0{number}",
                "derivedFrom": [{"reference": local(one)} for one in before[-1:]],
            }
        )
    both = [*of["Condition"], *of["Observation"]]
    made(
        {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "code": {"text": "all"},
            "subject": subject,
            "result": [{"reference": local(one)} for one in of["Observation"]],
        }
    )
    made(
        {
            "resourceType": "List",
            "status": "current",
            "mode": "working",
            "subject": subject,
            "entry": [{"item": {"reference": local(one)}} for one in both],
        }
    )
    made(
        {
            "resourceType": "Provenance",
            "target": [{"reference": local(one)} for one in [patient, *both]],
            "recorded": "2024-03-01T00:00:00Z",
            "agent": [{"who": {"display": "Synthetic"}}],
        }
    )
    for one in of["Condition"]:
        made(
            {
                "resourceType": "CarePlan",
                "status": "active",
                "intent": "plan",
                "subject": subject,
                "addresses": [{"reference": local(one)}],
            }
        )
    return Ward(fhir, patient["id"], of)


@pytest.fixture(scope="session", params=sorted(SETS), ids="set {}".format)
def sight(request: pytest.FixtureRequest, ward: Ward, mint: Callable[..., str]) -> Sight:
    categories = SETS[request.param]
    scopes = [f"patient/{name}.rs" for name in OTHERS]
    for name, wanted in categories.items():
        scopes += [f"patient/{name}.rs?category={system}|{code}" for system, code in wanted]
    token = mint(" ".join(scopes), "--patient", ward.patient)
    return Sight(ward, Fhir(ward.fhir.base, token, ward.fhir.run), categories)


@line("G1", "scopes of categories can be registered, granted, and are told as they were asked")
def test_granted(register: Callable[..., Any], person: Any, chart: Any, symmetric: Any) -> None:
    asked = [f"patient/{n}.rs?category={s}|{c}" for n, wanted in SETS["1"].items() for s, c in wanted]
    app = register("public", "launch/patient patient/Patient.rs patient/Condition.rs patient/Observation.rs")
    told = app.launched(person, " ".join(["launch/patient", "patient/Patient.rs", *asked]), chart.chosen)
    assert {*asked} <= {*told["scope"].split()}
    assert not {"patient/Condition.rs", "patient/Observation.rs", "patient/*.rs"} & {*told["scope"].split()}
    answer = app.get(f"Observation?patient={chart.patient}", told["access_token"])
    shown = {entry["resource"]["code"]["text"] for entry in answer.json()["entry"]}
    assert shown == {"laboratory", "social-history"}
    found = symmetric.post("introspection_endpoint", {"token": told["access_token"]}).json()
    assert {*found["scope"].split()} == {*told["scope"].split()}


SEARCHES = (
    "patient={}",
    "subject=Patient/{}",
    "patient={}&_sort=-_lastUpdated",
    "patient={}&_count=1",
    "patient={}&_id=IDS",
    "_id=IDS",
    "patient={}&category=CODES",
    "patient={}&category:not=nothing",
    "patient={}&encounter:missing=false",
    "patient:Patient={}&_elements=code",
    "patient={}&code:missing=false&_total=accurate",
)


@line("G2", "every search finds exactly what is of the categories, no more and no less")
@pytest.mark.parametrize("query", SEARCHES)
@pytest.mark.parametrize("name", ["Condition", "Observation"])
@pytest.mark.parametrize("post", [False, True], ids=["GET", "POST _search"])
def test_searches(sight: Sight, name: str, query: str, post: bool) -> None:
    everything = sight.chart.of[name]
    ids = ",".join(one["id"] for one in everything)
    codes = ",".join(category(one)[1] for one in everything)
    text = query.format(sight.chart.patient).replace("IDS", ids).replace("CODES", codes)
    if post and "_count" not in query:
        bundle_ = sight.own.form(f"{name}/_search", text)
        assert bundle_.status_code == 200, bundle_.text
        found = {entry["resource"]["id"] for entry in bundle_.json().get("entry", ())}
    else:
        found = {one["id"] for one in sight.own.matches(f"{name}?{text}")}
    assert found == sight.seen(name)
    assert {one["id"] for one in sight.chart.fhir.matches(f"{name}?{text}")} == {
        one["id"] for one in everything
    }


@line("G2-total", "a total counts what is of the categories alone")
@pytest.mark.parametrize("shape", ["_summary=count", "_total=accurate&_count=1", "_count=0"])
def test_totals(sight: Sight, shape: str) -> None:
    for name in sight.categories:
        answer = sight.own.get(f"{name}?patient={sight.chart.patient}&{shape}").json()
        assert answer["total"] == len(sight.seen(name)) < len(sight.chart.of[name])


@line("G2-hidden", "a search for what is hidden answers as if there were nothing of it")
def test_search_for_what_is_hidden(sight: Sight) -> None:
    for name in sight.categories:
        for one in sight.hidden(name):
            system, code = category(one)
            for query in (
                f"category={quote(f'{system}|{code}')}",
                f"_id={one['id']}",
                f"code={one['code']['coding'][0]['code']}",
                f"encounter={one['encounter']['reference']}",
            ):
                answer = sight.own.get(f"{name}?patient={sight.chart.patient}&{query}").json()
                assert (answer["total"], answer.get("entry", [])) == (0, []), query


@line("G3-match", "what is of the categories can be read")
def test_read_of_what_matches(sight: Sight) -> None:
    for name in sight.categories:
        for one in sight.shown(name):
            answer = sight.own.get(local(one))
            assert (answer.status_code, answer.json()) == (200, one)


@line("G3-other", "what is not cannot be read, and the answer is that to an id that nobody has")
def test_read_of_what_does_not(sight: Sight) -> None:
    for name in sight.categories:
        nobody = sight.own.get(f"{name}/nobody-has-this-id")
        for one in sight.hidden(name):
            answer = sight.own.get(local(one))
            assert answer.status_code == nobody.status_code == 404
            assert answer.json()["resourceType"] == "OperationOutcome"
            assert answer.json()["issue"] == nobody.json()["issue"]
            assert "ETag" not in answer.headers


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
