"""What orders and results are known by, so that the next message finds them; how they are written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mappings.hl7v2.message import parse
from mappings.result import Intent, Source

RECEIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)
PID = "PID|1||77^^^M^MR"
OBR = "OBR|1|P1^CPOE|A1^LAB|X^Test^L|||20260215||||||||||||||||||F"
OBX = "OBX|1|NM|N^Sodium^L||140||||||F"
SODIUM = "OBX|{}|NM|N^Sodium^L|{}|140||||||{}|||20260215"


@pytest.fixture
def intents(maps):
    """The intents of a message by key, given its type and its segments after MSH."""

    def run(kind: str, *segments: str, **source) -> dict[str, Intent]:
        header = f"MSH|^~\\&|A|F|B|C|20260215093000Z||{kind}|1|P|2.5.1"
        mapped = maps.run(
            parse("\r".join((header, *segments)).encode()), Source("lab", **source), received=RECEIVED
        )
        assert mapped.refused is None
        return {intent.key: intent for intent in mapped.intents}

    return run


def identities(intent: Intent) -> set[tuple[str, str]]:
    return {(one.system, one.value) for one in intent.identities}


@pytest.mark.requirement("2.6")
def test_an_order_its_result_and_its_cancellation_share_an_identity(intents) -> None:
    ordered = intents("ORM^O01", PID, "ORC|NW|P1^CPOE", "OBR|1|P1^CPOE||X^Test^L")["order"]
    resulted = intents("ORU^R01", PID, OBR, OBX)["order"]
    cancelled = intents("ORM^O01", PID, "ORC|CA|P1^CPOE")["order"]
    assert ordered.identities[0] == resulted.identities[0]
    assert identities(cancelled) == {("urn:id:CPOE", "P1")}
    assert identities(cancelled) < identities(ordered)
    assert identities(cancelled) < identities(resulted)


@pytest.mark.requirement("2.6")
def test_an_order_without_a_placers_number_is_known_by_the_fillers(intents) -> None:
    order = intents("ORU^R01", PID, OBR.replace("P1^CPOE", ""), OBX)["order"]
    assert [one.value for one in order.identities] == ["urn:id:M|77|A1|LAB||X|L|1", "A1"]


@pytest.mark.requirement("2.6")
def test_a_cancellation_alone_says_the_status_and_leaves_the_rest(intents) -> None:
    order = intents("ORM^O01", PID, "ORC|CA|P1^CPOE")["order"]
    assert order.resource["status"] == "revoked"
    assert set(order.keep) == {"intent"}
    assert set(order.resource) == {"resourceType", "identifier", "status", "intent", "subject"}


@pytest.mark.requirement("2.11")
@pytest.mark.parametrize("code", ["RE", "SC", "XO", "XX", "SN", "NA", "UA", "UC"])
def test_a_control_that_says_nothing_of_the_status_keeps_the_stored_one(intents, code) -> None:
    assert "status" in intents("ORM^O01", PID, f"ORC|{code}|P1^CPOE")["order"].keep


@pytest.mark.requirement("2.6")
def test_a_result_makes_its_order_and_gives_way_to_it(intents) -> None:
    assert intents("ORU^R01", PID, OBR, OBX)["order"].write == "create"
    moved = intents("ORU^R01", PID, "ORC|RE|P1^CPOE|A1^LAB||CM", OBR, OBX)["order"]
    assert (moved.write, moved.resource["status"]) == ("merge", "completed")
    assert {"code", "requester", "intent"} <= set(moved.keep)
    assert "status" not in moved.keep


@pytest.mark.requirement("2.6")
def test_no_message_but_adt_changes_a_stored_patient_or_visit(intents) -> None:
    visit = "PV1|1|I|W|||||||||||||||||V1^^^F^VN"
    for kind, *segments in (
        ("ORU^R01", OBR, OBX),
        ("ORM^O01", "ORC|NW|P1", OBR),
        ("OML^O21", "ORC|NW|P1", OBR),
    ):
        made = intents(kind, PID, visit.replace("|||V1", "|V1"), *segments)
        assert made["patient"].write == "create"
    assert intents("ORU^R01", PID, "PV1|1|I|||||||||||||||||V1^^^F^VN", OBR)["encounter"].write == "create"


@pytest.mark.requirement("2.6")
def test_statuses_of_reports_and_results_only_go_up(intents) -> None:
    made = intents("ORU^R01", PID, OBR, OBX)
    steps = ("registered", "preliminary", "partial", "final")
    report, observation = made["report"], made["observation"]
    assert report.status == observation.status == "status"
    assert [report.ranks[one] for one in steps] == sorted({report.ranks[one] for one in steps})
    for later in ("amended", "corrected", "appended"):
        assert report.ranks[later] > report.ranks["final"]
    assert observation.ranks["corrected"] > observation.ranks["final"] > observation.ranks["preliminary"]


@pytest.mark.requirement("2.7")
def test_equal_results_of_one_time_are_two_and_found_again(intents) -> None:
    first = intents("ORU^R01", PID, OBR, SODIUM.format(1, "", "P"), SODIUM.format(2, "", "P"))
    again = intents("ORU^R01", PID, OBR, SODIUM.format(1, "", "F"), SODIUM.format(2, "", "F"))
    keys = ("observation", "observation-2")
    assert first[keys[0]].identities != first[keys[1]].identities
    assert [first[key].identities for key in keys] == [again[key].identities for key in keys]


@pytest.mark.requirement("2.7")
def test_a_sub_id_and_a_number_of_its_own_tell_results_apart(intents) -> None:
    made = intents(
        "ORU^R01",
        PID,
        OBR,
        SODIUM.format(1, "1.1", "F"),
        SODIUM.format(2, "1.2", "F"),
        f"{OBX}||||||||||O7^LAB",
    )
    assert len({made[key].identities for key in ("observation", "observation-2", "observation-3")}) == 3
    assert [one.value for one in made["observation-3"].identities] == ["O7"]


@pytest.mark.requirement("2.7")
def test_a_result_without_what_it_had_before_loses_it(intents) -> None:
    empty = intents("ORU^R01", PID, OBR, "OBX|1|NM|N^Sodium^L||||||||F")["observation"]
    assert {"value", "component", "interpretation", "referenceRange"} <= set(empty.cleared)
    valued = intents("ORU^R01", PID, OBR, OBX)["observation"]
    assert "value" not in valued.cleared
    assert "dataAbsentReason" in valued.cleared


@pytest.mark.requirement("2.6")
def test_an_order_makes_no_task_unless_the_source_says_so(intents) -> None:
    assert "task" not in intents("ORM^O01", PID, "ORC|NW|P1")
    asked = intents("ORM^O01", PID, "ORC|NW|P1", switches={"tasks": "on"})["task"]
    answered = intents("ORM^O01", PID, "ORC|OK|P1|A1", switches={"tasks": "on"})["task"]
    other = intents("ORM^O01", PID, "ORC|CA|P1", switches={"tasks": "on"})["task"]
    assert asked.identities == answered.identities != other.identities
