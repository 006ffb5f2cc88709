"""fhirpy from PyPI, unchanged and as its README shows it, against a running server.

Covers what both of its clients do: save, patch, delete, search, sort, count, pages, includes, conditional
interactions; which of its errors a refusal becomes; and how If-Match is sent with it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import (
    AuthorizationError,
    ForbiddenError,
    MultipleResourcesFound,
    OperationOutcome,
    ResourceNotFound,
)

pytestmark = pytest.mark.network

Make = Callable[..., Any]


@pytest.fixture
def client(running: Any) -> SyncFHIRClient:
    return SyncFHIRClient(running.base, authorization=f"Bearer {running.token}")


@pytest.fixture
def patient(client: Any, system: str) -> Make:
    """`patient("a", gender="male")`: not yet saved, with the identifier "a"."""

    def make(value: str, of: Any = client, **elements: Any) -> Any:
        return of.resource("Patient", identifier=[{"system": system, "value": value}], **elements)

    return make


@pytest.fixture
def stored(client: Any, system: str) -> Any:
    """A search of the patients of this test."""
    return client.resources("Patient").search(identifier=f"{system}|")


@pytest.fixture
def family(client: Any, patient: Make, system: str) -> dict[str, Any]:
    """Five patients born 1950 to 1954, three of them of one general practitioner; two have a body weight."""
    practitioner = client.resource(
        "Practitioner", identifier=[{"system": system, "value": "gp"}], name=[{"family": "Hartwell"}]
    )
    practitioner.save()
    made = {"gp": practitioner}
    for number, value in enumerate("abcde"):
        made[value] = patient(
            value,
            birthDate=f"195{number}-03-0{number + 1}",
            gender="female" if number % 2 == 0 else "male",
            name=[{"family": f"Example{value}"}],
            **({"generalPractitioner": [practitioner.to_reference()]} if value in "abc" else {}),
        )
        made[value].save()
    for value, weight in (("a", 71.5), ("d", 90)):
        made[f"weight of {value}"] = client.resource(
            "Observation",
            status="final",
            code={"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
            subject=made[value],
            valueQuantity={"value": weight, "system": "http://unitsofmeasure.org", "code": "kg"},
        )
        made[f"weight of {value}"].save()
    return made


def values(resources: Any) -> list[str]:
    return [resource.identifier[0].value for resource in resources]


def issue(error: Any) -> dict[str, Any]:
    """The one issue of a refusal."""
    resource = error.resource if isinstance(error, OperationOutcome) else json.loads(str(error))
    (found,) = resource["issue"]
    return dict(found)


# One resource ----------------------------------------------------------------------------------------------


def test_save_creates_and_later_updates(client: Any, patient: Make) -> None:
    one = patient("a", gender="female")
    assert one.save() is one
    assert one.id
    assert one.meta.versionId == "1"

    one["birthDate"] = "1950-07-04"
    one.save()
    assert one.meta.versionId == "2"
    one.update()
    assert one.meta.versionId == "2"  # the same content makes no version

    read = client.reference("Patient", one.id).to_resource()
    assert read.serialize() == one.serialize()
    assert client.get("Patient", one.id) == one.serialize()


def test_patch_changes_what_it_names_and_leaves_the_rest(client: Any, patient: Make) -> None:
    one = patient("a", gender="female", birthDate="1950-07-04", active=True)
    one.save()
    client.patch("Patient", one.id, active=False)

    one.patch(gender="other")
    assert (one.gender, one.active, one.birthDate) == ("other", False, "1950-07-04")
    one.birthDate = "1951"
    one.gender = "male"
    one.save(fields=["birthDate"])
    assert (one.gender, one.birthDate) == ("other", "1951")
    one.patch(birthDate=None)
    assert "birthDate" not in one
    assert one.meta.versionId == "5"


def test_what_was_deleted_is_not_found(client: Any, patient: Make, stored: Any) -> None:
    one = patient("a")
    one.save()
    one.delete()
    one.delete()  # again, as it may happen when the answer to the first was lost

    with pytest.raises(ResourceNotFound) as refused:
        one.to_reference().to_resource()
    assert issue(refused.value)["code"] == "deleted"
    assert stored.fetch() == []
    with pytest.raises(ResourceNotFound) as refused:
        client.get("Patient", "nobody-has-this-id")
    assert issue(refused.value)["code"] == "not-found"


def test_refresh_brings_what_somebody_else_wrote(client: Any, patient: Make) -> None:
    one = patient("a", active=True)
    one.save()
    client.reference("Patient", one.id).patch(active=False)
    assert one.active is True
    one.refresh()
    assert (one.active, one.meta.versionId) == (False, "2")
    one.refresh()
    assert one.meta.versionId == "2"


def test_a_transaction_and_operations_go_by_execute(client: Any, system: str) -> None:
    entries = [
        {
            "fullUrl": "urn:uuid:7d2f8f2e-2c0b-4a0f-9f56-2f2d4c1f0001",
            "resource": {"resourceType": "Patient", "identifier": [{"system": system, "value": "a"}]},
            "request": {"method": "POST", "url": "Patient"},
        },
        {
            "resource": {
                "resourceType": "Flag",
                "status": "active",
                "code": {"text": "Lives alone"},
                "subject": {"reference": "urn:uuid:7d2f8f2e-2c0b-4a0f-9f56-2f2d4c1f0001"},
            },
            "request": {"method": "POST", "url": "Flag"},
        },
    ]
    answer = client.execute("", data={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert [entry.response.status for entry in answer.entry] == ["201 Created", "201 Created"]

    one = client.resources("Patient").search(identifier=f"{system}|a").get()
    everything = one.execute("$everything", method="get")
    assert {entry.resource.resourceType for entry in everything.entry} == {"Patient", "Flag"}


# Searches --------------------------------------------------------------------------------------------------


def test_searches_as_the_readme_writes_them(client: Any, stored: Any, family: dict[str, Any]) -> None:
    asked = {
        "ab": stored.search(birthdate__ge=date(1950, 1, 1), birthdate__lt="1952"),
        "bd": stored.search(gender__not="female"),
        "abce": stored.search(birthdate=["ne1953-03-04"]),
        "c": stored.search(family__exact="Examplec"),
        "abcde": stored.search(name__contains="XAMPLE"),
        "ae": stored.search(family="examplea,examplee"),
        "abc": stored.search(general_practitioner=family["gp"]),
        "de": stored.search(general_practitioner__missing=True),
        "ad": stored.has("Observation", "patient", code="http://loinc.org|29463-7"),
        "d": stored.has("Observation", "patient", value_quantity="gt80|http://unitsofmeasure.org|kg"),
        "b": stored.search(_id=family["b"].id),
    }
    for expected, search in asked.items():
        assert "".join(sorted(values(search.fetch()))) == expected, search
    of_hartwell = stored.search(general_practitioner__Practitioner__family="hartwell")
    assert values(of_hartwell.sort("family").fetch()) == [*"abc"]
    first = family["a"].identifier[0]
    weights = client.resources("Observation").search(patient__identifier=f"{first.system}|{first.value}")
    assert [weight.valueQuantity.value for weight in weights.fetch()] == [71.5]
    assert weights.get().subject.to_resource().serialize() == family["a"].serialize()


def test_sorted_by_several_keys(stored: Any, family: dict[str, Any]) -> None:
    assert values(stored.sort("-birthdate").fetch()) == [*"edcba"]
    assert values(stored.sort("family", "-birthdate").fetch()) == [*"abcde"]
    with pytest.raises(OperationOutcome) as refused:
        stored.sort("gender").fetch()
    assert "birthdate" in issue(refused.value)["diagnostics"]  # what can be sorted by


def test_a_page_or_all_pages(stored: Any, family: dict[str, Any]) -> None:
    by_birth = stored.sort("birthdate")
    assert values(by_birth.limit(2).fetch()) == [*"ab"]
    assert values(by_birth.limit(2).fetch_all()) == [*"abcde"]
    assert values(by_birth.limit(1)) == [*"abcde"]
    assert values(by_birth.limit(5)) == [*"abcde"]


def test_counted_first_and_the_only_one(stored: Any, family: dict[str, Any]) -> None:
    assert stored.count() == 5
    assert stored.search(gender="male").sort("birthdate").limit(1).count() == 2
    assert stored.search(gender="unknown").count() == 0
    assert values([stored.sort("-birthdate").first()]) == ["e"]
    assert stored.search(gender="unknown").first() is None
    assert values([stored.search(family="exampled").get()]) == ["d"]
    with pytest.raises(ResourceNotFound):
        stored.search(gender="unknown").get()
    with pytest.raises(MultipleResourcesFound):
        stored.get()


def test_included_resources_come_in_the_bundle_only(client: Any, stored: Any, family: dict[str, Any]) -> None:
    def found(search: Any) -> set[tuple[str, str]]:
        return {(entry.search.mode, entry.resource.reference) for entry in search.fetch_raw().entry}

    first, gp, weight = (family[name].reference for name in ("a", "gp", "weight of a"))
    one = stored.search(_id=family["a"].id)
    forward = one.include("Patient", "general-practitioner")
    assert found(forward) == {("match", first), ("include", gp)}
    assert [resource.reference for resource in forward.fetch()] == [first]
    assert found(one.include("Patient", "general-practitioner", target_resource_type="Organization")) == {
        ("match", first)
    }
    assert found(one.include("*")) == {("match", first), ("include", gp)}
    assert found(one.revinclude("Observation", "patient")) == {("match", first), ("include", weight)}
    assert found(one.revinclude("*")) == {("match", first), ("include", weight)}
    weights = client.resources("Observation").search(_id=family["weight of a"].id)
    further = weights.include("Observation", "subject").include("Patient", "general-practitioner", iterate=True)
    assert found(further) == {("match", weight), ("include", first), ("include", gp)}


def test_some_elements_only(stored: Any, family: dict[str, Any]) -> None:
    (one,) = stored.search(_id=family["a"].id).elements("birthDate", "gender").fetch()
    assert set(one) == {"resourceType", "id", "meta", "birthDate", "gender"}
    assert [tag.code for tag in one.meta.tag] == ["SUBSETTED"]
    with pytest.raises(OperationOutcome) as refused:  # R4 knows no elements to leave out
        stored.elements("birthDate", exclude=True).fetch()
    assert issue(refused.value)["expression"] == ["http._elements"]


# Conditional interactions ----------------------------------------------------------------------------------


def test_get_or_create_creates_once(client: Any, patient: Make, stored: Any, system: str) -> None:
    search = client.resources("Patient").search(identifier=f"{system}|a")
    first, created = search.get_or_create(patient("a", gender="female"))
    assert created
    again, created = search.get_or_create(patient("a", gender="male"))
    assert not created
    assert again.serialize() == first.serialize()
    third = patient("a").create(identifier=f"{system}|a")
    assert third.serialize() == first.serialize()
    assert stored.count() == 1


def test_update_patch_and_delete_find_their_resource(
    client: Any, patient: Make, stored: Any, system: str
) -> None:
    search = client.resources("Patient").search(identifier=f"{system}|a")
    with pytest.raises(ResourceNotFound):
        search.patch(active=True)
    one, created = search.update(patient("a", gender="female"))
    assert created
    same, created = search.update(patient("a", gender="male"))
    assert (same.id, same.gender, same.meta.versionId, created) == (one.id, "male", "2", False)
    patched = search.patch(active=True)
    assert (patched.id, patched.gender, patched.active) == (one.id, "male", True)
    assert search.delete() == (None, 204)
    assert search.delete() == (None, 204)
    assert stored.count() == 0


def test_a_condition_that_several_fulfil_changes_nothing(patient: Make, stored: Any, family: Any) -> None:
    for attempt in (
        lambda: stored.get_or_create(patient("f")),
        lambda: stored.update(patient("f")),
        lambda: stored.patch(active=True),
        stored.delete,
    ):
        with pytest.raises(MultipleResourcesFound) as refused:
            attempt()
        assert issue(refused.value)["code"] == "multiple-matches"
    assert values(stored.sort("birthdate").fetch()) == [*"abcde"]
    assert {one.meta.versionId for one in stored.fetch()} == {"1"}


def test_a_task_is_changed_by_who_names_its_version(running: Any, client: Any) -> None:
    task = client.resource("Task", status="requested", intent="order")
    task.save()
    for attempt in (lambda: client.patch(task.reference, status="accepted"), task.update, task.delete):
        with pytest.raises(OperationOutcome) as refused:
            attempt()
        assert issue(refused.value)["code"] == "required"
        assert 'W/"1"' in issue(refused.value)["diagnostics"]

    def knowing(version: str) -> SyncFHIRClient:
        return SyncFHIRClient(
            running.base,
            authorization=f"Bearer {running.token}",
            extra_headers={"If-Match": f'W/"{version}"'},
        )

    accepted = knowing(task.meta.versionId).patch("Task", task.id, status="accepted")
    assert (accepted.status, accepted.meta.versionId) == ("accepted", "2")
    with pytest.raises(MultipleResourcesFound) as refused:  # its name for every 412
        knowing("1").patch("Task", task.id, status="rejected")
    assert issue(refused.value)["code"] == "conflict"
    assert "status" in issue(refused.value)["diagnostics"]
    knowing("2").delete("Task", task.id)
    with pytest.raises(ResourceNotFound):
        task.refresh()


# Errors ----------------------------------------------------------------------------------------------------


def test_a_refusal_carries_the_operation_outcome(client: Any, patient: Make, stored: Any) -> None:
    with pytest.raises(OperationOutcome) as refused:
        patient("a", gender="somewhat").save()
    assert issue(refused.value)["code"] == "code-invalid"
    assert issue(refused.value)["expression"] == ["Patient.gender"]
    with pytest.raises(OperationOutcome) as refused:
        client.resources("Patient").search(unheard_of="1").fetch()
    assert issue(refused.value)["code"] == "not-supported"
    assert stored.count() == 0

    assert patient("a", birthDate="1998-01-01").is_valid()
    assert not patient("a", birthDate="yesterday").is_valid()
    with pytest.raises(OperationOutcome) as refused:
        patient("a", birthDate="yesterday").is_valid(raise_exception=True)
    assert issue(refused.value)["expression"] == ["Patient.birthDate"]


def test_who_is_not_known_or_not_allowed_is_told_so(running: Any) -> None:
    unknown = SyncFHIRClient(running.base, authorization="Bearer of-nobody")
    with pytest.raises(AuthorizationError) as refused:
        unknown.resources("Patient").fetch()
    assert issue(refused.value)["code"] == "login"
    reader = SyncFHIRClient(running.base, authorization=f"Bearer {running.mint('system/Patient.rs')}")
    assert reader.resources("Patient").limit(1).count() >= 0
    with pytest.raises(ForbiddenError) as refused:
        reader.resource("Patient").save()
    assert issue(refused.value)["code"] == "forbidden"


# The asynchronous client -----------------------------------------------------------------------------------


def test_the_asynchronous_client_does_the_same(running: Any, patient: Make, system: str) -> None:
    async def work() -> None:
        client = AsyncFHIRClient(running.base, authorization=f"Bearer {running.token}")
        stored = client.resources("Patient").search(identifier=f"{system}|")
        search = client.resources("Patient").search(identifier=f"{system}|0")
        attempts = (search.get_or_create(patient("0", of=client, birthDate="1950-01-01")) for _ in range(6))
        answers = await asyncio.gather(*attempts)
        assert sorted(created for _, created in answers) == [False] * 5 + [True]
        assert len({one.id for one, _ in answers}) == 1

        others = [patient(str(number), of=client, birthDate=f"195{number}-01-01") for number in range(1, 6)]
        await asyncio.gather(*(other.save() for other in others))
        by_birth = stored.sort("-birthdate").limit(2)
        assert values([one async for one in by_birth]) == [*"543210"]
        assert values(await by_birth.fetch_all()) == [*"543210"]
        assert values(await by_birth.fetch()) == [*"54"]
        assert await stored.count() == 6
        assert values([await by_birth.first()]) == ["5"]

        one = others[0]
        await one.patch(gender="female")
        assert (one.gender, one.birthDate, one.meta.versionId) == ("female", "1951-01-01", "2")
        assert (await one.to_reference().to_resource()).serialize() == one.serialize()
        assert await one.is_valid()
        await one.delete()
        with pytest.raises(ResourceNotFound):
            await client.get("Patient", one.id)
        with pytest.raises(OperationOutcome) as refused:
            await patient("9", of=client, gender="somewhat").save()
        assert issue(refused.value)["expression"] == ["Patient.gender"]
        flag = client.resource(
            "Flag", status="active", code={"text": "Lives alone"}, subject=others[1].to_reference()
        )
        await flag.save()
        bundle = await client.resources("Flag").search(subject=others[1]).include("Flag", "subject").fetch_raw()
        assert [entry.resource.reference for entry in bundle.entry] == [flag.reference, others[1].reference]

    asyncio.run(work())
