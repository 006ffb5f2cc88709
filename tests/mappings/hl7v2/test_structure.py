"""Segments stand in the groups of their message's structure; what is out of place stays near, with a warning.

Covers mappings/hl7v2/structure.py, abstract_syntax.py. HL7 v2.5.1, 2.12, table 0354. Messages are synthetic.
"""

from __future__ import annotations

import pytest

from mappings.hl7v2.abstract_syntax import Part, read, structures
from mappings.hl7v2.message import Message, parse
from mappings.hl7v2.structure import Group, group, structure_of


def message(kind: str, *names: str) -> Message:
    lines = [f"MSH|^~\\&|SYNTHETIC||||2026||{kind}|1|P|2.5.1", *(f"{name}||1" for name in names)]
    return parse("\r".join(lines).encode())


def drawn(found: Group) -> str:
    """A group in one line, as `ORDER(ORC OBSERVATION(OBX))`, groups after segments."""
    parts = [segment.name for segment in found.segments] + [drawn(one) for one in found.groups]
    return f"{found.name}({' '.join(parts)})"


def groups(kind: str, names: str) -> str:
    """The groups of a message, without its outermost one."""
    return " ".join(drawn(one) for one in group(message(kind, *names.split())).groups)


@pytest.mark.parametrize(
    ("kind", "structure"),
    [
        ("ADT^A01^ADT_A01", "ADT_A01"),
        *((f"ADT^{trigger}", "ADT_A01") for trigger in ("A01", "A04", "A08", "A13")),
        ("ADT^A02", "ADT_A02"),
        ("ADT^A03", "ADT_A03"),
        *((f"ADT^{trigger}", "ADT_A05") for trigger in ("A05", "A14", "A28", "A31")),
        *((f"ADT^{trigger}", "ADT_A06") for trigger in ("A06", "A07")),
        *((f"ADT^{trigger}", "ADT_A09") for trigger in ("A09", "A10", "A11")),
        *((f"ADT^{one}", f"ADT_{one}") for one in ("A12", "A15", "A16", "A17", "A18", "A20", "A37", "A38")),
        *((f"ADT^{one}", f"ADT_{one}") for one in ("A43", "A44", "A45", "A60")),
        *((f"ADT^{one}", "ADT_A21") for one in ["A21", "A22", "A23", "A25", "A26", "A27", "A29", "A32", "A33"]),
        *((f"ADT^{one}", "ADT_A30") for one in ["A30", "A34", "A35", "A36", "A46", "A47", "A48", "A49"]),
        *((f"ADT^{one}", "ADT_A39") for one in ["A39", "A40", "A41", "A42"]),
        *((f"MDM^T{number:02}", "MDM_T01") for number in (1, 3, 5, 7, 9, 11)),
        *((f"MDM^T{number:02}", "MDM_T02") for number in (2, 4, 6, 8, 10)),
        *((f"SIU^S{number}", "SIU_S12") for number in (*range(12, 25), 26)),
        *((f"PPR^PC{number}", "PPR_PC1") for number in (1, 2, 3)),
        *((f"PGL^PC{number}", "PGL_PC6") for number in (6, 7, 8)),
        *((f"PPP^PC{letter}", "PPP_PCB") for letter in "BCD"),
        *((f"REF^I{number}", "REF_I12") for number in (12, 13, 14, 15)),
        ("RDE^O25^RDE_O25", "RDE_O11"),
        ("ORU^R01", "ORU_R01"),
        ("ORU", "ORU_R01"),
        ("ACK^A01^ACK", "ACK"),
        ("ACK", "ACK"),
        ("ADT^A08^ADT_A08", "ADT_A01"),
        ("adt^a40^ADT_A01", "ADT_A39"),
        ("ADT^Z01^ADT_A02", "ADT_A02"),
        ("QBP^Q22", "QBP_Q22"),
        ("ADT", "ADT"),
        ("", ""),
    ],
)
@pytest.mark.requirement("HL7 v2 table 0354")
def test_the_structure_is_that_of_the_event(kind: str, structure: str) -> None:
    assert structure_of(message(kind)) == structure


def test_a_trigger_that_the_header_does_not_have_is_that_of_the_event_segment() -> None:
    assert structure_of(parse(b"MSH|^~\\&|A||||2026||ADT|1|P|2.1\rEVN|A03|2026\rPID|1")) == "ADT_A03"


@pytest.mark.parametrize(
    ("kind", "names", "expected"),
    [
        (
            "ORU^R01",
            "PID PV1 ORC OBR NTE OBX NTE OBX OBR OBX SPM OBX",
            "PATIENT_RESULT(PATIENT(PID VISIT(PV1)) ORDER_OBSERVATION(ORC OBR NTE OBSERVATION(OBX NTE)"
            " OBSERVATION(OBX)) ORDER_OBSERVATION(OBR OBSERVATION(OBX) SPECIMEN(SPM OBX)))",
        ),
        (
            "ORU^R01",
            "PID OBR OBX PID OBR OBX",
            "PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(OBR OBSERVATION(OBX)))"
            " PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(OBR OBSERVATION(OBX)))",
        ),
        (
            "OML^O21",
            "PID ORC TQ1 OBR DG1 OBX SPM SAC ORC OBR",
            "PATIENT(PID) ORDER(ORC TIMING(TQ1) OBSERVATION_REQUEST(OBR DG1 OBSERVATION(OBX)"
            " SPECIMEN(SPM CONTAINER(SAC)))) ORDER(ORC OBSERVATION_REQUEST(OBR))",
        ),
        (
            "OML^O21",
            "PID ORC OBR OBX PID OBR OBX OBR",
            "PATIENT(PID) ORDER(ORC OBSERVATION_REQUEST(OBR OBSERVATION(OBX) PRIOR_RESULT(PATIENT_PRIOR(PID)"
            " ORDER_PRIOR(OBR OBSERVATION_PRIOR(OBX)) ORDER_PRIOR(OBR))))",
        ),
        (
            "ORM^O01",
            "PID ORC OBR OBR OBX",
            "PATIENT(PID) ORDER(ORC ORDER_DETAIL(OBR) ORDER_DETAIL(OBR OBSERVATION(OBX)))",
        ),
        (
            "ORM^O01",
            "PID ORC RXO RXR ORC OBR",
            "PATIENT(PID) ORDER(ORC ORDER_DETAIL(RXO RXR)) ORDER(ORC ORDER_DETAIL(OBR))",
        ),
        (
            "RDE^O11",
            "PID PV1 ORC RXO RXR RXE TQ1 RXR RXC ORC RXE RXR",
            "PATIENT(PID PATIENT_VISIT(PV1)) ORDER(ORC RXE RXR RXC ORDER_DETAIL(RXO RXR) TIMING_ENCODED(TQ1))"
            " ORDER(ORC RXE RXR)",
        ),
        (
            "RDS^O13",
            "PID ORC RXO RXR RXE RXR RXD RXR",
            "PATIENT(PID) ORDER(ORC RXD RXR ORDER_DETAIL(RXO ORDER_DETAIL_SUPPLEMENT(RXR)) ENCODING(RXE RXR))",
        ),
        (
            "RAS^O17",
            "PID ORC RXE RXR RXA RXR RXA RXR OBX",
            "PATIENT(PID) ORDER(ORC ENCODING(RXE RXR) ADMINISTRATION(RXA RXR)"
            " ADMINISTRATION(RXA RXR OBSERVATION(OBX)))",
        ),
        (
            "OMP^O09",
            "PID ORC RXO RXR RXC ORC RXO",
            "PATIENT(PID) ORDER(ORC RXO RXR COMPONENT(RXC)) ORDER(ORC RXO)",
        ),
        (
            "SIU^S12",
            "SCH TQ1 NTE PID PV1 RGS AIS NTE AIG AIL AIP AIP RGS AIP",
            "PATIENT(PID PV1) RESOURCES(RGS SERVICE(AIS NTE) GENERAL_RESOURCE(AIG) LOCATION_RESOURCE(AIL)"
            " PERSONNEL_RESOURCE(AIP) PERSONNEL_RESOURCE(AIP)) RESOURCES(RGS PERSONNEL_RESOURCE(AIP))",
        ),
        ("ADT^A40", "EVN PID MRG PID PD1 MRG PV1", "PATIENT(PID MRG) PATIENT(PID PD1 MRG PV1)"),
        ("ADT^A45", "EVN PID MRG PV1 MRG PV1", "MERGE_INFO(MRG PV1) MERGE_INFO(MRG PV1)"),
        (
            "ADT^A01",
            "EVN PID NK1 PV1 AL1 PR1 ROL PR1 GT1 IN1 IN2 IN1",
            "PROCEDURE(PR1 ROL) PROCEDURE(PR1) INSURANCE(IN1 IN2) INSURANCE(IN1)",
        ),
        (
            "MDM^T02",
            "EVN PID PV1 ORC OBR TXA OBX NTE OBX",
            "COMMON_ORDER(ORC OBR) OBSERVATION(OBX NTE) OBSERVATION(OBX)",
        ),
        (
            "REF^I12",
            "RF1 AUT CTD PRD CTD PRD PID DG1 OBR OBX NTE PV1",
            "AUTHORIZATION_CONTACT(AUT CTD) PROVIDER_CONTACT(PRD CTD) PROVIDER_CONTACT(PRD)"
            " OBSERVATION(OBR RESULTS_NOTES(OBX NTE)) PATIENT_VISIT(PV1)",
        ),
        (
            "PPR^PC1",
            "PID PV1 PRB NTE ROL OBX GOL OBX ORC RXO RXR PRB",
            "PATIENT_VISIT(PV1) PROBLEM(PRB NTE PROBLEM_ROLE(ROL) PROBLEM_OBSERVATION(OBX)"
            " GOAL(GOL GOAL_OBSERVATION(OBX)) ORDER(ORC ORDER_DETAIL(RXO RXR))) PROBLEM(PRB)",
        ),
        (
            "PPP^PCB",
            "PID PTH ROL PRB GOL ORC OBR PTH",
            "PATHWAY(PTH PATHWAY_ROLE(ROL) PROBLEM(PRB GOAL(GOL) ORDER(ORC ORDER_DETAIL(OBR)))) PATHWAY(PTH)",
        ),
    ],
)
def test_segments_stand_in_the_groups_of_their_structure(kind: str, names: str, expected: str) -> None:
    assert groups(kind, names) == expected
    assert group(message(kind, *names.split())).warnings == ()


def test_a_group_whose_beginning_is_missing_is_a_group() -> None:
    assert groups("ORU^R01", "PID OBX NTE") == (
        "PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(OBSERVATION(OBX NTE)))"
    )
    assert groups("SIU^S12", "SCH PID AIS AIL") == (
        "PATIENT(PID) RESOURCES(SERVICE(AIS) LOCATION_RESOURCE(AIL))"
    )


def test_a_segment_out_of_place_goes_where_an_open_group_has_it_with_a_warning() -> None:
    found = group(message("ADT^A01", "EVN", "PID", "PV1", "NK1", "PV2", "IN1", "PD1"))
    assert [segment.name for segment in found.segments] == ["MSH", "EVN", "PID", "PV1", "NK1", "PV2", "PD1"]
    assert [(one.code, one.position) for one in found.warnings] == [
        ("out-of-place", "NK1[1]"),
        ("out-of-place", "PD1[1]"),
    ]


def test_resources_in_another_order_keep_their_notes() -> None:
    assert groups("SIU^S12", "SCH PID RGS AIP AIS NTE AIP") == (
        "PATIENT(PID) RESOURCES(RGS PERSONNEL_RESOURCE(AIP) SERVICE(AIS NTE) PERSONNEL_RESOURCE(AIP))"
    )


def test_a_segment_that_no_structure_has_stays_in_the_open_group() -> None:
    found = group(message("ORU^R01", "PID", "OBR", "OBX", "FHX", "ZLR", "OBX"))
    assert "OBSERVATION(OBX FHX ZLR) OBSERVATION(OBX)" in drawn(found)
    assert [(one.code, one.position) for one in found.warnings] == [("out-of-place", "FHX[1]")]


@pytest.mark.parametrize(
    ("control", "orders", "priors"), [("NW", 2, 1), ("CA", 2, 1), ("PR", 1, 2), ("", 1, 2)]
)
def test_an_order_after_prior_results_is_told_by_its_control(control: str, orders: int, priors: int) -> None:
    head = "MSH|^~\\&|SYNTHETIC||||2026||OML^O21|1|P|2.5.1"
    lines = [head, "PID|1", "ORC|NW", "OBR|1", "PID|1", "ORC|PR", "OBR|2", "OBX|1", f"ORC|{control}", "OBR|3"]
    found = group(parse("\r".join(lines).encode()))
    assert len(found.groups_named("ORDER")) == orders
    assert len(found.groups_named("ORDER_PRIOR")) == priors
    assert found.warnings == ()


def test_segments_of_the_site_are_no_oddity() -> None:
    found = group(message("ADT^A01", "EVN", "PID", "ZPD", "PV1", "ZPV"))
    assert found.warnings == ()
    assert [segment.name for segment in found.segments] == ["MSH", "EVN", "PID", "ZPD", "PV1", "ZPV"]


def test_an_unknown_structure_is_one_group_of_all() -> None:
    read_message = message("XYZ^X01", "PID", "OBX", "ZZZ")
    found = group(read_message)
    assert (found.name, found.groups, found.warnings) == ("", (), ())
    assert found.segments == read_message.segments


def test_groups_are_asked_for_at_any_depth(oru: bytes) -> None:
    found = group(parse(oru))
    orders = found.groups_named("ORDER_OBSERVATION")
    assert [order.first("OBR").value(3).text for order in orders] == ["F1", "F2"]  # type: ignore[union-attr]
    assert [len(order.every("OBX")) for order in orders] == [2, 1]
    assert [segment.value(3).text for segment in orders[0].every("NTE")] == [
        "About the order",
        "About the first",
    ]
    assert [segment.value(3).text for segment in orders[0].own("NTE")] == ["About the order"]
    assert found.first("PV1") is not None
    assert found.first("ZZZ") is None


@pytest.mark.parametrize("name", sorted(structures()))
def test_every_structure_begins_with_the_header_and_takes_its_own_segments_in_order(name: str) -> None:
    structure = structures()[name]
    assert structure.begins == {"MSH"}
    kind = name.replace("_", "^")
    names = list(_in_order(structure))
    assert names[0] == "MSH"
    read_message = message(f"{kind}^{name}", *names[1:])
    if structure_of(read_message) == name:
        found = group(read_message)
        assert found.warnings == ()
        assert found.all() == read_message.segments


def _in_order(part: Part) -> list[str]:
    """One segment of each place of a structure."""
    if not part.parts:
        return [min(part.holds)]
    return [name for one in part.parts for name in _in_order(one)]


@pytest.mark.parametrize(
    "syntax", ["MSH [PID", "MSH PID]", "MSH {PID", "<OBR|", "MSH pid", "A(", ")", "MSH ,PID"]
)
def test_what_is_no_abstract_syntax_is_refused(syntax: str) -> None:
    with pytest.raises(ValueError):
        read("X", syntax)
