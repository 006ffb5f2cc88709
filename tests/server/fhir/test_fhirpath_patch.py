"""FHIRPath Patch: server/fhir/fhirpath_patch.py and fhirpath_patch_values.py.

Covers hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import FhirError
from server.fhir.fhirpath_patch import apply_fhirpath_patch

EXTENSION = {"part": [{"name": "url", "valueUri": "urn:x"}, {"name": "value", "valueString": "y"}]}


def patient() -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "p1",
        "meta": {"versionId": "3", "lastUpdated": "2024-05-17T12:00:00Z"},
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'},
        "identifier": [{"system": "urn:a", "value": str(n)} for n in range(4)],
        "name": [{"use": "official", "given": ["Anna", "Berta"], "_given": [None, {"id": "b"}]}],
        "gender": "female",
        "birthDate": "1950-03-02",
        "_birthDate": {"id": "x"},
        "deceasedBoolean": False,
        "contact": [{"name": {"text": "Next of kin"}}],
    }


def operation(type: str, path: str, **parts: Any) -> dict[str, Any]:
    """An operation; parts: the value[x] or parts of each, numbers as valueInteger, name as valueString."""
    listed = [{"name": "type", "valueCode": type}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        if isinstance(value, int):
            value = {"valueInteger": value}
        elif isinstance(value, str):
            value = {"valueString": value}
        listed.append({"name": name, **value})
    return {"name": "operation", "part": listed}


def changed(*operations: dict[str, Any]) -> dict[str, Any]:
    """What differs after the operations: element -> its new value, None where it is gone."""
    before = patient()
    after = apply_fhirpath_patch(patient(), {"resourceType": "Parameters", "parameter": list(operations)})
    return {name: after.get(name) for name in before | after if before.get(name) != after.get(name)}


def refused(*operations: Any) -> FhirError:
    with pytest.raises(FhirError) as refusal:
        apply_fhirpath_patch(patient(), {"resourceType": "Parameters", "parameter": list(operations)})
    return refusal.value


class TestReplace:
    def test_a_primitive(self) -> None:
        assert changed(operation("replace", "Patient.gender", value={"valueCode": "male"})) == {
            "gender": "male"
        }

    def test_a_primitive_takes_its_extensions_with_it(self) -> None:
        given = {"valueDate": "1951-01-01", "_valueDate": {"id": "y"}}
        assert changed(operation("replace", "Patient.birthDate", value=given)) == {
            "birthDate": "1951-01-01",
            "_birthDate": {"id": "y"},
        }
        assert changed(operation("replace", "Patient.birthDate", value={"valueDate": "1951-01-01"})) == {
            "birthDate": "1951-01-01",
            "_birthDate": None,
        }

    def test_one_of_a_list_in_its_place(self) -> None:
        path = "Patient.identifier.where(value = '1')"
        value = {"valueIdentifier": {"value": "new"}}
        values = [one["value"] for one in changed(operation("replace", path, value=value))["identifier"]]
        assert values == ["0", "new", "2", "3"]

    def test_a_choice_by_another_type(self) -> None:
        assert changed(operation("replace", "Patient.deceased", value={"valueDateTime": "2020"})) == {
            "deceasedBoolean": None,
            "deceasedDateTime": "2020",
        }

    def test_decimals_keep_their_digits(self) -> None:
        resource = {"resourceType": "Observation", "id": "o", "valueQuantity": {"value": Decimal("1.50")}}
        patch = operation("replace", "Observation.value.value", value={"valueDecimal": Decimal("2.500")})
        after = apply_fhirpath_patch(resource, {"resourceType": "Parameters", "parameter": [patch]})
        assert str(after["valueQuantity"]["value"]) == "2.500"

    def test_a_narrative_is_given_as_a_string(self) -> None:
        div = '<div xmlns="http://www.w3.org/1999/xhtml">b</div>'
        assert changed(operation("replace", "Patient.text.div", value=div))["text"]["div"] == div


class TestAdd:
    def test_an_element_that_was_not_there(self) -> None:
        value = {"valueCodeableConcept": {"text": "married"}}
        assert changed(operation("add", "Patient", name="maritalStatus", value=value)) == {
            "maritalStatus": {"text": "married"}
        }

    def test_to_the_end_of_a_list(self) -> None:
        assert changed(operation("add", "Patient.name[0]", name="given", value="Clara"))["name"][0] == {
            "use": "official",
            "given": ["Anna", "Berta", "Clara"],
            "_given": [None, {"id": "b"}, None],
        }

    def test_an_element_in_parts(self) -> None:
        value = {
            "part": [
                {"name": "name", "valueHumanName": {"text": "Other"}},
                {"name": "relationship", "valueCodeableConcept": {"text": "friend"}},
                {"name": "relationship", "valueCodeableConcept": {"text": "guardian"}},
            ]
        }
        assert changed(operation("add", "Patient", name="contact", value=value))["contact"][1] == {
            "name": {"text": "Other"},
            "relationship": [{"text": "friend"}, {"text": "guardian"}],
        }

    def test_an_extension_to_a_primitive(self) -> None:
        assert changed(operation("add", "Patient.gender", name="extension", value=EXTENSION)) == {
            "_gender": {"extension": [{"url": "urn:x", "valueString": "y"}]}
        }

    def test_a_choice_by_its_name_in_fhirpath(self) -> None:
        assert changed(operation("add", "Patient", name="multipleBirth", value={"valueInteger": 2})) == {
            "multipleBirthInteger": 2
        }

    def test_a_contained_resource(self) -> None:
        contained = {"resourceType": "Organization", "id": "o", "name": "Practice"}
        assert changed(operation("add", "Patient", name="contained", value={"resource": contained})) == {
            "contained": [contained]
        }


class TestInsert:
    @pytest.mark.parametrize(("index", "values"), [(0, "n0123"), (2, "01n23"), (4, "0123n")])
    def test_at_every_place_of_a_list(self, index: int, values: str) -> None:
        value = {"valueIdentifier": {"value": "n"}}
        after = changed(operation("insert", "Patient.identifier", index=index, value=value))
        assert "".join(one["value"] for one in after["identifier"]) == values

    def test_into_a_list_that_is_empty(self) -> None:
        value = {"valueContactPoint": {"value": "555"}}
        assert changed(operation("insert", "Patient.telecom", index=0, value=value)) == {
            "telecom": [{"value": "555"}]
        }

    def test_between_primitives_whose_extensions_stay_with_them(self) -> None:
        assert changed(operation("insert", "Patient.name[0].given", index=1, value="X"))["name"][0] == {
            "use": "official",
            "given": ["Anna", "X", "Berta"],
            "_given": [None, None, {"id": "b"}],
        }


class TestDelete:
    def test_an_element_and_what_becomes_empty_with_it(self) -> None:
        assert changed(operation("delete", "Patient.contact[0].name.text")) == {"contact": None}

    def test_a_primitive_with_its_extensions(self) -> None:
        assert changed(operation("delete", "Patient.birthDate")) == {"birthDate": None, "_birthDate": None}

    def test_an_extension_alone(self) -> None:
        assert changed(operation("delete", "Patient.name[0].given[1].id"))["name"][0] == {
            "use": "official",
            "given": ["Anna", "Berta"],
        }

    def test_what_is_not_there_is_no_error(self) -> None:
        assert changed(operation("delete", "Patient.maritalStatus")) == {}


class TestMove:
    @pytest.mark.parametrize(
        ("source", "destination", "values"), [(0, 3, "1230"), (3, 0, "3012"), (1, 2, "0213"), (2, 2, "0123")]
    )
    def test_within_a_list(self, source: int, destination: int, values: str) -> None:
        patch = operation("move", "Patient.identifier", source=source, destination=destination)
        after = changed(patch).get("identifier", patient()["identifier"])
        assert "".join(one["value"] for one in after) == values


def test_operations_are_applied_one_after_the_other() -> None:
    assert changed(
        operation("delete", "Patient.identifier[0]"),
        operation("delete", "Patient.identifier[0]"),
        operation("replace", "Patient.identifier[0].value", value="two"),
    )["identifier"] == [{"system": "urn:a", "value": "two"}, {"system": "urn:a", "value": "3"}]


def test_no_operations_change_nothing() -> None:
    assert changed() == {}
    assert apply_fhirpath_patch(patient(), {"resourceType": "Parameters"}) == patient()


class TestRefusals:
    @pytest.mark.parametrize(
        ("patch", "part"),
        [
            (operation("replace", "Patient.maritalStatus", value={"valueCodeableConcept": {"text": "x"}}), 1),
            (operation("replace", "Patient.identifier", value={"valueIdentifier": {"value": "x"}}), 1),
            (operation("replace", "Patient.gender", value="male"), 2),
            (operation("replace", "Patient.gender", value={"valueCode": ["male"]}), 2),
            (operation("replace", "Patient.name[0]", value={"valueHumanName": {"familie": "x"}}), 2),
            (operation("replace", "Patient.name[0]", value={"valueHumanName": {}}), 2),
            (operation("replace", "Patient", value={"resource": patient()}), 1),
            (operation("replace", "Patient.gender", value={}), 2),
            (operation("replace", "Patient.gender", value={"valueCode": "male", "valueString": "male"}), 2),
            (
                operation(
                    "replace", "Patient.name[0]", value={"part": [{"name": "nothing", "valueString": "x"}]}
                ),
                2,
            ),
            (operation("replace", "Patient.name[0]", value={"part": [{"valueString": "x"}]}), 2),
            (operation("replace", "Patient.name[0]", value={"part": 3}), 2),
            (
                operation(
                    "replace",
                    "Patient.name[0]",
                    value={
                        "part": [{"name": "text", "valueString": "x"}, {"name": "text", "valueString": "y"}]
                    },
                ),
                2,
            ),
            (operation("add", "Patient.identifier", name="value", value="x"), 1),
            (operation("add", "Patient.contact.period", name="end", value={"valueDate": "2021-12-01"}), 1),
            (operation("add", "Patient", name="gender", value={"valueCode": "male"}), 2),
            (operation("add", "Patient", name="deceased", value={"valueDateTime": "2020"}), 2),
            (operation("add", "Patient", name="nothing", value="x"), 2),
            (operation("add", "Patient", name="resourceType", value="Task"), 2),
            (operation("add", "Patient", name={"valueCode": "gender"}, value="x"), 2),
            (operation("insert", "Patient.identifier", index=5, value={"valueIdentifier": {"value": "x"}}), 2),
            (operation("insert", "Patient.identifier", index=-1, value={"valueIdentifier": {"value": "x"}}), 2),
            (
                operation("insert", "Patient.identifier", index="0", value={"valueIdentifier": {"value": "x"}}),
                2,
            ),
            (operation("insert", "Patient.gender", index=0, value={"valueCode": "male"}), 1),
            (operation("delete", "Patient.identifier"), 1),
            (operation("delete", "Patient"), 1),
            (operation("move", "Patient.identifier", source=4, destination=0), 2),
            (operation("move", "Patient.identifier", source=0, destination=4), 3),
            (operation("move", "Patient.nothing", source=0, destination=0), 2),
            (operation("delete", "Patient.name.count()"), 1),
        ],
    )
    def test_what_cannot_be_applied_names_the_part_that_is_wrong(
        self, patch: dict[str, Any], part: int
    ) -> None:
        error = refused(operation("delete", "Patient.nothing"), patch)
        assert error.status == 422, error.issues
        assert error.issues[0].expression == f"Parameters.parameter[1].part[{part}]"

    @pytest.mark.parametrize(
        ("patch", "kind"),
        [
            (3, "invalid-request"),
            ({"name": "operation"}, "invalid-request"),
            ({"name": "operation", "part": [3]}, "invalid-request"),
            ({"name": "other", "part": []}, "invalid-request"),
            (operation("replace", "Patient.gender"), "required"),
            (operation("merge", "Patient.gender"), "invalid-request"),
            (operation("delete", "Patient.repeat(name)"), "invalid-request"),
            ({"name": "operation", "part": [{"name": "type", "valueCode": "delete"}]}, "required"),
            ({"name": "operation", "part": [{"name": "type", "valueCode": "delete"}] * 2}, "invalid-request"),
            (
                {"name": "operation", "part": [{"name": "type", "valueCode": "delete"}, {"name": "path"}]},
                "invalid-request",
            ),
        ],
    )
    def test_what_is_no_operation_is_named_before_anything_is_done(self, patch: Any, kind: str) -> None:
        error = refused(operation("delete", "Patient.identifier"), patch)
        assert (error.kind, error.status) == (kind, 400)
        assert error.issues[0].expression.startswith("Parameters.parameter[1]")

    @pytest.mark.parametrize(
        "patch",
        [
            operation("replace", "Patient.id", value={"valueId": "p2"}),
            operation("delete", "Patient.id"),
            operation("replace", "Patient.meta.versionId", value={"valueId": "9"}),
            operation("replace", "Patient.meta", value={"valueMeta": {"lastUpdated": "2020-01-01T00:00:00Z"}}),
        ],
    )
    def test_the_identity_cannot_change(self, patch: dict[str, Any]) -> None:
        error = refused(operation("delete", "Patient.gender"), patch)
        assert (error.kind, error.issues[0].expression) == ("unprocessable", "Parameters.parameter[1]")

    @pytest.mark.parametrize(
        "parameters", [{}, {"resourceType": "Patient"}, {"resourceType": "Parameters", "parameter": {}}]
    )
    def test_other_resources_are_no_patch(self, parameters: dict[str, Any]) -> None:
        with pytest.raises(FhirError) as refusal:
            apply_fhirpath_patch(patient(), parameters)
        assert refusal.value.status == 400

    def test_long_paths_are_read_up_to_a_number_of_words(self) -> None:
        long = " and ".join(["use = 'x'"] * 70)
        patch = operation("delete", f"Patient.name.where({long})")
        assert changed(*[patch] * 20) == {}
        error = refused(*[patch] * 1_000)
        assert (error.kind, error.status) == ("too-costly", 422)
        assert error.issues[0].expression.endswith(".part[1]")

    def test_a_patch_has_a_thousand_operations_at_most(self) -> None:
        patch = operation("delete", "Patient.nothing")
        assert changed(*[patch] * 1_000) == {}
        assert refused(*[patch] * 1_001).kind == "too-costly"


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.sampled_from(["male", "x", "Patient.name", "2020"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["name", "valueString", "valueCode", "valueHumanName", "part", "resource", "family"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
_names = st.sampled_from(["type", "path", "name", "value", "index", "source", "destination"])
_parts = st.lists(
    st.fixed_dictionaries(
        {"name": _names},
        optional={
            "valueCode": st.sampled_from(["add", "insert", "delete", "replace", "move"]) | _values,
            "valueString": st.sampled_from(["Patient", "Patient.name", "Patient.name[0].given", "gender"])
            | _values,
            "valueInteger": _values,
            "valueHumanName": _values,
            "part": _values,
            "resource": _values,
        },
    ),
    max_size=5,
    unique_by=lambda part: str(part["name"]),
)


@given(st.lists(st.fixed_dictionaries({"name": st.just("operation"), "part": _parts}) | _values, max_size=3))
def test_any_operations_give_a_resource_or_a_refusal_of_ours(operations: list[Any]) -> None:
    try:
        result = apply_fhirpath_patch(patient(), {"resourceType": "Parameters", "parameter": operations})
    except FhirError as refusal:
        result, status = patient(), refusal.status
    else:
        status = 200
    assert status in (200, 400, 422)
    assert (result["resourceType"], result["id"]) == ("Patient", "p1")
