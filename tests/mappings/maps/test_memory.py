"""What values became before (mappings/running/memory.py): a message says the same, whatever came before it."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from mappings.authoring import golden
from mappings.engine import MapSet
from mappings.hl7v2.message import parse
from mappings.result import Source
from mappings.running.element import Draft
from mappings.running.memory import Memory, copied

TESTS = golden.find([Path(__file__).with_name("golden")])
ADMISSION = (
    b"MSH|^~\\&|A|B|||20260301||ADT^A01^ADT_A01|1|P|2.5.1\rEVN|A01|20260301\rPID|1||1^^^W^MR||Doe^Ana\r"
    b"PV1|1|I|WARD1^2^A^HOSP||||1001^Doe^Synthetic^^^^MD^^NPI\r"
)


def _with_memory(maps: MapSet, memory: Memory) -> MapSet:
    return MapSet(maps.version, maps.base, maps.overlays, memory=memory)


def _first(maps: MapSet, test: golden.GoldenTest) -> object:
    return test.run(_with_memory(maps, Memory()))


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.path.stem)
def test_a_message_that_came_before_gives_the_same_again(test, maps) -> None:
    remembering = _with_memory(maps, Memory())
    assert [test.run(remembering) for _ in range(2)] == [_first(maps, test)] * 2


def test_all_messages_one_after_the_other_give_what_each_gives_alone(maps) -> None:
    memory = Memory()
    source = Source("one", "UTC")
    for test in (*TESTS, *TESTS):
        message = parse(test.message)
        after_others = _with_memory(maps, memory).run(message, source, received=test.received)
        alone = _with_memory(maps, Memory()).run(parse(test.message), source, received=test.received)
        assert after_others == alone, test.path.stem


def test_a_value_that_stands_elsewhere_is_told_with_its_own_place(maps) -> None:
    remembering, source = _with_memory(maps, Memory()), Source("one", "UTC")
    received = golden.RECEIVED
    remembering.run(parse(ADMISSION), source, received=received)
    moved = ADMISSION.replace(b"\rPID|1", b"\rPID|1||8\rZZZ|1\rPID|2")
    again = remembering.run(parse(moved), source, received=received)
    assert again == _with_memory(maps, Memory()).run(parse(moved), source, received=received)


def test_a_finding_about_a_value_that_came_before_is_told_with_its_own_place(maps) -> None:
    remembering, source = _with_memory(maps, Memory()), Source("one", "UTC")
    coded = b"DG1|1||X1^Synthetic\r"
    for message, place in ((coded, "DG1[1]-3[1].1.1"), (b"DG1|1||X2^Other^L\r" + coded, "DG1[2]-3[1].1.1")):
        found = remembering.run(parse(ADMISSION + message), source, received=golden.RECEIVED)
        told = [one.position for one in found.findings if one.code == "coding-system-missing"]
        assert told == [place]


def test_what_a_message_says_otherwise_of_a_person_is_told_as_it_says_it(maps) -> None:
    """One number, two names: the first mention counts, and the trace tells what stands in the resource."""
    remembering, source = _with_memory(maps, Memory()), Source("one", "UTC")

    def visit(attending: bytes, admitting: bytes) -> bytes:
        doctors = (b"1001^%s^Synthetic^^^^^^NPI" % name for name in (attending, admitting))
        return ADMISSION.partition(b"PV1")[0] + b"PV1|1|I|||||%s||||||||||%s||V1^^^W^VN\r" % tuple(doctors)

    doe, both = visit(b"Doe", b"Doe"), visit(b"Roe", b"Doe")
    for message in (doe, both, doe, both):
        found = remembering.run(parse(message), source, received=golden.RECEIVED)
        assert found == _with_memory(maps, Memory()).run(parse(message), source, received=golden.RECEIVED)
    (doctor,) = (one for one in found.intents if one.resource["resourceType"] == "Practitioner")
    told = {step.value for step in found.steps if (step.intent, step.raw) == (doctor.key, "Doe")}
    assert doctor.resource["name"][0]["family"] == "Roe"
    assert told == {"Roe"}


@pytest.mark.parametrize("times", [2, 20])
def test_a_value_that_comes_in_many_segments_is_told_with_each_place(maps, times: int) -> None:
    remembering, source = _with_memory(maps, Memory()), Source("one", "UTC")
    coded = b"".join(b"DG1|%d||I10^Hypertension^I10C||20260301|A\r" % n for n in range(1, times + 1))
    for _ in range(2):
        found = remembering.run(parse(ADMISSION + coded), source, received=golden.RECEIVED)
        places = {place for step in found.steps for place in step.positions if ".1.1" in place}
        assert {f"DG1[{n}]-3[1].1.1" for n in range(1, times + 1)} <= places
    assert found == _with_memory(maps, Memory()).run(parse(ADMISSION + coded), source, received=golden.RECEIVED)


def test_what_is_remembered_is_not_what_a_result_holds(maps) -> None:
    remembering, source = _with_memory(maps, Memory()), Source("one", "UTC")
    for _ in range(2):
        found = remembering.run(parse(ADMISSION), source, received=golden.RECEIVED)
        patient = next(one for one in found.intents if one.resource["resourceType"] == "Patient")
        assert patient.resource["name"] == [{"family": "Doe", "given": ["Ana"]}]
        patient.resource["name"][0]["given"].append("changed by who applies it")


@pytest.mark.parametrize("test", TESTS[::20], ids=lambda test: test.path.stem)
def test_a_mapped_message_is_gone_without_the_collector_of_garbage(test, maps) -> None:
    """What holds itself would be looked for in message after message."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        test.run(maps)
        gc.collect()
        assert [one for one in gc.garbage if isinstance(one, Draft)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_another_source_has_a_memory_of_its_own(maps) -> None:
    remembering = _with_memory(maps, Memory())
    systems = {"W": "urn:oid:1.2.3"}
    for source in (Source("one"), Source("one", systems=systems), Source("one")):
        found = remembering.run(parse(ADMISSION), source, received=golden.RECEIVED)
        alone = _with_memory(maps, Memory()).run(parse(ADMISSION), source, received=golden.RECEIVED)
        assert found == alone


def test_only_so_many_values_and_sources_are_kept(maps, monkeypatch) -> None:
    monkeypatch.setattr("mappings.running.memory._MOST", 5)
    monkeypatch.setattr("mappings.running.memory._MOST_SOURCES", 2)
    memory = Memory()
    sources = [Source(f"source {number}") for number in range(4)]
    for source in sources:
        _with_memory(maps, memory).run(parse(ADMISSION), source, received=golden.RECEIVED)
        assert len(memory.of(source)) <= 5
    assert len(memory._sources) <= 2


def test_a_copy_shares_nothing_that_can_change() -> None:
    value = {"a": [{"b": "c"}], "d": True}
    copy = copied(value)
    copy["a"][0]["b"] = "x"
    assert value == {"a": [{"b": "c"}], "d": True}
