"""Nothing hidden is shown by any row source: random charts, and a filter in Python as the second opinion.

Tokens of one patient see its compartment; staff whose role reaches related charts see those that the filter's
own reading of CareTeam, EpisodeOfCare, Task, Encounter, Patient and PractitionerRole relates to them. Covers
docs/decisions/0005-access-in-sql.md, docs/explanation/access.md,
hl7.org/fhir/R4/compartmentdefinition-patient.html and
hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html. All patients are synthetic.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest

from server.policy.roles import read_policy, use

Json = dict[str, Any]
Key = tuple[str, str]

PATIENTS = ("a", "b", "c")
# Elements that put a resource into a patient's chart; types that a reference opens; types that nothing opens.
COMPARTMENT = {
    "Patient": ("link",),
    "Observation": ("subject", "performer"),
    "Encounter": ("subject",),
    "MedicationRequest": ("subject",),
    "List": ("subject", "source"),
    "Group": ("member",),
    "Provenance": ("target",),
    "Basic": ("subject",),
    "CareTeam": ("subject",),
    "EpisodeOfCare": ("patient",),
    "Task": ("for",),
}
OPEN = ("Practitioner", "Organization", "Medication", "PractitionerRole")
CLOSED = ("Bundle", "Binary", "GuidanceResponse")
TYPES = (*COMPARTMENT, *OPEN, *CLOSED)
BASE = "http://127.0.0.1:8000/fhir"


class World:
    """Resources by key: every version's content (None: deleted) and its charts, as Python knows them."""

    def __init__(self, fhir: Any, seed: int) -> None:
        self.fhir, self.random = fhir, random.Random(seed)
        self.versions: dict[Key, list[tuple[Json | None, frozenset[str]]]] = {}
        for patient in PATIENTS:
            self.put(self.made("Patient", patient))
        for resource_type in (*OPEN, *CLOSED):
            for number in range(2):
                self.put(self.made(resource_type, f"{resource_type.lower()}{number}"))
        for _ in range(60):
            self.change()

    def change(self) -> None:
        kind = self.random.choice([*TYPES[1:], "Observation", "Observation"])
        key = (kind, f"{kind.lower()}{self.random.randrange(4)}")
        content, charts = self.versions.get(key, [(None, frozenset())])[-1]
        chance = self.random.random()
        if content is not None and chance < 0.2:
            assert self.fhir.delete("/".join(key), **self.if_match(key)).status == 204
            self.versions[key].append((None, charts))
        elif content is not None and chance < 0.5:  # in the same charts
            self.put(content | {"implicitRules": f"http://example.org/{chance}"})
        else:
            self.put(self.made(*key))

    def put(self, resource: Json) -> None:
        key = (resource["resourceType"], resource["id"])
        before = self.versions.setdefault(key, [])
        answer = self.fhir.put("/".join(key), resource, **self.if_match(key))
        assert answer.status in (200, 201), answer.body
        if answer.headers["ETag"] != f'W/"{len(before)}"':  # identical content makes no version
            before.append((resource, charts_of(resource)))

    def if_match(self, key: Key) -> dict[str, str]:
        """The header without which an existing resource of this type is not written."""
        versions = self.versions.get(key, [])
        there = bool(versions) and versions[-1][0] is not None
        shared = key[0] in ("List", "EpisodeOfCare", "Task")
        return {"If_Match": f'W/"{len(versions)}"'} if there and shared else {}

    def made(self, kind: str, id: str) -> Json:
        made: Json = {"resourceType": kind, "id": id} | MAKERS[kind](self)
        if kind not in ("Patient", *CLOSED) and self.random.random() < 0.3:
            made["extension"] = [{"url": "http://example.org/about", "valueReference": self.anything()}]
        return made

    def patient(self) -> Json:
        """A reference to a patient in any of its forms; the last three put nothing into a chart."""
        id = self.random.choice(PATIENTS)
        forms = (
            "Patient/{}",
            "Patient/{}",
            f"{BASE}/Patient/{{}}",
            "Patient/{}/_history/1",
            "http://x.org/Patient/{}",
        )
        return {"reference": self.random.choice(forms).format(id)}

    def anything(self) -> Json:
        kind = self.random.choice(TYPES)
        number = (
            self.random.choice(PATIENTS) if kind == "Patient" else f"{kind.lower()}{self.random.randrange(4)}"
        )
        return {"reference": f"{kind}/{number}"}

    def one_of(self, kind: str) -> Json:
        return {"reference": f"{kind}/{kind.lower()}{self.random.randrange(2)}"}

    def actor(self) -> Json:
        return self.one_of(
            self.random.choice(["Practitioner", "Practitioner", "Organization", "PractitionerRole"])
        )

    def period(self) -> Json:
        """Over, current, without an end, or to come; seen from the tests' clock, 17 May 2024."""
        return self.random.choice(
            [
                {"end": "2024-01-31"},
                {"start": "2024-01", "end": "2024-06-30"},
                {"start": "2024"},
                {"start": "2025"},
            ]
        )

    def sometimes(self, **elements: Any) -> Json:
        return elements if self.random.random() < 0.5 else {}


MAKERS: dict[str, Callable[[World], Json]] = {
    "Patient": lambda w: (
        {"name": [{"family": f"Synthetic{w.random.randrange(3)}"}]}
        | w.sometimes(generalPractitioner=[w.actor()])
        | w.sometimes(active=w.random.random() < 0.7)
    ),
    "Observation": lambda w: {
        "status": w.random.choice(["final", "preliminary"]),
        "code": {"coding": [{"system": "http://loinc.org", "code": w.random.choice(["2160-0", "718-7"])}]},
        "subject": w.patient(),
        "performer": [w.random.choice([w.one_of("Practitioner"), w.patient()])],
        "encounter": w.one_of("Encounter"),
    },
    "Encounter": lambda w: (
        {
            "status": w.random.choice(["finished", "in-progress", "cancelled"]),
            "class": {"code": "IMP"},
            "subject": w.patient(),
            "serviceProvider": w.one_of("Organization"),
        }
        | w.sometimes(participant=[{"individual": w.one_of("Practitioner")}])
        | w.sometimes(period={"end": w.random.choice(["2024-03-01", "2024-05-01"])})
    ),
    "CareTeam": lambda w: (
        {"participant": [{"member": w.actor()} | w.sometimes(period=w.period()) for _ in "12"]}
        | w.sometimes(subject=w.patient())
        | w.sometimes(status=w.random.choice(["active", "inactive"]))
        | w.sometimes(period=w.period())
    ),
    "EpisodeOfCare": lambda w: (
        {"status": "active", "patient": w.patient()}
        | w.sometimes(careManager=w.one_of("Practitioner"))
        | w.sometimes(team=[{"reference": f"CareTeam/careteam{w.random.randrange(4)}"}])
        | w.sometimes(managingOrganization=w.one_of("Organization"))
        | w.sometimes(period=w.period())
    ),
    "Task": lambda w: (
        {"status": w.random.choice(["requested", "completed"]), "intent": "order", "for": w.patient()}
        | w.sometimes(owner=w.actor())
    ),
    "PractitionerRole": lambda w: (
        {"practitioner": w.one_of("Practitioner")}
        | w.sometimes(organization=w.one_of("Organization"))
        | w.sometimes(active=w.random.random() < 0.7)
        | w.sometimes(period=w.period())
    ),
    "MedicationRequest": lambda w: {
        "status": "active",
        "intent": "order",
        "subject": w.patient(),
        "medicationReference": w.one_of("Medication"),
        "requester": w.one_of("Practitioner"),
    },
    "List": lambda w: {
        "status": "current",
        "mode": "working",
        "subject": w.patient(),
        "source": w.random.choice([w.one_of("Practitioner"), w.patient()]),
        "entry": [{"item": w.anything()}],
    },
    "Group": lambda w: {"type": "person", "actual": True, "member": [{"entity": w.patient()} for _ in "12"]},
    "Provenance": lambda w: {
        "target": [w.anything(), w.patient()],
        "recorded": "2024-01-01T00:00:00Z",
        "agent": [{"who": w.one_of("Practitioner")}],
    },
    "Basic": lambda w: {"code": {"text": "note"}, "subject": w.anything()},
    "Practitioner": lambda w: {"name": [{"family": f"Staff{w.random.randrange(3)}"}]},
    "Organization": lambda w: {"name": f"Place{w.random.randrange(3)}"},
    "Medication": lambda w: {"status": w.random.choice(["active", "inactive"])},
    "Bundle": lambda w: {"type": "collection", "timestamp": f"202{w.random.randrange(5)}-01-01T00:00:00Z"},
    "Binary": lambda w: {"contentType": "text/plain", "data": w.random.choice(["aGVsbG8=", "aGk="])},
    "GuidanceResponse": lambda w: {"status": "success", "moduleUri": "http://x.org/m", "subject": w.patient()},
}


def references(value: Any) -> Iterator[str]:
    """`Type/id` of every reference to this server anywhere below a value."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "reference" and isinstance(item, str):
                local = item.removeprefix(f"{BASE}/")
                if "://" not in local:
                    yield "/".join(local.split("/")[:2])
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def charts_of(resource: Json) -> frozenset[str]:
    kind = resource["resourceType"]
    own = {resource["id"]} if kind == "Patient" else set()
    for element in COMPARTMENT.get(kind, ()):
        own |= {
            each.removeprefix("Patient/") for each in references(resource.get(element)) if "Patient/" in each
        }
    return frozenset(own)


class Eye:
    """What a token should see. seen: whether a rule with a patient shows this content, now or as it was."""

    def __init__(
        self,
        world: World,
        scope: str,
        claims: Json,
        seen: Callable[[Json], bool],
        *,
        only_current: bool = False,
        charts: frozenset[str] | None = None,
    ) -> None:
        self.world, self.scope, self.claims = world, scope, claims
        self._seen, self._only_current = seen, only_current
        self.charts = frozenset({claims["patient"]}) if charts is None else charts
        self._staff = charts is not None  # to whom everything of nobody's chart is open
        self.open_now = {
            target
            for key, versions in world.versions.items()
            if key[0] in COMPARTMENT and versions[-1][0] is not None and self.shown(key)
            for target in references(versions[-1][0])
        }

    def shown(self, key: Key) -> list[int]:
        """The version numbers that are shown."""
        versions = self.world.versions.get(key, [])
        if key[0] in OPEN and (self._staff or "/".join(key) in self.open_now):
            return list(range(1, len(versions) + 1))
        if key[0] not in COMPARTMENT or not versions or not self.charts & versions[-1][1]:
            return []
        content, charts = versions[-1]
        if self._only_current:
            return [len(versions)] if content is not None and self._seen(content) else []
        first = len(versions)
        while first > 1 and versions[first - 2][1] == charts:
            first -= 1
        return list(range(first, len(versions) + 1))

    def current(self, kind: str) -> dict[str, Json]:
        """What a search of a type may find."""
        return {
            key[1]: versions[-1][0]
            for key, versions in self.world.versions.items()
            if key[0] == kind and versions[-1][0] is not None and self.shown(key)
        }


def in_force(period: Json) -> bool:
    """On 17 May 2024, which none of the periods above begins or ends on."""
    return period.get("start", "") <= "2024-05-17" <= period.get("end", "9999")


class Related:
    """Who is related to whose chart, read from the contents as the standard words them."""

    def __init__(self, world: World, user: str, *, organizations: bool) -> None:
        self.now = {key: versions[-1][0] for key, versions in world.versions.items() if versions[-1][0]}
        self.parties = {user}
        for role in self.of("PractitionerRole"):
            if user in references(role["practitioner"]) and role.get("active", True) and self.stands(role):
                self.parties.add(f"PractitionerRole/{role['id']}")
                if organizations:
                    self.parties |= set(references(role.get("organization")))
        teams = [team for team in self.of("CareTeam") if "subject" not in team and self.is_active(team)]
        self.parties |= {f"CareTeam/{team['id']}" for team in teams if self.members(team) & self.parties}
        self.charts = frozenset(
            chart.removeprefix("Patient/")
            for chart, actors in self.said()
            if chart.startswith("Patient/") and actors & self.parties
        )

    def of(self, kind: str) -> list[Json]:
        return [content for key, content in self.now.items() if key[0] == kind]

    def stands(self, content: Json) -> bool:
        return in_force(content.get("period", {}))

    def is_active(self, team: Json) -> bool:
        return team.get("status", "active") == "active" and self.stands(team)

    def members(self, team: Json) -> set[str]:
        return {
            name for part in team["participant"] if self.stands(part) for name in references(part["member"])
        }

    def said(self) -> Iterator[tuple[str, set[str]]]:
        """(chart, actors) of every resource that relates some."""
        for team in self.of("CareTeam"):
            if self.is_active(team):
                yield from ((chart, self.members(team)) for chart in references(team.get("subject")))
        for episode in self.of("EpisodeOfCare"):
            if self.stands(episode):
                named = ("careManager", "team", "managingOrganization")
                actors = {name for element in named for name in references(episode.get(element))}
                yield from ((chart, actors) for chart in references(episode["patient"]))
        for task in self.of("Task"):
            if task["status"] == "requested":
                yield from ((chart, set(references(task.get("owner")))) for chart in references(task["for"]))
        for stay in self.of("Encounter"):
            # Thirty days after 1 March are over, those after 1 May are not.
            end = stay.get("period", {}).get("end", "")
            lasts = end == "2024-05-01" or (stay["status"] == "in-progress" and not end)
            if lasts and stay["status"] != "cancelled":
                actors = {*references(stay.get("participant")), *references(stay["serviceProvider"])}
                yield from ((chart, actors) for chart in references(stay["subject"]))
        for patient in self.of("Patient"):
            if patient.get("active", True):
                yield f"Patient/{patient['id']}", set(references(patient.get("generalPractitioner")))


@pytest.fixture
def with_reaches(app: Any) -> Iterator[None]:
    """Once the server is put together: the shipped policy, and roles that may do everything in their reach."""
    document = json.loads(files("server.policy").joinpath("roles.json").read_text("utf-8"))
    for reach in ("all", "organization", "related"):
        document["roles"][f"reaches-{reach}"] = {"title": reach, "reach": reach, "types": {"*": "cruds"}}
    use(read_policy(json.dumps(document), "tests"))
    yield
    use(None)


def staff_eyes(world: World) -> Iterator[Eye]:
    for number in range(2):
        user = f"Practitioner/practitioner{number}"
        for reach in ("related", "organization"):
            charts = Related(world, user, organizations=reach == "organization").charts
            claims = {"fhir_user": user, "role": f"reaches-{reach}"}
            yield Eye(world, "user/*.rs", claims, lambda _: True, charts=charts)
        # A launch into one chart: its compartment, if the person is related to it.
        patient = world.random.choice(PATIENTS)
        claims["patient"] = patient
        yield Launched(world, "patient/*.rs", claims, lambda _: True, charts=charts & {patient})


class Launched(Eye):
    """A patient token of a member of staff: what is nobody's chart is shown where the chart refers to it."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._staff = False


def eyes(world: World) -> Iterator[Eye]:
    final = "patient/Observation.rs?status=final " + " ".join(f"patient/{kind}.rs" for kind in OPEN)
    for patient in PATIENTS:
        yield Eye(world, "patient/*.rs", {"patient": patient}, lambda _: True)
        yield Eye(
            world,
            final,
            {"patient": patient},
            lambda it: it["resourceType"] == "Observation" and it["status"] == "final",
            only_current=True,
        )


def entries(fhir: Any, path: str) -> list[Json]:
    """The entries of all pages; totals must be those of what is shown."""
    found: list[Json] = []
    while path:
        answer = fhir.get(path)
        if answer.status in (403, 404):
            return []
        assert answer.status == 200, (path, answer.body)
        page = answer.json
        found += page.get("entry", [])
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        path = following[0].removeprefix(BASE).removeprefix("/") if following else ""
    matches = [entry for entry in found if entry.get("search", {}).get("mode") != "include"]
    assert page.get("total", len(matches)) == len(matches)
    return found


def ids(fhir: Any, path: str) -> set[str]:
    return {entry["resource"]["id"] for entry in entries(fhir, path)}


def keys(fhir: Any, path: str) -> set[Key]:
    found = [(entry["resource"]["resourceType"], entry["resource"]["id"]) for entry in entries(fhir, path)]
    assert len(found) == len(set(found)), path
    return set(found)


def version_keys(found: list[Json]) -> list[tuple[str, str, int]]:
    return [
        (*entry["fullUrl"].rsplit("/", 2)[1:], int(entry["response"]["etag"].strip('W/"'))) for entry in found
    ]


# One of them before every commit; the others are left to `make test`.
WORLDS = [pytest.param(n, marks=[pytest.mark.slow] if n else [], id=f"world {n}") for n in range(4)]


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, fhir: Any) -> World:
    return World(fhir, request.param)


def test_every_row_source_shows_what_the_filter_shows_and_nothing_else(world: World, as_token: Any) -> None:
    for eye in eyes(world):
        own = as_token(eye.scope, **eye.claims)
        check_instances(world, eye, own)
        check_histories(world, eye, own)
        check_searches(eye, own)
        check_searches_of_types(eye, own)
        check_joins(eye, own)


@pytest.mark.usefixtures("with_reaches")
def test_every_row_source_shows_staff_the_charts_they_are_related_to(world: World, as_token: Any) -> None:
    reached = set()
    for eye in staff_eyes(world):
        reached.add(len(eye.charts))
        own = as_token(eye.scope, **eye.claims)
        check_instances(world, eye, own)
        check_histories(world, eye, own)
        check_searches(eye, own)
        check_searches_of_types(eye, own)
        check_joins(eye, own)
    assert len(reached) > 1


@pytest.mark.usefixtures("with_reaches")
def test_each_layer_shows_no_more_than_the_wider_one(world: World, as_token: Any) -> None:
    """all, organization, related; then a launch into one chart, then a granular scope."""
    user = "Practitioner/practitioner0"
    wider: set[Key] | None = None
    for role in ("reaches-all", "reaches-organization", "reaches-related"):
        shown = keys(as_token("user/*.rs", fhir_user=user, role=role), "?_count=50")
        assert wider is None or shown <= wider, role
        wider = shown
    for patient in PATIENTS:
        claims = {"fhir_user": user, "role": "reaches-related", "patient": patient}
        launched = keys(as_token("patient/*.rs", **claims), "?_count=50")
        assert launched <= (wider or set())
        granular = keys(as_token("patient/Observation.rs?status=final", **claims), "Observation?_count=50")
        assert granular <= launched


@pytest.mark.usefixtures("with_reaches")
def test_who_is_limited_writes_into_related_charts_alone(world: World, as_token: Any) -> None:
    """Random writes: every chart that a resource leaves or enters must be related to the writer before."""
    user = "Practitioner/practitioner1"
    own = as_token("user/*.cruds", fhir_user=user, role="reaches-related")
    done = refused = 0
    for attempt in range(120):
        kind = world.random.choice([name for name in TYPES if name != "Patient"])
        key = (kind, f"{kind.lower()}{world.random.randrange(5)}")
        resource, path = world.made(*key), "/".join(key)
        before = world.versions.get(key, [])
        deletes = attempt % 4 == 0
        charts = set(charts_of(resource)) if not deletes else set()
        charts |= before[-1][1] if before else set()
        related = Related(world, user, organizations=False).charts
        inside = bool(charts) and charts <= related and (deletes or bool(charts_of(resource)))
        if before and not before[-1][1]:
            inside = False  # what was in no chart may have been anybody's
        may = (kind in COMPARTMENT and inside) or (kind in OPEN and kind != "PractitionerRole")
        condition = world.if_match(key)
        answer = own.delete(path, **condition) if deletes else own.put(path, resource, **condition)
        now = len(entries(world.fhir, f"{path}/_history"))
        if may and not deletes:
            assert answer.status in (200, 201), (path, answer.body)
        if not may:
            assert answer.status in (200, 204, 403) or (condition and answer.status == 412), (path, answer.body)
            assert now == len(before), (path, answer.status)
            refused += 1
        if now > len(before):
            done += 1
            before = world.versions.setdefault(key, before)
            charted = before[-1][1] if deletes else charts_of(resource)
            before.append((None if deletes else resource, charted))
    assert done
    assert refused


def check_instances(world: World, eye: Eye, own: Any) -> None:
    for key, versions in world.versions.items():
        path, shown = "/".join(key), eye.shown(key)
        expected = (404, 403) if not shown else (410,) if versions[-1][0] is None else (200,)
        assert own.get(path).status in expected, (eye.scope, path)
        for number in range(1, len(versions) + 2):
            answer = own.get(f"{path}/_history/{number}")
            seen = number in shown
            expected = (404, 403) if not seen else (410,) if versions[number - 1][0] is None else (200,)
            assert answer.status in expected, (eye.scope, path, number)
        found = version_keys(entries(own, f"{path}/_history?_count=2"))
        assert found == [(*key, number) for number in reversed(shown)], (eye.scope, path)


def check_histories(world: World, eye: Eye, own: Any) -> None:
    everything = {(*key, number) for key in world.versions for number in eye.shown(key)}
    found = version_keys(entries(own, "_history?_count=7"))
    assert len(found) == len(set(found))
    assert set(found) == everything, eye.scope
    for kind in TYPES:
        found = version_keys(entries(own, f"{kind}/_history?_count=3"))
        assert set(found) == {each for each in everything if each[0] == kind}, (eye.scope, kind)


def check_searches(eye: Eye, own: Any) -> None:
    for kind in TYPES:
        visible = eye.current(kind)
        if own.get(kind).status == 403:
            assert not visible
            continue
        for query in ("", "?_count=2", "?_count=2&_sort=-_lastUpdated", "?_sort=_id&_total=accurate"):
            assert ids(own, kind + query) == set(visible), (eye.scope, kind, query)
        counted = own.get(f"{kind}?_summary=count").json
        assert counted["total"] == len(visible)
        all_ids = ",".join(f"{kind.lower()}{number}" for number in range(4)) + ",a,b,c"
        assert ids(own, f"{kind}?_id={all_ids}") == set(visible)
    for kind in ("Observation", "Encounter", "MedicationRequest"):
        for other in PATIENTS:
            about = {
                id for id, it in eye.current(kind).items() if f"Patient/{other}" in references(it["subject"])
            }
            if own.get(kind).status == 200:
                assert ids(own, f"{kind}?subject=Patient/{other}") == about, (eye.scope, kind, other)
        if own.get(kind).status == 200:
            assert ids(own, f"{kind}?subject:missing=false") == set(eye.current(kind))
            assert ids(own, f"{kind}?subject:missing=true") == set()


def check_searches_of_types(eye: Eye, own: Any) -> None:
    """The system, and every patient's compartment: what is visible, each type on its own."""
    shown = {(kind, id) for kind in TYPES for id in eye.current(kind)}
    for query in ("?_count=7", "?_count=9&_sort=-_lastUpdated,_id"):
        assert keys(own, query) == shown, (eye.scope, query)
    for patient in PATIENTS:
        inside = {
            (kind, id)
            for kind, id in shown
            if kind in COMPARTMENT and patient in charts_of(eye.current(kind)[id])
        }
        assert keys(own, f"Patient/{patient}/*?_count=5") == inside, (eye.scope, patient)
        for kind in COMPARTMENT:
            expected = {key for key in inside if key[0] == kind}
            assert keys(own, f"Patient/{patient}/{kind}") == expected, (eye.scope, patient, kind)


def check_joins(eye: Eye, own: Any) -> None:
    observations = eye.current("Observation")

    def joined(id: str, element: str, kind: str, fulfils: Callable[[Json], bool]) -> bool:
        targets = eye.current(kind)
        named = [each.split("/") for each in references(observations[id].get(element))]
        return any(name == kind and id in targets and fulfils(targets[id]) for name, id in named)

    for number in range(3):
        family = f"Synthetic{number}"
        expected = {
            id
            for id in observations
            if joined(id, "subject", "Patient", lambda it, f=family: it["name"][0]["family"] == f)
        }
        assert ids(own, f"Observation?subject:Patient.family={family}") == expected, (eye.scope, family)
        place = f"Organization/organization{number}"
        expected = {
            id
            for id in observations
            if joined(id, "encounter", "Encounter", lambda it, p=place: p in references(it["serviceProvider"]))
        }
        assert ids(own, f"Observation?encounter.service-provider={place}") == expected, (eye.scope, place)
    for code in ("2160-0", "718-7"):
        named = {
            each
            for it in observations.values()
            if it["code"]["coding"][0]["code"] == code
            for each in references(it["performer"])
        }
        expected = {id for id in eye.current("Practitioner") if f"Practitioner/{id}" in named}
        assert ids(own, f"Practitioner?_has:Observation:performer:code={code}") == expected, (eye.scope, code)
        beside = {
            id
            for id in observations
            if joined(id, "subject", "Patient", lambda it: True)
            and any(
                set(references(observations[id]["subject"])) & set(references(it["subject"]))
                and it["code"]["coding"][0]["code"] == code
                for it in observations.values()
            )
        }
        path = f"Observation?subject:Patient._has:Observation:subject:code={code}"
        assert ids(own, path) == beside, (eye.scope, path)
        far = f"Practitioner?_has:Observation:performer:subject:Patient._has:Observation:subject:code={code}"
        expected = {
            id
            for id in eye.current("Practitioner")
            if any(f"Practitioner/{id}" in references(observations[each]["performer"]) for each in beside)
        }
        assert ids(own, far) == expected, (eye.scope, far)
    back = "&".join(f"_revinclude={kind}:*" for kind in COMPARTMENT)
    on = "_include:iterate=*&_revinclude:iterate=Observation:*"
    for kind in (*COMPARTMENT, *OPEN):
        for shape in ("_include=*", f"_include={kind}:*", back, f"_include=*&{back}", "_revinclude=*", on):
            for entry in entries(own, f"{kind}?_count=3&{shape}"):
                resource = entry["resource"]
                if resource["resourceType"] != "OperationOutcome":
                    assert resource["id"] in eye.current(resource["resourceType"]), (eye.scope, kind, shape)


def test_a_patient_token_writes_what_lies_wholly_in_its_chart_and_nothing_else(
    world: World, as_token: Any
) -> None:
    """Random writes, also in transactions: what was and what becomes must both be the patient's alone."""
    own = as_token("patient/*.cruds", patient="a")
    done = 0
    for attempt in range(120):
        kind = world.random.choice([name for name in TYPES if name != "Patient"])
        key = (kind, f"{kind.lower()}{world.random.randrange(6)}")
        resource, path = world.made(*key), "/".join(key)
        before = world.versions.get(key, [])
        charts = before[-1][1] if before else frozenset("a")
        deletes = attempt % 3 == 0
        condition = world.if_match(key)
        if attempt % 2:
            request = {"method": "DELETE" if deletes else "PUT", "url": path}
            if condition:
                request["ifMatch"] = condition["If_Match"]
            entry = {"request": request} | ({} if deletes else {"resource": resource})
            answer = own.post("", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
        else:
            answer = own.delete(path, **condition) if deletes else own.put(path, resource, **condition)
        may = kind in COMPARTMENT and charts == {"a"} and (deletes or charts_of(resource) == {"a"})
        now = len(entries(world.fhir, f"{path}/_history"))
        if may and not deletes:
            assert answer.status in (200, 201), (path, answer.body)
        if not may:
            # 200: a transaction's, and the answer to content that is there already, which is seen by both.
            # 412: a version is named of what the token does not see.
            assert answer.status in (200, 204, 403) or (condition and answer.status == 412), (path, answer.body)
            assert now == len(before), path
        if now > len(before):
            done += 1
            before = world.versions.setdefault(key, before)
            before.append((None, charts) if deletes else (resource, charts_of(resource)))
    assert done
