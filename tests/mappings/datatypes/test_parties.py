"""Section 2.1, XCN, XON, PL -> References with Practitioners, Organizations and Locations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mappings.datatypes import FUNCTIONS
from mappings.hl7v2.message import parse
from mappings.result import Identity, Source
from mappings.scope import Scope

Ask = Callable[..., Any]
NPI = "http://hl7.org/fhir/sid/us-npi"
NUMBER = f"1234567893^Doc^Test^Q^Jr^Dr.^MD^^NPI&2.16.840.1.113883.4.6&ISO^L^^^NPI{'^' * 8}FACP"


def only(intents: dict[str, Any]) -> tuple[str, Any]:
    ((key, resource),) = intents.items()
    return key, resource


def test_xcn_with_a_number_is_a_practitioner(ask: Ask) -> None:
    answer = ask("xcn", NUMBER)
    key, practitioner = only(answer.intents)
    assert answer.result == {"reference": f"#intent:{key}", "display": "Dr. Test Q Doc Jr FACP"}
    assert practitioner["resourceType"] == "Practitioner"
    assert (practitioner["identifier"][0]["system"], practitioner["identifier"][0]["value"]) == (
        NPI,
        "1234567893",
    )
    assert practitioner["identifier"][0]["type"]["coding"][0]["code"] == "NPI"
    assert practitioner["name"][0]["family"] == "Doc"
    assert practitioner["name"][0]["suffix"] == ["Jr", "FACP"]
    assert practitioner["qualification"][0]["code"]["coding"][0]["code"] == "MD"
    assert answer.unread == set()


def test_xcn_identity_is_the_number_of_its_authority(ask: Ask) -> None:
    intent = next(iter(ask("xcn", NUMBER).account.intents.values()))
    assert intent.identities == (Identity(NPI, "1234567893"),)
    assert "name" in intent.keep


def test_xcn_number_without_an_authority_counts_for_its_source_only(ask: Ask) -> None:
    here = next(iter(ask("xcn", "77^Doc", source=Source("here")).account.intents.values()))
    there = next(iter(ask("xcn", "77^Doc", source=Source("there")).account.intents.values()))
    assert here.identities != there.identities
    assert here.identities == (Identity("urn:baton:hl7v2:here:Practitioner", "77", is_identifier=False),)
    assert "system" not in here.resource["identifier"][0]


def test_xcn_with_a_name_only_is_a_reference_in_words(ask: Ask) -> None:
    answer = ask("xcn", "^Doc^Test^^^Dr.")
    assert answer.result == {"type": "Practitioner", "display": "Dr. Test Doc"}
    assert answer.intents == {}


def test_xcn_of_nobody_is_none(ask: Ask) -> None:
    assert ask("xcn", "^^^^^^^^WEST").result is None
    assert ask("xcn", '""').result is None


def test_xcn_degree_that_the_table_does_not_know_is_text(ask: Ask) -> None:
    _, practitioner = only(ask("xcn", "7^Doc^T^^^^Wizard").intents)
    assert practitioner["qualification"] == [{"code": {"text": "Wizard"}}]


def test_the_same_key_in_one_message_is_one_resource_and_later_mentions_fill_gaps() -> None:
    message = parse(
        b"MSH|^~\\&|A|B\rPV1|||||||7^^^^^^^^W&1.2.3&ISO~7^Doc^Test^^^^^^W&1.2.3&ISO|8^^^^^^^^W&1.2.3&ISO\r"
    )
    scope = Scope(Source("x"), message)
    references = [
        FUNCTIONS["xcn"](repetition, scope)
        for field in (7, 8)
        for repetition in message.segments[1].repetitions(field)
    ]
    assert references[0]["reference"] == references[1]["reference"] != references[2]["reference"]
    assert len(scope.account.intents) == 2
    assert scope.account.intents[references[0]["reference"].removeprefix("#intent:")].resource["name"]


def test_xon_with_a_number_is_an_organization(ask: Ask) -> None:
    answer = ask("xon", "Practice West^L^77^^^WEST&1.2.3&ISO^XX^^^A77")
    _, organization = only(answer.intents)
    assert organization["resourceType"] == "Organization"
    assert answer.account.intents[answer.result["reference"].removeprefix("#intent:")].identities == (
        Identity("urn:oid:1.2.3", "A77"),
    )
    assert organization["name"] == "Practice West"
    assert organization["identifier"][0]["value"] == "A77"
    assert organization["identifier"][0]["system"] == "urn:oid:1.2.3"
    assert organization["identifier"][0]["type"]["coding"][0]["code"] == "XX"
    assert answer.result["display"] == "Practice West"


def test_xon_number_of_the_older_component_is_the_second_choice(ask: Ask) -> None:
    answer = ask("xon", "Practice West^^77")
    _, organization = only(answer.intents)
    local = Identity("urn:baton:hl7v2:test:Organization", "77", is_identifier=False)
    assert next(iter(answer.account.intents.values())).identities == (local,)
    assert organization["identifier"][0]["value"] == "77"


def test_xon_with_a_name_only_is_a_reference_in_words(ask: Ask) -> None:
    answer = ask("xon", "Practice West")
    assert answer.result == {"type": "Organization", "display": "Practice West"}
    assert answer.intents == {}


def test_pl_is_a_chain_from_bed_to_site(ask: Ask) -> None:
    answer = ask("pl", "3W^12^B^GENERAL^^^MAIN^2^By the window")
    by_type = {r["physicalType"]["coding"][0]["code"]: (key, r) for key, r in answer.intents.items()}
    assert list(by_type) == ["si", "bu", "wa", "lvl", "ro", "bd"]
    keys = [key for key, _ in by_type.values()]
    for (_, resource), parent in zip(list(by_type.values())[1:], keys, strict=False):
        assert resource["partOf"]["reference"] == f"#intent:{parent}"
    assert "partOf" not in by_type["si"][1]
    assert [resource["name"] for _, resource in by_type.values()] == ["GENERAL", "MAIN", "3W", "2", "12", "B"]
    assert by_type["bd"][1]["description"] == "By the window"
    assert answer.result == {"reference": f"#intent:{keys[-1]}", "display": "B"}
    assert answer.unread == set()


def test_pl_refers_to_the_most_granular_place_that_is_named(ask: Ask) -> None:
    answer = ask("pl", "3W^^^GENERAL")
    assert len(answer.intents) == 2
    assert answer.result["display"] == "3W"


def test_pl_two_beds_of_a_room_share_everything_but_the_bed() -> None:
    message = parse(b"MSH|^~\\&|A|B\rPV1||I|3W^12^A^GH|||3W^12^B^GH\r")
    scope = Scope(Source("x"), message)
    for field in (3, 6, 3):
        FUNCTIONS["pl"](message.segments[1].repetitions(field)[0], scope)
    assert len(scope.account.intents) == 5
    identities = [intent.identities for intent in scope.account.intents.values()]
    assert len(set(identities)) == 5
    assert {intent.write for intent in scope.account.intents.values()} == {"create"}


def test_pl_rooms_of_the_same_number_on_two_wards_are_two_places(ask: Ask) -> None:
    first, second = ask("pl", "3W^12^A"), ask("pl", "4W^12^A")
    assert not set(first.intents) & set(second.intents)


def test_pl_names_with_bars_are_not_taken_for_paths(ask: Ask) -> None:
    places = [ask("pl", content).intents for content in ("A\\F\\B^1", "A^1^^^^^B", "A%7CB^1", "A%257CB^1")]
    assert len({key for intents in places for key in intents}) == sum(map(len, places))


def test_pl_comprehensive_identifier_is_one_of_the_place(ask: Ask) -> None:
    answer = ask("pl", "3W^^^^^^^^^L7&WEST&1.2.3&ISO")
    intent = next(iter(answer.account.intents.values()))
    assert intent.resource["identifier"][0]["value"] == "L7"
    assert Identity("urn:oid:1.2.3", "L7") in intent.identities


def test_pl_description_alone_is_a_reference_in_words(ask: Ask) -> None:
    answer = ask("pl", "^^^^^^^^Parking lot")
    assert (answer.result, answer.intents) == ({"type": "Location", "display": "Parking lot"}, {})


def test_pl_of_nowhere_is_none(ask: Ask) -> None:
    assert ask("pl", "^^^^O^N").result is None


def test_ndl_is_the_person_in_its_first_component(ask: Ask) -> None:
    answer = ask("ndl", "77&Doc&Test&Q&Jr&Dr.&MD&&LAB^20260216")
    key, practitioner = only(answer.intents)
    assert answer.result == {"reference": f"#intent:{key}", "display": "Dr. Test Q Doc Jr"}
    assert practitioner["identifier"] == [{"system": "urn:id:LAB", "value": "77"}]
    assert practitioner["name"] == [
        {"family": "Doc", "given": ["Test", "Q"], "prefix": ["Dr."], "suffix": ["Jr"]}
    ]


def test_ndl_sent_as_an_xcn_is_the_same_person(ask: Ask) -> None:
    as_sent, as_meant = (ask("ndl", sent).intents for sent in ("77^Doc^Test^^^^^^LAB", "77&Doc&Test&&&&&&LAB"))
    assert as_sent == as_meant


def test_ndl_with_a_name_only_is_a_reference_in_words(ask: Ask) -> None:
    assert ask("ndl", "&Doc&Test").result == {"type": "Practitioner", "display": "Test Doc"}
    assert ask("ndl", "^20260216").result is None
