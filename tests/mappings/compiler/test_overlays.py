"""A site's changes: laid over what ships, by name, and noticed when what they change is gone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mappings.engine import MappingErrors, MapSet, check, load
from mappings.hl7v2.message import parse
from mappings.result import Mapped, Source

ADT = (
    "MSH|^~\\&|A|F|B|C|20260215093000Z||ADT^A08|1|P|2.5.1\rEVN|A08\rPID|||77^^^M^MR||SYNTH|||F\rZPD|M|Z9^^^SITE"
)


@pytest.fixture
def site(tmp_path):
    """A folder of overlays with one, `ward`, whose files are given by name and text."""

    def write(**files: str):
        for name, text in files.items():
            path = tmp_path / "ward" / name.replace("__", "/")
            path = path.with_suffix(".csv" if "tables" in name else ".yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return tmp_path

    return write


def run(maps: MapSet, overlay: str = "ward") -> Mapped:
    return maps.run(
        parse(ADT.encode()), Source("s", overlay=overlay), received=datetime(2026, 3, 1, tzinfo=UTC)
    )


def patient(mapped: Mapped):
    assert mapped.refused is None, mapped.refused
    return next(intent for intent in mapped.intents if intent.key == "patient")


def test_a_rule_is_replaced_removed_and_added(site) -> None:
    changes = (
        "extends: PID_content\nchanges:\n"
        "  - {replace: gender, from: ZPD-1, table: '0001'}\n"
        "  - {remove: name}\n"
        "  - {to: identifier, from: ZPD-2.1}\n"
    )
    with pytest.raises(MappingErrors, match="`using` says how this becomes a Identifier"):
        load(site(pid=changes))
    maps = load(site(pid=changes.replace("ZPD-2.1", "ZPD-2, using: cx")))
    found = patient(run(maps)).resource
    assert found["gender"] == "male"
    assert "name" not in found
    assert [identifier["value"] for identifier in found["identifier"]] == ["77", "Z9"]
    assert patient(run(maps, "")).resource["gender"] == "female", "the base is as it was"


def test_settings_of_a_resource_are_changed(site) -> None:
    maps = load(site(pid="extends: PID\nchanges:\n  - {in: patient, set: {write: create}}\n"))
    assert patient(run(maps)).write == "create"
    assert patient(run(maps, "")).write == "merge"


def test_rows_of_a_table_are_laid_over_the_base(site) -> None:
    header = "code,system,target,display,equivalence,note,source\n"
    row = "F,http://hl7.org/fhir/administrative-gender,other,Other,inexact,,site\n"
    maps = load(site(tables__0001=header + row))
    assert patient(run(maps)).resource["gender"] == "other"
    assert patient(run(maps, "")).resource["gender"] == "female"


def test_a_change_of_what_is_gone_is_a_mistake(site) -> None:
    changes = "extends: PID_content\nchanges:\n  - {replace: gendre, from: PID-8, table: '0001'}\n"
    with pytest.raises(
        MappingErrors,
        match=r"ward/pid.yaml:3:15: nothing to replace: no rule for 'gendre'; did you mean 'gender'",
    ):
        load(site(pid=changes))
    with pytest.raises(MappingErrors, match="nothing 'PIDD' to extend; did you mean 'PID'"):
        load(site(pid="extends: PIDD\nchanges: []\n"))


def test_a_map_of_the_site_takes_the_place_of_the_shipped_one(site) -> None:
    own = "map: ADT_A01\nfor: [ADT^A08]\nrules:\n"
    own += "  - {resource: Patient, as: patient, rules: [{to: language, from: PID-8}]}\n"
    assert patient(run(load(site(m=own)))).resource == {"resourceType": "Patient", "language": "F"}


def test_a_table_that_cannot_be_read_is_a_mistake_with_its_line(site) -> None:
    _, problems = check(site(tables__0001="code,system\n"))
    assert any(str(problem).startswith("ward/tables/0001.csv:1:1: the columns are") for problem in problems)


def test_a_source_whose_overlay_is_not_loaded_is_refused(site) -> None:
    assert run(load(None)).refused.code == "overlay-unknown"


def test_the_version_says_which_files(site) -> None:
    base = load(None).version
    changed = load(site(pid="extends: PID\nchanges:\n  - {in: patient, set: {write: create}}\n")).version
    assert base == load(None).version
    assert base != changed
    assert len(base) == 16


HEADER = "code,system,target,display,equivalence,note,source\n"
GENDER = "{},http://hl7.org/fhir/administrative-gender,{},{},inexact,,site\n"


def doubts(folder) -> list[str]:
    """What lint doubts about a folder of overlays; there are no mistakes in it."""
    _, problems = check(folder)
    assert [str(problem) for problem in problems if not problem.is_warning] == []
    return [str(problem) for problem in problems]


def test_a_row_that_says_what_is_shipped_is_doubtful(site) -> None:
    folder = site(
        tables__0001=HEADER + GENDER.format("X", "other", "Other") + GENDER.format("F", "female", "Female")
    )
    assert doubts(folder) == ["ward/tables/0001.csv:3:1: warning: 'F' of table 0001 is so without this row"]


def test_a_table_that_nothing_uses_is_doubtful_and_the_likely_one_is_named(site) -> None:
    (doubt,) = doubts(site(tables__001=HEADER + GENDER.format("X", "other", "Other")))
    assert doubt.startswith("ward/tables/001.csv:1:1: warning: no rule and no function uses the table '001'")
    assert "did you mean '0001'?" in doubt


def test_a_table_that_a_rule_of_the_site_uses_is_not_doubtful(site) -> None:
    change = "extends: PID_content\nchanges:\n  - {replace: gender, from: ZPD-1, table: site_sex}\n"
    assert doubts(site(pid=change, tables__site_sex=HEADER)) == []


def test_files_that_nobody_reads_are_doubtful(site) -> None:
    folder = site(pid="extends: PID\nchanges: []\n")
    (folder / "ward" / "pv1.yml").write_text("")
    (folder / "ward" / "0001.csv").write_text("")
    (folder / "PID.yaml").write_text("")
    (folder / "ward" / "README.md").write_text("")
    assert doubts(folder) == [
        "PID.yaml:1:1: warning: not read: an overlay is a folder here, named as its sources name it",
        "ward/0001.csv:1:1: warning: not read; did you mean 'tables/0001.csv'?",
        "ward/pv1.yml:1:1: warning: not read; did you mean 'pv1.yaml'?",
    ]


@pytest.mark.parametrize(
    ("text", "use", "doubt"),
    [
        (
            "switches:\n  wards: {values: ['no', 'yes'], about: x}\n",
            "{to: language, const: en, when: {switch.wards: 'yes'}}",
            "2:10: warning: no rule uses the switch 'wards'",
        ),
        (
            "extensions:\n  bed: {url: 'urn:x:bed', value: string, on: Patient}\n",
            "{to: extension.bed, from: ZPD-1}",
            "2:8: warning: no rule uses the extension 'bed'",
        ),
        ("ranks:\n  wards: {a: 1, b: 2}\n", "", "2:10: warning: no rule uses the ranks 'wards'"),
    ],
)
def test_a_name_that_no_rule_says_is_doubtful(site, text, use, doubt) -> None:
    assert doubts(site(names=text)) == [f"ward/names.yaml:{doubt}"]
    if use:
        assert doubts(site(names=text, pid=f"extends: PID_content\nchanges:\n  - {use}\n")) == []


def test_a_row_with_a_code_that_fhir_does_not_have_is_named_with_its_place(site) -> None:
    with pytest.raises(MappingErrors) as failed:
        load(site(tables__0001=HEADER + GENDER.format("X", "othr", "Other")))
    (problem,) = failed.value.problems
    assert str(problem).startswith(
        "ward/tables/0001.csv:2:1: R4 has no code 'othr' for 'gender'; did you mean 'other'?"
    )
