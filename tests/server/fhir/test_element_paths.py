"""Trees of elements and paths through them: server/fhir/element_tree.py, element_paths.py, element_steps.py.

The part of FHIRPath that paths know is compared with fhirpathpy, an implementation of all of it.
"""

from __future__ import annotations

import gzip
import time
from contextlib import suppress
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import fhirpathpy
import pytest
from fhirpathpy.models import models
from hypothesis import given
from hypothesis import strategies as st

from server.fhir.element_paths import parse_path
from server.fhir.element_steps import WORK_MAXIMUM, PathError, PathTooCostly, Walk
from server.fhir.element_tree import MalformedElement, Node, as_json, tree
from server.fhir.json_codec import decode
from server.fhir.validation_tables import PRIMITIVES

EXAMPLES = Path(__file__).parent / "examples_us_core"

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Anna</div>'},
    "contained": [
        {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "code": {"text": "weight"},
            "valueQuantity": {"value": Decimal("71.50"), "unit": "kg"},
        }
    ],
    "identifier": [{"system": "urn:a", "value": "1"}, {"system": "urn:b", "value": "2"}],
    "name": [
        {"use": "official", "family": "Testfall", "given": ["Anna", "Berta"]},
        {"use": "nickname", "given": [None, "Nan"], "_given": [{"id": "g"}, None]},
    ],
    "telecom": [{"system": "phone", "value": "555", "rank": 1}, {"system": "email", "value": "a@example.org"}],
    "birthDate": "1950-03-02",
    "_birthDate": {"extension": [{"url": "urn:time", "valueDateTime": "1950-03-02T10:00:00Z"}]},
    "deceasedBoolean": False,
    "contact": [{"name": {"text": "Next of kin"}, "period": {"end": "2020"}, "gender": "male"}],
}

# fhirpathpy counts the two places that JSON has for the names of a list, one by one.
PLAIN = PATIENT | {"name": [PATIENT["name"][0], {"use": "nickname", "given": ["Nan"]}]}


def found(path: str, resource: dict[str, Any] = PATIENT) -> list[Any]:
    """The values that a path leads to; elements that are no primitives as JSON."""
    nodes = parse_path(path).nodes(tree(resource), Walk())
    return [node.value if node.type in PRIMITIVES else as_json(node) for node in nodes]


class TestTrees:
    def test_every_example_is_its_own_tree_written_again(self) -> None:
        checked = 0
        for file in sorted(EXAMPLES.glob("*.ndjson.gz")):
            with gzip.open(file) as lines:
                for line in islice(lines, 0, None, 3):
                    resource = decode(line)
                    assert as_json(tree(resource)) == resource
                    checked += 1
        assert checked > 100

    @pytest.mark.parametrize(
        "resource",
        [
            {},
            {"resourceType": "Nonsense"},
            {"resourceType": ["Patient"]},
            {"resourceType": "Patient", "unknown": 1},
            {"resourceType": "Patient", "name": {}},
            {"resourceType": "Patient", "name": ["x"]},
            {"resourceType": "Patient", "gender": ["male"]},
            {"resourceType": "Patient", "gender": {"value": "male"}},
            {"resourceType": "Patient", "_gender": 3},
            {"resourceType": "Patient", "_name": [{}]},
            {"resourceType": "Patient", "contained": [{"id": "x"}]},
        ],
    )
    def test_what_has_another_shape_than_its_type_is_refused(self, resource: dict[str, Any]) -> None:
        with pytest.raises(MalformedElement):
            tree(resource)

    def test_what_became_empty_is_left_out(self) -> None:
        root = tree({"resourceType": "Patient", "contact": [{"name": {"text": "x"}, "gender": "male"}]})
        (text,) = parse_path("Patient.contact.name.text").nodes(root, Walk())
        text.siblings().remove(text)
        assert as_json(root) == {"resourceType": "Patient", "contact": [{"gender": "male"}]}


SAME = [
    "Patient",
    "Patient.birthDate",
    "birthDate",
    "Patient.name.given",
    "Patient.name[1].given",
    "Patient.name[7]",
    "Patient.name.where(use = 'official').given[0]",
    "Patient.name.where(use != 'official').use",
    "Patient.name.where(given.exists($this = 'Berta')).family",
    "Patient.name.where(family.exists().not()).use",
    "Patient.name.where(family.empty() or use = 'x').use",
    "Patient.name.where(use = 'official' and given.count() = 2).family",
    "Patient.name.where(use = 'official' xor family.exists()).use",
    "Patient.name.where((use = 'official' or use = 'nickname') and family.exists()).use",
    "Patient.name.where(family.startsWith('Test')).family",
    "Patient.name.where(family.endsWith('fall')).family",
    "Patient.name.where(family.contains('stf')).family",
    "Patient.name.given.where($this = 'Nan')",
    "Patient.name.given.first()",
    "Patient.name.given.last()",
    "Patient.name.given.tail()",
    "Patient.name.given.skip(2)",
    "Patient.name.given.take(2)",
    "Patient.contact.single().gender",
    "Patient.identifier.where(system = 'urn:b').value",
    "Patient.identifier.where(system.all($this = 'urn:b')).value",
    "Patient.telecom.where(rank = 1).value",
    "Patient.telecom.where(rank.exists()).system",
    "Patient.birthDate.extension('urn:time').value",
    "Patient.contained.code.text",
    "(Patient.name).use",
    "Patient.name.`use`",
    "Patient . name [ 0 ] . use",
    "Patient.deceased",
    "Patient.deceased.ofType(boolean)",
    "Patient.deceased.ofType(dateTime)",
    "(Patient.deceased as boolean)",
    "Observation.status",
    "Patient.nothing",
]
STEPS = [
    *("name", "given", "use", "identifier", "value", "telecom", "contact", "[0]", "[1]", "first()", "last()"),
    *("where(use = 'official')", "where(system.exists())", "where(value = '2')", "where(given.count() = 2)"),
    *("where($this.exists())", "where(use.empty())"),
]


class TestPaths:
    @pytest.mark.parametrize("path", SAME)
    def test_they_lead_where_fhirpath_leads(self, path: str) -> None:
        assert found(path, PLAIN) == fhirpathpy.evaluate(PLAIN, path, model=models["r4"])

    @given(st.lists(st.sampled_from(STEPS), max_size=4))
    def test_so_does_any_path_made_of_these(self, steps: list[str]) -> None:
        path = "Patient" + "".join(step if step[0] == "[" else f".{step}" for step in steps)
        assert found(path, PLAIN) == fhirpathpy.evaluate(PLAIN, path, model=models["r4"])

    def test_an_element_knows_where_it_stands(self) -> None:
        root = tree(PATIENT)
        (given_name,) = parse_path("Patient.name[0].given[1]").nodes(root, Walk())
        assert given_name.siblings().index(given_name) == 1
        assert isinstance(given_name.parent, Node)
        assert given_name.parent.parent is root

    def test_a_primitive_that_has_only_extensions_is_an_element(self) -> None:
        assert found("Patient.name[1].given") == [None, "Nan"]
        assert found("Patient.name[1].given[0].id") == ["g"]

    def test_a_list_is_found_where_it_would_be(self) -> None:
        node, name = parse_path("Patient.contact[0].telecom").container(tree(PATIENT), Walk())
        assert (node.type, name) == ("Patient.contact", "telecom")

    @pytest.mark.parametrize(
        "path", ["Patient", "Patient.name[0]", "Patient.nothing.telecom", "Patient.name.given"]
    )
    def test_a_list_has_one_place_and_ends_with_its_name(self, path: str) -> None:
        with pytest.raises(PathError):
            parse_path(path).container(tree(PATIENT), Walk())

    @pytest.mark.parametrize(
        "path",
        [
            *(
                "",
                " ",
                ".",
                "Patient.",
                "Patient..name",
                "Patient.name[",
                "Patient.name[x]",
                "Patient.name[-1]",
            ),
            *(
                "Patient.name[1.5]",
                "Patient.name.where()",
                "Patient.name.where(use = )",
                "Patient.name.where(use",
            ),
            *("Patient.name.descendants()", "Patient.repeat(name)", "Patient.name.where(use.matches('a+'))"),
            *("%resource.name", "Patient.name | Patient.contact", "Patient.name.where(use ~ 'x')", "1 + 1"),
            *("Patient.birthDate + 1 'day'", "Patient.name.$this", "Patient.name.where('a", "Patient name"),
            *(
                "Patient.name.resolve()",
                "Patient.name.exists(",
                "Patient.name.ofType()",
                "Patient.name.skip('a')",
            ),
            *("Patient.name.skip(99999999999999999999)", "Patient." + "a" * 1_000, "\x00", "Patient.näme"),
            *("(" * 17 + "Patient" + ")" * 17, "Patient.name.where(use = 'a' = 'b')"),
        ],
    )
    def test_what_they_do_not_know_is_refused_in_words_of_ours(self, path: str) -> None:
        with pytest.raises(PathError) as refusal:
            parse_path(path)
        assert str(refusal.value)

    @pytest.mark.parametrize(
        "path",
        [
            "Patient.name.count()",
            "Patient.name.exists()",
            "'Patient'",
            "Patient.name.where(given)",
            "Patient.name.where(given.startsWith('A'))",
            "Patient.name.single()",
            "Patient.name.where($this = $this)",
        ],
    )
    def test_what_has_no_elements_as_its_answer_is_refused(self, path: str) -> None:
        with pytest.raises(PathError):
            found(path)

    @given(st.text(alphabet="Patient.name[]()'=\\0 where$this@`,!", max_size=40))
    def test_any_text_is_a_path_or_refused(self, text: str) -> None:
        with suppress(PathError):
            found(text)


class TestWork:
    def test_it_ends_however_long_a_hostile_path_would_look(self) -> None:
        many = {
            "resourceType": "Patient",
            "name": [{"given": [str(n), "x"], "use": "usual"} for n in range(8_000)],
        }
        inner = "given.where($this = 'x' or $this = 'y' or $this = 'z').exists()"
        path = f"Patient.name.where({' and '.join([inner] * 12)})"
        root, walk = tree(many), Walk()
        started = time.process_time()
        with pytest.raises(PathTooCostly):
            for _ in range(1_000):
                parse_path(path).nodes(root, walk)
        assert time.process_time() - started < 10

    def test_long_texts_count_by_their_length(self) -> None:
        root = tree({"resourceType": "Patient", "gender": "x" * 10_000_000})
        with pytest.raises(PathTooCostly):
            parse_path("Patient.where(" + " and ".join(["gender.contains('y').not()"] * 30) + ")").nodes(
                root, Walk()
            )

    def test_ordinary_paths_need_little_of_it(self) -> None:
        walk = Walk()
        for path in SAME:
            parse_path(path).nodes(tree(PATIENT), walk)
        assert walk.left > WORK_MAXIMUM * 0.99
