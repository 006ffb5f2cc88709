"""record, coverage, explain and docs: what authors are shown, and that a recorded test names nobody."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.authoring import coverage, coverage_views, documents, golden
from mappings.authoring.deidentify import Disguise, deidentified
from mappings.authoring.explain import explain
from mappings.authoring.explain_views import as_html, as_json, as_text
from mappings.authoring.feed import Folder
from mappings.authoring.record_test import record
from mappings.engine import load
from mappings.hl7v2.message import parse
from mappings.result import Source

GOLDEN = Path(__file__).parent / "maps" / "golden"
TODAY = date(2026, 3, 1)
# Words of the golden messages that are about a person, by their datatype and not by being kept.
PERSONAL = (
    "SYNTHETIC",
    "ALPHA",
    "4700011",
    "SAMPLE WAY",
    "EXAMPLETON",
    "60001",
    "5550101",
    "19500417",
    "000-00-0002",
)


@pytest.fixture(scope="module")
def maps():
    return load()


def message(name: str):
    return parse((GOLDEN / f"{name}.hl7").read_bytes().replace(b"\n", b"\r"))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.hl7")), ids=lambda path: path.stem)
def test_nothing_of_a_person_is_left(path) -> None:
    read = message(path.stem)
    # A key of its own each time would now and then make five digits of a person out of noise.
    found = deidentified(read, Disguise(b"k" * 32, 400, TODAY)).decode()
    assert [word for word in PERSONAL if word in found] == []


def test_shape_codes_and_events_stay() -> None:
    before = message("adt-a01-admission")
    after = parse(deidentified(before, Disguise.fresh(TODAY)))
    assert [s.name for s in after.segments] == [s.name for s in before.segments]
    assert [str(v.position) for v in after.filled()] == [str(v.position) for v in before.filled()]
    for path in ("MSH-9.2", "PID-8", "PV1-2", "PV1-3", "PID-3.4", "PID-3.5", "PID-16.1"):
        assert after.get(path).text == before.get(path).text


def test_the_same_value_is_the_same_again_and_other_in_another_message() -> None:
    raw = message("adt-visit-people")
    one = parse(deidentified(raw, Disguise.fresh(TODAY)))
    other = parse(deidentified(raw, Disguise.fresh(TODAY)))
    assert one.get("PV1-7.2").text == one.get("PV1-17.2").text
    assert one.get("PV1-7.2").text != other.get("PV1-7.2").text


@given(st.text(max_size=40))
def test_a_disguised_text_has_no_separators(text) -> None:
    disguise = Disguise(b"k" * 32, 40, TODAY)
    for made in (disguise.number(text), disguise.name(text), disguise.date(text), disguise.phone(text)):
        assert not re.search(r"[|^~\\&\r\n]", made)


def test_intervals_between_dates_stay() -> None:
    disguise = Disguise(b"k" * 32, 40, TODAY)
    assert disguise.date("20260215093000-0600") == "20260106093000-0600"
    assert disguise.date("19000101") == "19360101", "whoever is older than 89 is as old as that"


def test_a_recorded_test_passes_and_is_never_written_over(maps, tmp_path) -> None:
    paths = record(message("adt-a01-admission"), tmp_path / "new", Source("s", production=False), maps)
    (test,) = golden.find([tmp_path])
    mapped = test.run(maps)
    assert list(golden.faults(test, mapped, None)) == []
    assert golden.difference(test, mapped) == ""
    with pytest.raises(FileExistsError):
        record(message("adt-a01-admission"), paths[0].with_suffix(""), Source("s"), maps)


def covered(maps, tmp_path, *names: str, overlay: str = ""):
    """The coverage of some golden messages."""
    folder = tmp_path / "messages"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes((GOLDEN / f"{name}.hl7").read_bytes())
    (folder / "noise").write_bytes(b"nothing")
    return coverage.measure(Folder(folder, Source("s", overlay=overlay)), maps)


def test_coverage_counts_what_reaches_fhir_and_what_never_does(maps, tmp_path) -> None:
    found = covered(maps, tmp_path, "adt-site-segment", "adt-unknown-codes")
    assert (found.messages, found.unreadable) == (2, 1)
    assert found.site_segments == {"ZPD": 1}
    assert 0.5 < found.total.share < 1
    assert ("ZPD-2.1", 1) in found.never_mapped()
    report = "\n".join(coverage_views.as_text(found))
    assert "SOMETHING" not in report, "examples are masked"
    assert "xxxxxxxxx" in report
    assert coverage_views.as_json(found)["components"]["filled"] == found.total.filled


def test_coverage_tells_the_share_of_each_segment_and_field(maps, tmp_path) -> None:
    found = covered(maps, tmp_path, "adt-site-segment", "adt-unknown-codes")
    for counted in (found.segments, found.fields):
        assert sum(each.filled for each in counted.values()) == found.total.filled
        assert sum(each.reached for each in counted.values()) == found.total.reached
    assert found.segments["ZPD"].share == 0
    assert found.fields["PID-3"].share == 1
    told = {row["field"]: row for row in coverage_views.as_json(found)["fields"]}
    assert told["PID-3"]["name"] == "Patient Identifier List"
    assert any(line.split()[:3] == ["ZPD", "0", "of"] for line in coverage_views.as_text(found))


def test_coverage_names_unknown_codes_with_their_table_and_names_without_a_system(maps, tmp_path) -> None:
    found = covered(maps, tmp_path, "adt-unknown-codes")
    (gender,) = (row for row in coverage_views.as_json(found)["unknown_codes"] if row["place"] == "PID-8.1")
    assert gender == {
        "place": "PID-8.1", "code": "Q", "count": 1, "finding": "table 0001 does not know this code"
    }  # fmt: skip
    assert {each.sent for each in found.systems} == {"SYNTHMRN", "SYNTHGEN"}


def test_coverage_names_rows_of_an_overlay_that_no_message_needed(tmp_path) -> None:
    tables = tmp_path / "overlays" / "ward" / "tables"
    tables.mkdir(parents=True)
    row = "{},http://hl7.org/fhir/administrative-gender,other,Other,inexact,,site\n"
    header = "code,system,target,display,equivalence,note,source\n"
    (tables / "0001.csv").write_text(header + row.format("Q") + row.format("R"))
    site = load(tmp_path / "overlays")
    found = covered(site, tmp_path, "adt-unknown-codes", "adt-site-segment", overlay="ward")
    assert found.rows_not_met() == ["ward/0001:R"]
    assert not any(each.place == "PID-8.1" for each in found.codes)


def test_an_explanation_reads_both_ways(maps) -> None:
    read = message("adt-a02-transfer")
    mapped = maps.run(read, Source("s"), received=datetime(2026, 3, 1, tzinfo=UTC))
    found = explain(read, mapped)
    status = next(o for o in found.outputs if o.path == "Encounter.status")
    assert status.step is not None
    assert status.step.positions == ("MSH[1]-9[1].2.1",)
    assert status.step.table == "0003-status:A02"
    given = next(i for i in found.inputs if i.position == "PID[1]-5[1].2.1")
    assert given.became == ("patient: Patient.name[0].given[0]",)
    assert given.name == "Patient Name, Given Name"
    text = "\n".join(as_text(found))
    assert 'Patient.gender = "female"' in text
    assert as_json(found)["inputs"]


def test_a_page_escapes_what_a_message_holds(maps) -> None:
    header = b"MSH|^~\\&|A|F|B|C|20260215093000Z||ADT^A08|1|P|2.5.1\rEVN|A08\r"
    read = parse(header + b"PID|||7^^^M^MR||<script>alert(1)</script>")
    mapped = maps.run(read, Source("s"), received=datetime(2026, 3, 1, tzinfo=UTC))
    page = as_html(read, explain(read, mapped))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_documents_have_a_row_for_each_way(maps) -> None:
    lines = list(documents.markdown(maps.base, "ADT_A03"))
    assert lines[0] == "# ADT_A03: ADT^A03\n"
    assert any("| PV1-45 | Discharge Date/Time |" in line and "Encounter.period.end" in line for line in lines)
    with pytest.raises(KeyError):
        list(documents.markdown(maps.base, "NOPE"))


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ("abuot = 'x'", "no key 'abuot'"),
        ("about = 'x'", "a test asserts something"),
        ("refused = 'no-map'\n[source]\nzone = 'x'", "a source has no 'zone'"),
        ("refused = 'no-map'\n[source]\nproduction = 'x'", "'production' of a source is a bool"),
        ("refused = 'no-map'\nreceived = 2026-01-01T00:00:00", "`received` is a time with an offset"),
        ("refused =", "t.toml: no TOML"),
        ("refused = 'no-map'\nabout = 1", "`about` is a text"),
        ("refused = 'no-map'\nrequirement = '2.2'", "`requirement` is a list of texts"),
        ("refused = 'no-map'\nfinding = [1]", "`finding` is a list of texts"),
        ("refused = 'no-map'\nreceived = 'now'", "`received` is a time with an offset"),
        ("refused = 'no-map'\nsource = 'x'", "`source` is a table"),
        ("refused = 7", "`refused` is a text"),
        ("assert = 'x'", "`assert` is a list of tables"),
        ("assert = ['x']", "`assert` is a list of tables"),
        ("[[assert]]\non = 'patient'", "`assert` says `on` what and `that` what"),
        ("[[assert]]\non = 1\nthat = 'Patient.active'", "`assert` says `on` what and `that` what"),
    ],
)
def test_a_test_that_cannot_be_run_says_why(tmp_path, toml, why) -> None:
    (tmp_path / "t.hl7").write_text("MSH|^~\\&|")
    (tmp_path / "t.toml").write_text(toml)
    with pytest.raises(golden.BadTest, match=re.escape(why)):
        golden.find([tmp_path])


def test_a_test_that_is_not_there_is_said(tmp_path) -> None:
    with pytest.raises(golden.BadTest, match=re.escape("there is no test (NAME.hl7) in it")):
        golden.find([tmp_path])
    with pytest.raises(golden.BadTest, match=r"t\.hl7: there is no such file"):
        golden.find([tmp_path / "t.toml"])
    (tmp_path / "t.hl7").write_text("MSH|^~\\&|")
    with pytest.raises(golden.BadTest, match=r"t\.toml: there is no such file"):
        golden.find([tmp_path])
    (tmp_path / "t.toml").write_bytes(b"about = '\xff'")
    with pytest.raises(golden.BadTest, match=r"t\.toml: no TOML"):
        golden.find([tmp_path])
    (tmp_path / "u.hl7").mkdir()
    with pytest.raises(golden.BadTest, match=r"u\.hl7: Is a directory"):
        golden.find([tmp_path / "u"])


def test_a_golden_file_that_is_no_text_differs(tmp_path, maps) -> None:
    (tmp_path / "t.hl7").write_text("MSH|^~\\&|A|B|C|D|20260301||ADT^A99|1|P|2.5")
    (tmp_path / "t.toml").write_text("refused = 'no-map'")
    (tmp_path / "t.json").write_bytes(b"\xff\xfe{")
    (one,) = golden.find([tmp_path])
    assert golden.difference(one, one.run(maps)).startswith("--- t.json")


def test_what_is_no_fhirpath_is_said() -> None:
    with pytest.raises(golden.BadTest, match="no FHIRPath"):
        golden.holds({"resourceType": "Patient"}, "Patient.name.where(")


def test_what_a_function_leaves_alone_on_purpose_is_told_apart(maps) -> None:
    read = message("adt-primary-care")
    mapped = maps.run(read, Source("s"), received=datetime(2026, 3, 1, tzinfo=UTC))
    notes = {entry.position: entry.note for entry in explain(read, mapped).inputs}
    assert notes["PD1[1]-3[1].2.1"] == "unmapped: FHIR has no place for it"
    site = message("adt-site-segment")
    mapped = maps.run(site, Source("s"), received=datetime(2026, 3, 1, tzinfo=UTC))
    assert {e.note for e in explain(site, mapped).inputs if e.position.startswith("ZPD")} == {"unmapped"}
