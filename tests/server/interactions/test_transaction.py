"""transaction and batch: hl7.org/fhir/R4/http.html#transaction, #trules; spec/what users complain about: a lost
entry, duplicates from conditional creates."""

from __future__ import annotations

import pytest

URN = "urn:uuid:0f7a3c1e-0000-4000-8000-00000000000"


def statuses(answer):
    return [entry["response"]["status"] for entry in answer.json["entry"]]


def test_references_between_entries_become_real_ones_wherever_they_stand(fhir, build):
    obs = build.observation(URN + "1", performer=[{"reference": URN + "2"}])
    answer = fhir.post(
        "",
        build.bundle(
            "transaction",
            build.entry("POST", "Observation", obs, URN + "3"),
            build.entry("POST", "Patient", build.patient(), URN + "1"),
            build.entry("PUT", "Practitioner/doc", {"resourceType": "Practitioner", "id": "doc"}, URN + "2"),
        ),
    )

    assert answer.status == 200
    assert answer.json["type"] == "transaction-response"
    assert statuses(answer) == ["201 Created"] * 3
    stored = fhir.get("Observation/new-1").json
    assert stored["subject"] == {"reference": "Patient/new-2"}
    assert stored["performer"] == [{"reference": "Practitioner/doc"}]


def test_references_within_a_foreign_server_follow_its_resources_to_their_new_ids(fhir, build):
    there = "https://elsewhere.example/fhir"
    answer = fhir.post(
        "",
        build.bundle(
            "transaction",
            build.entry("POST", "Patient", build.patient(), f"{there}/Patient/7"),
            build.entry("POST", "Observation", build.observation("Patient/7"), f"{there}/Observation/1"),
            build.entry("POST", "Observation", build.observation(f"{there}/Patient/7"), URN + "3"),
            build.entry("POST", "Observation", build.observation("Patient/7"), URN + "4"),
        ),
    )

    assert answer.status == 200
    subjects = [fhir.get(f"Observation/new-{n}").json["subject"]["reference"] for n in (2, 3, 4)]
    assert subjects == ["Patient/new-1", "Patient/new-1", "Patient/7"]


def test_every_row_names_the_version_it_made(fhir, build):
    answer = fhir.post(
        "", build.bundle("transaction", build.entry("PUT", "Patient/p1", build.patient(id="p1")))
    )

    assert answer.json["entry"] == [
        {
            "fullUrl": "http://127.0.0.1:8000/fhir/Patient/p1",
            "response": {
                "status": "201 Created",
                "location": "http://127.0.0.1:8000/fhir/Patient/p1/_history/1",
                "etag": 'W/"1"',
                "lastModified": "2024-05-17T12:00:00.123Z",
            },
        }
    ]


def test_prefer_representation_returns_the_resources(fhir, build):
    answer = fhir.post(
        "",
        build.bundle("transaction", build.entry("POST", "Patient", build.patient())),
        Prefer="return=representation",
    )
    assert answer.json["entry"][0]["resource"] == fhir.get("Patient/new-1").json


def test_entries_are_processed_in_fhirs_order_and_answered_in_their_own(fhir, build):
    fhir.put("Patient/old", build.patient(id="old"))
    answer = fhir.post(
        "",
        build.bundle(
            "transaction",
            build.entry("GET", "Patient?gender=female"),
            build.entry("PUT", "Patient/p1", build.patient(id="p1")),
            build.entry("POST", "Patient", build.patient()),
            build.entry("DELETE", "Patient/old"),
        ),
    )

    assert statuses(answer) == ["200 OK", "201 Created", "201 Created", "204 No Content"]
    found = answer.json["entry"][0]["resource"]
    assert sorted(entry["resource"]["id"] for entry in found["entry"]) == ["new-1", "p1"]


def test_one_bad_entry_keeps_everything_out(fhir, build):
    answer = fhir.post(
        "",
        build.bundle(
            "transaction",
            build.entry("POST", "Patient", build.patient()),
            build.entry("PUT", "Patient/p1", build.patient(id="p1", gender="wrong")),
        ),
    )

    assert answer.status == 400
    assert answer.paths == ["Bundle.entry[1].resource.gender"]
    assert fhir.get("Patient").json["total"] == 0
    assert fhir.get("_history").json["total"] == 0


def test_a_read_that_fails_undoes_the_writes_before_it(fhir, build):
    answer = fhir.post(
        "",
        build.bundle(
            "transaction",
            build.entry("POST", "Patient", build.patient()),
            build.entry("GET", "Patient/nobody"),
        ),
    )
    assert (answer.status, answer.paths) == (404, ["Bundle.entry[1]"])
    assert fhir.get("_history").json["total"] == 0


def test_an_old_version_in_if_match_refuses_the_whole(fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Patient/p1", build.patient(id="p1", gender="male"))
    answer = fhir.post(
        "",
        build.bundle(
            "transaction",
            build.entry("POST", "Patient", build.patient()),
            build.entry("PUT", "Patient/p1", build.patient(id="p1", gender="other"), ifMatch='W/"1"'),
        ),
    )
    assert (answer.status, answer.codes, answer.paths) == (412, ["conflict"], ["Bundle.entry[1]"])
    assert fhir.get("Patient").json["total"] == 1


@pytest.mark.parametrize(
    "pair",
    [
        ("PUT Patient/p1", "PUT Patient/p1"),
        ("PUT Patient/p1", "DELETE Patient/p1"),
        ("POST Patient?identifier=urn:example:mrn|A-1", "POST Patient?identifier=urn:example:mrn|A-1"),
        ("POST Patient?identifier=urn:example:mrn|A-1", "POST Patient?birthdate=1950-03-02"),
    ],
)
def test_two_entries_of_one_resource_refuse_the_whole_and_are_both_named(fhir, build, pair):
    entries = []
    for asked in pair:
        method, url = asked.split()
        path, _, condition = url.partition("?")
        resource = build.patient(id="p1") if method == "PUT" else build.patient() if method == "POST" else None
        entries.append(build.entry(method, path, resource, **({"ifNoneExist": condition} if condition else {})))

    answer = fhir.post("", build.bundle("transaction", *entries))

    assert (answer.status, answer.codes) == (400, ["invalid"])
    assert answer.paths == ["Bundle.entry[1]"]
    assert fhir.get("_history").json["total"] == 0


def test_a_conditional_create_that_matches_what_another_entry_updates_is_an_overlap(fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    answer = fhir.post(
        "",
        build.bundle(
            "transaction",
            build.entry("PUT", "Patient/p1", build.patient(id="p1", gender="male")),
            build.entry("POST", "Patient", build.patient(), ifNoneExist="identifier=urn:example:mrn|A-1"),
        ),
    )
    assert (answer.status, answer.codes) == (400, ["invalid"])
    assert "entries 0 and 1" in answer.text
    assert fhir.get("Patient/p1").json["gender"] == "female"


def test_a_conditional_create_that_exists_is_what_the_others_refer_to(fhir, build):
    fhir.put("Patient/there", build.patient(id="there"))
    entries = [
        build.entry(
            "POST", "Patient", build.patient(), URN + "1", ifNoneExist="identifier=urn:example:mrn|A-1"
        ),
        build.entry("POST", "Observation", build.observation(URN + "1"), URN + "2"),
    ]

    answer = fhir.post("", build.bundle("transaction", *entries))

    assert statuses(answer) == ["200 OK", "201 Created"]
    observation = fhir.get("Observation").json["entry"][0]["resource"]
    assert observation["subject"] == {"reference": "Patient/there"}
    assert fhir.get("Patient").json["total"] == 1


def test_conditional_references_name_the_one_resource_that_fulfils_them(fhir, build):
    fhir.put("Patient/there", build.patient(id="there"))
    reference = "Patient?identifier=urn:example:mrn|A-1"

    answer = fhir.post(
        "", build.bundle("transaction", build.entry("POST", "Observation", build.observation(reference)))
    )

    assert answer.status == 200, answer.body
    assert fhir.get("Observation").json["entry"][0]["resource"]["subject"] == {"reference": "Patient/there"}


def test_a_conditional_reference_to_none_or_several_refuses_the_whole(fhir, build):
    bundle = build.bundle(
        "transaction",
        build.entry("POST", "Observation", build.observation("Patient?identifier=urn:example:mrn|A-1")),
    )
    assert fhir.post("", bundle).status == 412
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Patient/p2", build.patient(id="p2"))
    several = fhir.post("", bundle)
    assert (several.status, several.codes) == (412, ["multiple-matches"])
    assert fhir.get("Observation").json["total"] == 0


def test_sending_a_transaction_of_puts_again_changes_nothing_and_says_so(fhir, build):
    bundle = build.bundle("transaction", build.entry("PUT", "Patient/p1", build.patient(id="p1")))
    fhir.post("", bundle)

    again = fhir.post("", bundle).json["entry"][0]["response"]

    assert (again["status"], again["etag"]) == ("200 OK", 'W/"1"')
    assert again["outcome"]["issue"][0]["code"] == "duplicate"
    assert fhir.get("_history").json["total"] == 1


def test_a_transaction_writes_only_what_the_token_may(fhir, as_token, build):
    fhir.put("Patient/p2", build.patient(id="p2"))
    own = as_token("patient/*.cruds", patient="p2")
    answer = own.post(
        "",
        build.bundle(
            "transaction",
            build.entry("POST", "Observation", build.observation("Patient/p2")),
            build.entry("POST", "Observation", build.observation("Patient/p1")),
        ),
    )
    assert (answer.status, answer.codes, answer.paths) == (403, ["forbidden"], ["Bundle.entry[1]"])
    assert fhir.get("Observation").json["total"] == 0


def test_a_batch_does_each_entry_on_its_own(fhir, as_token, build):
    fhir.put("Patient/p2", build.patient(id="p2"))
    own = as_token("patient/*.cruds", patient="p2")

    answer = own.post(
        "",
        build.bundle(
            "batch",
            build.entry("POST", "Observation", build.observation("Patient/p2")),
            build.entry("POST", "Observation", build.observation("Patient/p1")),
            build.entry("GET", "Patient/p2"),
            build.entry("GET", "Patient/p1"),
            build.entry("GET", "Nonsense/p1"),
            build.entry("PUT", "Patient/p2", build.patient(id="p2", gender="wrong")),
            build.entry("GET", "metadata?_format=json"),
            {"resource": build.patient()},
        ),
    )

    assert answer.status == 200
    assert answer.json["type"] == "batch-response"
    assert [status[:3] for status in statuses(answer)] == [
        "201",
        "403",
        "200",
        "404",
        "404",
        "400",
        "200",
        "400",
    ]
    rows = answer.json["entry"]
    assert rows[2]["resource"]["id"] == "p2"
    assert rows[5]["response"]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[5].resource.gender"]
    assert rows[6]["resource"]["resourceType"] == "CapabilityStatement"
    assert fhir.get("Observation").json["total"] == 1


@pytest.mark.parametrize("type", ["history", "searchset", "collection", "document", "nonsense", None])
def test_other_bundles_are_not_processed(fhir, type):
    answer = fhir.post("", {"resourceType": "Bundle", "type": type})
    assert (answer.status, answer.paths) == (400, ["Bundle.type"])


@pytest.mark.parametrize(
    "entry",
    [
        None,
        1,
        {},
        {"request": 1},
        {"request": {"method": "GET"}},
        {"request": {"method": "FETCH", "url": "Patient/1"}},
        {"request": {"method": "GET", "url": 1}},
        {"request": {"method": "PATCH", "url": "Patient/1"}},
        {"request": {"method": "PATCH", "url": "Patient/1"}, "resource": {"resourceType": "Patient"}},
        {"request": {"method": "PATCH", "url": "Patient/1"}, "resource": {"resourceType": "Binary"}},
        {
            "request": {"method": "PATCH", "url": "Patient/1"},
            "resource": {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "!"},
        },
        {
            "request": {"method": "PATCH", "url": "Patient/1"},
            "resource": {"resourceType": "Binary", "contentType": "application/xml-patch+xml", "data": "PGE+"},
        },
        {"request": {"method": "DELETE", "url": "Patient"}},
        {"request": {"method": "DELETE", "url": "Patient?_count=1"}},
        {"request": {"method": "DELETE", "url": "Patient/1?name=x"}},
        {"request": {"method": "POST", "url": "Patient?name=x"}, "resource": {"resourceType": "Patient"}},
        {"request": {"method": "POST", "url": ""}, "resource": {"resourceType": "Bundle", "type": "batch"}},
        {"request": {"method": "POST", "url": "Patient"}},
        {"request": {"method": "POST", "url": "Patient"}, "resource": []},
        {"request": {"method": "POST", "url": "Patient/_search"}},
        {"request": {"method": "PUT", "url": "Patient?nonsense=x"}, "resource": {"resourceType": "Patient"}},
        {"request": {"method": "PUT", "url": "Patient?name=x"}},
        {"request": {"method": "GET", "url": "Patient?name=%FF"}},
        {"request": {"method": "GET", "url": "Patient/1", "ifModifiedSince": "x"}},
        {
            "request": {"method": "PUT", "url": "Patient/1", "ifMatch": "x"},
            "resource": {"resourceType": "Patient"},
        },
        {"request": {"method": "GET", "url": "Patient/1"}, "fullUrl": 1},
    ],
)
def test_an_entry_that_is_none_is_refused_with_its_place(fhir, entry):
    for type in ("transaction", "batch"):
        answer = fhir.post("", {"resourceType": "Bundle", "type": type, "entry": [entry]})
        if type == "batch":
            assert statuses(answer)[0][0] == "4"
            outcome = answer.json["entry"][0]["response"]["outcome"]
            assert outcome["issue"][0]["expression"][0].startswith("Bundle.entry[0]")
        else:
            assert 400 <= answer.status < 500
            assert answer.paths[0].startswith("Bundle.entry[0]")


def test_an_empty_transaction_is_answered(fhir):
    answer = fhir.post("", {"resourceType": "Bundle", "type": "transaction"})
    assert (answer.status, answer.json) == (200, {"resourceType": "Bundle", "type": "transaction-response"})
