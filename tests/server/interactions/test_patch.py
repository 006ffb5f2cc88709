"""patch: hl7.org/fhir/R4/http.html#patch, in all formats, alone and conditional.

Covers server/interactions/patch.py and patch_formats.py. What the formats do is in tests/server/fhir.
"""

from __future__ import annotations

import pytest

from server.fhir.json_codec import encode

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
FORMATS = "application/json-patch+json, application/fhir+json, application/merge-patch+json"
MRN = "identifier=urn:example:mrn|A-1"


def json_patch(fhir, path, *operations, **headers):
    return fhir("PATCH", path, encode(list(operations)), Content_Type=JSON_PATCH, **headers)


def merge_patch(fhir, path, changes, content_type=MERGE_PATCH, **headers):
    return fhir("PATCH", path, encode(changes), Content_Type=content_type, **headers)


def replace_with(path, **value):
    """A FHIRPath Patch that replaces one element."""
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": path},
        {"name": "value", **value},
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


MALE = {"op": "replace", "path": "/gender", "value": "male"}


@pytest.fixture
def stored(fhir, build):
    return fhir.put("Patient/p1", build.patient(id="p1")).json


class TestFormats:
    def test_a_json_patch_makes_the_next_version(self, fhir, stored):
        answer = json_patch(fhir, "Patient/p1", {"op": "test", "path": "/gender", "value": "female"}, MALE)

        assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"')
        assert answer.headers["Content-Location"].endswith("/Patient/p1/_history/2")
        assert answer.json == stored | {"gender": "male", "meta": answer.json["meta"]}
        assert fhir.get("Patient/p1").body == answer.body
        assert fhir.get("Patient?gender=male").json["total"] == 1
        assert fhir.get("Patient?gender=female").json["total"] == 0

    def test_a_fhirpath_patch_is_a_parameters_resource(self, fhir, stored):
        for content_type in (
            "application/fhir+json",
            "application/json",
            "application/fhir+json; charset=UTF-8",
        ):
            fhir.put("Patient/p1", stored | {"gender": "female"})
            body = encode(replace_with("Patient.gender", valueCode="male"))
            answer = fhir("PATCH", "Patient/p1", body, Content_Type=content_type)
            assert (answer.status, answer.json["gender"]) == (200, "male")

    def test_a_merge_patch_is_what_common_clients_send_as_plain_json(self, fhir, stored):
        for content_type, gender in ((MERGE_PATCH, "male"), ("application/json", "other")):
            answer = merge_patch(fhir, "Patient/p1", {"gender": gender, "birthDate": None}, content_type)
            assert (answer.status, answer.json["gender"], "birthDate" in answer.json) == (200, gender, False)

    def test_a_list_sent_as_plain_json_is_a_json_patch(self, fhir, stored):
        answer = fhir("PATCH", "Patient/p1", encode([MALE]), Content_Type="application/json")
        assert (answer.status, answer.json["gender"]) == (200, "male")

    @pytest.mark.parametrize(
        "content_type",
        ["application/xml-patch+xml", "application/fhir+xml", "text/plain", "application/x-json-patch"],
    )
    def test_other_formats_are_refused_with_those_that_are_taken(self, fhir, stored, content_type):
        answer = fhir("PATCH", "Patient/p1", b"<diff/>", Content_Type=content_type)
        assert (answer.status, answer.codes) == (415, ["not-supported"])
        assert answer.headers["Accept-Patch"] == FORMATS

    def test_other_encodings_than_utf_8_are_refused(self, fhir, stored):
        answer = fhir("PATCH", "Patient/p1", encode([MALE]), Content_Type=f"{JSON_PATCH}; charset=utf-16")
        assert answer.status == 415

    def test_decimals_keep_their_digits(self, fhir, build):
        fhir.put("Observation/o1", build.observation("Patient/p1", "1.50", id="o1"))
        fhir(
            "PATCH",
            "Observation/o1",
            b'[{"op":"add","path":"/valueQuantity/value","value":2.500}]',
            Content_Type=JSON_PATCH,
        )
        assert b'"value":2.500' in fhir.get("Observation/o1").body
        json_patch(fhir, "Observation/o1", {"op": "replace", "path": "/status", "value": "amended"})
        assert b'"value":2.500' in fhir.get("Observation/o1").body

    @pytest.mark.parametrize(
        ("body", "content_type", "code"),
        [
            (b"", JSON_PATCH, "required"),
            (b"{}", JSON_PATCH, "structure"),
            (b"[", JSON_PATCH, "structure"),
            (b"\xff", JSON_PATCH, "structure"),
            (b'[{"op":"add","path":"/x","value":' + b"[" * 40 + b"]" * 40 + b"}]", JSON_PATCH, "structure"),
            (b"[]", MERGE_PATCH, "structure"),
            (b'"x"', "application/json", "structure"),
            (b'{"gender":"male"}', "application/fhir+json", "invalid"),
            (b'{"resourceType":"Patient"}', "", "invalid"),
        ],
    )
    def test_what_is_no_patch_is_400(self, fhir, stored, body, content_type, code):
        answer = fhir("PATCH", "Patient/p1", body, Content_Type=content_type)
        assert (answer.status, answer.codes) == (400, [code])


class TestWhatComesOfIt:
    def test_a_patch_that_changes_nothing_makes_no_version(self, fhir, stored):
        for patched in (
            json_patch(fhir, "Patient/p1"),
            json_patch(fhir, "Patient/p1", {"op": "test", "path": "/gender", "value": "female"}),
            merge_patch(fhir, "Patient/p1", {"gender": "female"}),
        ):
            assert (patched.status, patched.headers["ETag"], patched.json) == (200, 'W/"1"', stored)
        assert fhir.get("Patient/p1/_history").json["total"] == 1

    def test_prefer_says_what_comes_back(self, fhir, stored):
        minimal = json_patch(fhir, "Patient/p1", MALE, Prefer="return=minimal")
        assert (minimal.status, minimal.body, minimal.headers["ETag"]) == (200, b"", 'W/"2"')
        outcome = json_patch(fhir, "Patient/p1", {**MALE, "value": "other"}, Prefer="return=OperationOutcome")
        assert (outcome.status, outcome.codes) == (200, ["informational"])

    def test_a_failing_test_is_422_and_names_its_operation(self, fhir, stored):
        answer = json_patch(fhir, "Patient/p1", MALE, {"op": "test", "path": "/gender", "value": "female"})
        assert (answer.status, answer.codes, answer.paths) == (422, ["processing"], ["patch[1]"])
        assert fhir.get("Patient/p1").json == stored

    def test_a_result_that_is_not_valid_is_422_and_names_its_element(self, fhir, stored):
        answer = json_patch(fhir, "Patient/p1", {"op": "replace", "path": "/gender", "value": "wrong"})
        assert (answer.status, answer.paths) == (422, ["Patient.gender"])
        answer = merge_patch(fhir, "Patient/p1", {"nonsense": 1})
        assert (answer.status, fhir.get("Patient/p1/_history").json["total"]) == (422, 1)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("/id", "p2"),
            ("/resourceType", "Person"),
            ("/meta/versionId", "7"),
            ("/meta/lastUpdated", "2020-01-01T00:00:00Z"),
        ],
    )
    def test_what_identifies_the_resource_cannot_change(self, fhir, stored, path, value):
        answer = json_patch(fhir, "Patient/p1", MALE, {"op": "replace", "path": path, "value": value})
        assert (answer.status, answer.paths) == (422, ["patch[1]"])
        assert fhir.get("Patient/p1").json == stored

    def test_a_hostile_path_of_a_fhirpath_patch_is_named(self, fhir, stored):
        answer = fhir(
            "PATCH", "Patient/p1", replace_with("Patient.repeat(children()).gender", valueCode="male")
        )
        assert (answer.status, answer.paths) == (400, ["Parameters.parameter[0].part[1]"])

    def test_the_result_is_held_to_the_limits_of_a_body(self, fhir, stored):
        extension = {"url": "urn:x", "valueString": "y" * 900_000}
        for number in range(5):
            last = json_patch(
                fhir, "Patient/p1", {"op": "add", "path": f"/extension{'' if not number else '/-'}",
                                     "value": extension if number else [extension]}
            )  # fmt: skip
            assert last.status == 200
        assert (
            json_patch(fhir, "Patient/p1", {"op": "add", "path": "/extension/-", "value": extension}).status
            == 413
        )

    def test_an_unknown_id_is_404_and_a_deleted_one_410(self, fhir, stored):
        assert json_patch(fhir, "Patient/nobody", MALE).status == 404
        fhir.delete("Patient/p1")
        gone = json_patch(fhir, "Patient/p1", MALE)
        assert (gone.status, gone.headers["ETag"]) == (410, 'W/"2"')

    def test_if_match_is_looked_at_before_the_patch(self, fhir, stored):
        failing = {"op": "test", "path": "/gender", "value": "male"}
        answer = json_patch(fhir, "Patient/p1", failing, If_Match='W/"9"')
        assert (answer.status, answer.codes, answer.headers["ETag"]) == (412, ["conflict"], 'W/"1"')
        assert json_patch(fhir, "Patient/p1", MALE, If_Match='W/"1"').status == 200
        assert json_patch(fhir, "Patient/p1", MALE, If_None_Match="*").status == 412

    def test_parameters_in_the_url_of_an_id_are_refused(self, fhir, stored):
        answer = json_patch(fhir, f"Patient/p1?{MRN}", MALE)
        assert (answer.status, answer.codes) == (400, ["not-supported"])


def test_types_that_several_people_write_are_patched_by_who_knows_the_version(fhir):
    fhir.put("Task/t", {"resourceType": "Task", "id": "t", "status": "requested", "intent": "order"})
    urgent = {"op": "add", "path": "/priority", "value": "urgent"}
    blind = json_patch(fhir, "Task/t", urgent)
    assert (blind.status, blind.codes, blind.headers["ETag"]) == (428, ["required"], 'W/"1"')
    assert json_patch(fhir, "Task/t", urgent, If_Match='W/"1"').status == 200


def test_a_patch_goes_the_ways_of_the_lifecycle(fhir):
    plan = {"resourceType": "CarePlan", "id": "c", "status": "completed", "intent": "plan"}
    fhir.put("CarePlan/c", plan | {"subject": {"reference": "Patient/p1"}})
    backwards = {"op": "replace", "path": "/status", "value": "active"}
    answer = json_patch(fhir, "CarePlan/c", backwards, If_Match='W/"1"')
    assert (answer.status, answer.codes) == (422, ["business-rule"])
    assert fhir.get("CarePlan/c").json["status"] == "completed"


class TestConditionalPatch:
    def test_the_one_match_is_patched(self, fhir, build, stored):
        fhir.put("Patient/p2", build.patient(id="p2", identifier=[{"system": "urn:example:mrn", "value": "B"}]))
        answer = json_patch(fhir, f"Patient?{MRN}", MALE)
        assert (answer.status, answer.json["id"], answer.json["gender"]) == (200, "p1", "male")
        assert fhir.get("Patient/p2").headers["ETag"] == 'W/"1"'

    def test_none_is_404_and_several_are_412(self, fhir, build, stored):
        none = json_patch(fhir, "Patient?identifier=urn:example:mrn|nobody", MALE)
        assert (none.status, none.codes) == (404, ["not-found"])
        fhir.put("Patient/p2", build.patient(id="p2"))
        several = json_patch(fhir, f"Patient?{MRN}", MALE)
        assert (several.status, several.codes) == (412, ["multiple-matches"])

    @pytest.mark.parametrize("query", ["", "?", "?_count=1", "?nonsense=1", "?gender:nonsense=x"])
    def test_a_condition_that_selects_nothing_is_refused(self, fhir, stored, query):
        assert json_patch(fhir, f"Patient{query}", MALE).status == 400
        assert fhir.get("Patient/p1").json == stored


class TestAccess:
    def test_the_content_before_and_after_must_be_writable(self, fhir, as_token, build):
        fhir.put("Observation/o1", build.observation("Patient/p2", id="o1"))
        shared = build.observation("Patient/p1", id="o2", performer=[{"reference": "Patient/p2"}])
        fhir.put("Observation/o2", shared)
        own = as_token("patient/*.cruds", patient="p2")

        amended = {"op": "replace", "path": "/status", "value": "amended"}
        away = {"op": "replace", "path": "/subject/reference", "value": "Patient/p1"}
        taken = {"op": "replace", "path": "/subject/reference", "value": "Patient/p2"}
        assert json_patch(own, "Observation/o1", away).codes == ["forbidden"]
        assert json_patch(own, "Observation/o2", amended).codes == ["forbidden"]
        assert json_patch(own, "Observation/o2", taken).codes == ["forbidden"]
        assert json_patch(own, "Observation/o1", amended).status == 200
        assert fhir.get("Observation/o2/_history").json["total"] == 1

    def test_what_is_hidden_is_as_if_absent(self, fhir, as_token, build):
        fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))
        own = as_token("patient/*.cruds", patient="p2")
        amended = {"op": "replace", "path": "/status", "value": "amended"}
        for path in ("Observation/o1", "Observation/none", "Observation?code=2160-0", "Observation?code=none"):
            assert json_patch(own, path, amended).status == 404

    def test_who_may_not_read_may_not_ask_by_patching(self, fhir, as_token, stored):
        test = {"op": "test", "path": "/gender", "value": "female"}
        for scope in ("system/Patient.u", "system/Patient.cuds", "system/Patient.write", "system/Patient.rs"):
            answer = json_patch(as_token(scope), "Patient/p1", test)
            assert (answer.status, answer.codes) == (403, ["forbidden"])
        assert json_patch(as_token("system/Patient.ru"), "Patient/p1", test).status == 200

    def test_a_condition_needs_the_permission_to_search(self, as_token, stored):
        answer = json_patch(as_token("system/Patient.cru"), f"Patient?{MRN}", MALE)
        assert (answer.status, answer.codes) == (403, ["forbidden"])
        assert json_patch(as_token("system/Patient.rus"), f"Patient?{MRN}", MALE).status == 200

    def test_what_is_found_but_not_readable_is_as_if_absent(self, fhir, as_token, build):
        fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))
        narrow = as_token("system/Observation.us system/Observation.r?status=amended")
        amended = {"op": "replace", "path": "/status", "value": "amended"}
        assert json_patch(narrow, "Observation/o1", amended).status == 404
        assert json_patch(narrow, "Observation?code=2160-0", amended).status == 404
