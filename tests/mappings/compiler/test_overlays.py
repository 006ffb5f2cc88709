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
