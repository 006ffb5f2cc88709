"""Patches and conditional updates, patches and deletes as entries: hl7.org/fhir/R4/http.html#trules.

Covers server/interactions/transaction.py, links.py, overlap.py and the entries of batch.py.
"""

from __future__ import annotations

import base64

import pytest

from server.fhir.json_codec import encode

URN = "urn:uuid:0f7a3c1e-0000-4000-8000-00000000000"
A = "identifier=urn:example:mrn|A-1"
B = "identifier=urn:example:mrn|B-2"


def patient_b(build, **more):
    return build.patient(identifier=[{"system": "urn:example:mrn", "value": "B-2"}], **more)


def binary(*operations, content_type="application/json-patch+json"):
    """A JSON Patch as a Bundle carries it; with another content type, its first argument is the content."""
    content = list(operations) if content_type.startswith("application/json-") else operations[0]
    data = base64.b64encode(encode(content)).decode()
    return {"resourceType": "Binary", "contentType": content_type, "data": data}


def parameters(type, path, **parts):
    listed = [{"name": "type", "valueCode": type}, {"name": "path", "valueString": path}]
    listed += [{"name": name, **value} for name, value in parts.items()]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": listed}]}


MALE = {"op": "replace", "path": "/gender", "value": "male"}


@pytest.fixture(params=["transaction", "batch"])
def kind(request):
    return request.param


@pytest.fixture
def stored(fhir, build):
    fhir.put("Patient/a", build.patient(id="a"))
    fhir.put("Patient/b", patient_b(build, id="b"))


@pytest.fixture
def send(fhir, build):
    def sent(*entries, type="transaction", **headers):
        return fhir.post("", build.bundle(type, *entries), **headers)

    return sent


def statuses(answer):
    assert answer.status == 200, answer.body
    return [entry["response"]["status"][:3] for entry in answer.json["entry"]]


class TestEntries:
    def test_patches_of_every_format_are_applied(self, fhir, build, stored, send, kind):
        answer = send(
            build.entry("PATCH", "Patient/a", binary(MALE)),
            build.entry(
                "PATCH", "Patient/b", parameters("replace", "Patient.gender", value={"valueCode": "other"})
            ),
            type=kind,
        )
        assert statuses(answer) == ["200", "200"]
        assert [row["response"]["etag"] for row in answer.json["entry"]] == ['W/"2"', 'W/"2"']
        assert [row["fullUrl"].rpartition("/")[2] for row in answer.json["entry"]] == ["a", "b"]
        assert [fhir.get(f"Patient/{id}").json["gender"] for id in "ab"] == ["male", "other"]
        merged = build.entry(
            "PATCH", "Patient/a", binary({"gender": "unknown"}, content_type="application/merge-patch+json")
        )
        assert statuses(send(merged, type=kind)) == ["200"]
        assert fhir.get("Patient/a").json["gender"] == "unknown"

    def test_conditional_updates_patches_and_deletes_are_done(self, fhir, build, stored, send, kind):
        fhir.put("Patient/c", build.patient(id="c", identifier=[{"value": "C"}]))
        answer = send(
            build.entry("PUT", f"Patient?{A}", build.patient(gender="male")),
            build.entry("PATCH", f"Patient?{B}", binary(MALE)),
            build.entry("DELETE", "Patient?identifier=C"),
            build.entry("PUT", "Patient?identifier=D", build.patient(identifier=[{"value": "D"}])),
            build.entry("DELETE", "Patient?identifier=nobody"),
            type=kind,
        )
        assert statuses(answer) == ["200", "200", "204", "201", "204"]
        assert fhir.get("Patient?gender=male").json["total"] == 2
        assert fhir.get("Patient/c").status == 410
        assert fhir.get("Patient?identifier=D").json["total"] == 1

    def test_prefer_representation_returns_the_patched_resource(self, fhir, build, stored, send):
        answer = send(build.entry("PATCH", "Patient/a", binary(MALE)), Prefer="return=representation")
        assert answer.json["entry"][0]["resource"] == fhir.get("Patient/a").json

    def test_if_match_of_a_patch_holds(self, fhir, build, stored, send):
        refused = send(build.entry("PATCH", "Patient/a", binary(MALE), ifMatch='W/"2"'))
        assert (refused.status, refused.paths) == (412, ["Bundle.entry[0]"])
        assert statuses(send(build.entry("PATCH", "Patient/a", binary(MALE), ifMatch='W/"1"'))) == ["200"]

    @pytest.mark.parametrize(
        ("resource", "status", "place"),
        [
            (binary({"op": "test", "path": "/gender", "value": "x"}), 422, "Bundle.entry[1].resource.patch[0]"),
            (binary({"op": "x", "path": ""}), 400, "Bundle.entry[1].resource.patch[0].op"),
            (
                parameters("delete", "Patient.name.repeat(given)"),
                400,
                "Bundle.entry[1].resource.parameter[0].part[1]",
            ),
            (binary({**MALE, "value": "wrong"}), 422, "Bundle.entry[1]"),
        ],
    )
    def test_a_patch_that_cannot_be_applied_is_named(self, fhir, build, stored, send, resource, status, place):
        entries = [
            build.entry("PUT", "Patient/b", patient_b(build, id="b", gender="other")),
            build.entry("PATCH", "Patient/a", resource),
        ]
        whole = send(*entries)
        assert (whole.status, whole.paths) == (status, [place])
        assert fhir.get("Patient/b").json["gender"] == "female"
        outcome = send(*entries, type="batch").json["entry"][1]["response"]["outcome"]
        assert outcome["issue"][0]["expression"] == [place]
        if status == 422 and place == "Bundle.entry[1]":
            assert "Patient.gender" in outcome["issue"][0]["diagnostics"]

    def test_nothing_or_too_much_that_matches_refuses_the_whole(self, fhir, build, stored, send):
        patched = build.entry("PATCH", "Patient/a", binary(MALE))
        for entry, status in (
            (build.entry("PATCH", "Patient?identifier=nobody", binary(MALE)), 404),
            (build.entry("PATCH", "Patient?gender=female", binary(MALE)), 412),
            (build.entry("PUT", "Patient?gender=female", build.patient()), 412),
            (build.entry("DELETE", "Patient?gender=female"), 412),
            (build.entry("PUT", f"Patient?{B}", build.patient(id="c")), 400),
            (build.entry("PUT", "Patient?identifier=nobody", build.patient(id="b")), 409),
        ):
            answer = send(patched, entry)
            assert (answer.status, answer.paths[0][:15]) == (status, "Bundle.entry[1]"), answer.body
        assert fhir.get("Patient/a").headers["ETag"] == 'W/"1"'


class TestOrder:
    def test_deletions_come_before_conditions_are_looked_at(self, fhir, build, stored, send):
        answer = send(
            build.entry("PUT", f"Patient?{A}", build.patient(gender="male")),
            build.entry("DELETE", "Patient/a"),
        )
        assert statuses(answer) == ["201", "204"]
        assert fhir.get("Patient/a").status == 410
        assert fhir.get(f"Patient?{A}").json["entry"][0]["resource"]["gender"] == "male"

    def test_reads_see_what_patches_wrote(self, fhir, build, stored, send):
        answer = send(
            build.entry("GET", "Patient?gender=male"), build.entry("PATCH", f"Patient?{A}", binary(MALE))
        )
        assert answer.json["entry"][0]["resource"]["total"] == 1


class TestLinks:
    def test_a_conditional_update_is_what_the_others_refer_to(self, fhir, build, stored, send):
        entries = [
            build.entry("POST", "Observation", build.observation(URN + "1"), URN + "2"),
            build.entry("PUT", f"Patient?{A}", build.patient(gender="male"), URN + "1"),
        ]
        assert statuses(send(*entries)) == ["201", "200"]
        assert fhir.get("Observation").json["entry"][0]["resource"]["subject"] == {"reference": "Patient/a"}

        entries[1] = build.entry(
            "PUT", "Patient?identifier=new", build.patient(identifier=[{"value": "new"}]), URN + "1"
        )
        answer = send(*entries, Prefer="return=representation")
        assert statuses(answer) == ["201", "201"]
        made = answer.json["entry"][1]["resource"]["id"]
        assert answer.json["entry"][0]["resource"]["subject"] == {"reference": f"Patient/{made}"}

    def test_what_a_patch_writes_may_refer_to_other_entries(self, fhir, build, stored, send):
        fhir.put("Observation/o1", build.observation("Patient/a", id="o1"))
        fhir.put("Observation/o2", build.observation("Patient/a", id="o2"))
        fhir.put("Observation/o3", build.observation("Patient/a", id="o3"))
        made = build.entry("POST", "Patient", build.patient(identifier=[{"value": "new"}]), URN + "1")
        text = {"op": "replace", "path": "/subject/reference", "value": URN + "1"}
        element = {"op": "add", "path": "/subject", "value": {"reference": URN + "1"}}
        answer = send(
            made,
            build.entry("PATCH", "Observation/o1", binary(text)),
            build.entry("PATCH", "Observation/o2", binary(element)),
            build.entry(
                "PATCH",
                "Observation/o3",
                parameters(
                    "replace", "Observation.subject", value={"valueReference": {"reference": URN + "1"}}
                ),
            ),
        )
        assert statuses(answer) == ["201", "200", "200", "200"]
        id = answer.json["entry"][0]["response"]["location"].split("/")[-3]
        for path in ("o1", "o2", "o3"):
            assert fhir.get(f"Observation/{path}").json["subject"] == {"reference": f"Patient/{id}"}

    def test_what_a_patch_writes_may_refer_by_a_condition(self, fhir, build, stored, send):
        fhir.put("Observation/o1", build.observation("Patient/a", id="o1"))
        for resource in (
            binary({"op": "replace", "path": "/subject", "value": {"reference": f"Patient?{B}"}}),
            parameters(
                "replace", "Observation.subject", value={"valueReference": {"reference": f"Patient?{A}"}}
            ),
        ):
            assert statuses(send(build.entry("PATCH", "Observation/o1", resource))) == ["200"]
        assert fhir.get("Observation/o1/_history/2").json["subject"] == {"reference": "Patient/b"}
        assert fhir.get("Observation/o1").json["subject"] == {"reference": "Patient/a"}

    def test_a_patched_resource_is_referred_to_by_the_full_url_of_its_entry(self, fhir, build, stored, send):
        answer = send(
            build.entry("POST", "Observation", build.observation(URN + "1")),
            build.entry("PATCH", f"Patient?{A}", binary(MALE), URN + "1"),
        )
        assert statuses(answer) == ["201", "200"]
        assert fhir.get("Observation").json["entry"][0]["resource"]["subject"] == {"reference": "Patient/a"}


class TestOverlap:
    """Two entries of one resource refuse the whole and are both named, however they name it."""

    @pytest.fixture
    def entries(self, build):
        return {
            "patch by id": build.entry("PATCH", "Patient/a", binary(MALE)),
            "patch by condition": build.entry("PATCH", f"Patient?{A}", binary(MALE)),
            "update by id": build.entry("PUT", "Patient/a", build.patient(id="a", gender="male")),
            "update by condition": build.entry("PUT", f"Patient?{A}", build.patient(gender="male")),
            "update by another condition": build.entry(
                "PUT", "Patient?birthdate=1950-03-02&_id=a", build.patient()
            ),
            "delete by id": build.entry("DELETE", "Patient/a"),
            "delete by condition": build.entry("DELETE", f"Patient?{A}"),
            "delete by another condition": build.entry("DELETE", "Patient?_id=a"),
            "create by condition": build.entry("POST", "Patient", build.patient(), ifNoneExist=A),
        }

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("patch by id", "patch by id"),
            ("patch by id", "patch by condition"),
            ("patch by condition", "patch by condition"),
            ("update by id", "patch by condition"),
            ("update by condition", "update by condition"),
            ("update by condition", "update by another condition"),
            ("update by condition", "patch by id"),
            ("update by condition", "create by condition"),
            ("delete by id", "delete by condition"),
            ("delete by condition", "delete by another condition"),
            ("delete by condition", "patch by id"),
            ("delete by condition", "update by id"),
        ],
    )
    def test_by_whatever_name(self, fhir, stored, send, entries, one, other):
        for first, second in ((one, other), (other, one)):
            answer = send(entries[first], entries[second])
            assert (answer.status, answer.codes) == (400, ["invalid"]), answer.body
            assert "entries 0 and 1" in answer.text
            assert answer.paths == ["Bundle.entry[1]"]
        assert fhir.get("_history").json["total"] == 2

    def test_what_an_earlier_entry_changes_of_a_condition_refuses_the_whole(self, fhir, build, stored, send):
        new = build.patient(identifier=[{"value": "new"}])
        by_birth = "Patient?birthdate=1950-03-02&identifier=new"
        elsewhere = build.patient(id="b", identifier=[{"value": "elsewhere"}])
        for status, *entries in (
            (400, build.entry("POST", "Patient", new), build.entry("PUT", "Patient?identifier=new", new)),
            (400, build.entry("PUT", "Patient?identifier=new", new), build.entry("PUT", by_birth, new)),
            (
                412,
                build.entry("POST", "Patient", patient_b(build)),
                build.entry("PATCH", f"Patient?{B}", binary(MALE)),
            ),
            (
                412,
                build.entry("POST", "Patient", patient_b(build)),
                build.entry("PUT", f"Patient?{B}", elsewhere),
            ),
        ):
            answer = send(*entries)
            assert answer.status == status, answer.body
            assert answer.paths == ["Bundle.entry[1]"]
        assert fhir.get("_history").json["total"] == 2


class TestAccess:
    def test_conditions_need_the_permission_to_search_and_patches_that_to_read(
        self, fhir, as_token, build, stored
    ):
        for scope, entry in (
            ("system/Patient.cru", build.entry("PUT", f"Patient?{A}", build.patient())),
            ("system/Patient.crud", build.entry("DELETE", f"Patient?{A}")),
            ("system/Patient.cru", build.entry("PATCH", f"Patient?{A}", binary(MALE))),
            ("system/Patient.cu", build.entry("PATCH", "Patient/a", binary(MALE))),
        ):
            token = as_token(scope)
            assert token.post("", build.bundle("transaction", entry)).status == 403
            batch = token.post("", build.bundle("batch", entry))
            assert statuses(batch) == ["403"]
        assert fhir.get("_history").json["total"] == 2

    def test_hidden_resources_fulfil_no_condition(self, fhir, as_token, build):
        fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))
        own = as_token("patient/*.cruds", patient="p2")
        status = {"op": "replace", "path": "/status", "value": "amended"}
        answer = own.post(
            "",
            build.bundle(
                "batch",
                build.entry("DELETE", "Observation?code=2160-0"),
                build.entry("PATCH", "Observation?code=2160-0", binary(status)),
                build.entry("PUT", "Observation?code=2160-0", build.observation("Patient/p2")),
            ),
        )
        assert statuses(answer) == ["204", "404", "201"]
        assert fhir.get("Observation/o1").headers["ETag"] == 'W/"1"'
