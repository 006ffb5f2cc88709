"""The app launched by an EHR that is not the store: connected by exchange, with the linked patient alone.

Covers smart_app/store_exchange.py, smart_app/store_link.py, views/connection_pages.py and what board, drafts
and signing do with it. Source: RFC 8693.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from smart_app.issuers import Issuer, IssuerFault, Issuers, issuer_from_record

ISS = "https://ehr.example/r4"
STORE = "https://store.example/fhir"


def path_of(answer: Any) -> str:
    assert answer.status_code == 302, answer.text
    path: str = answer.location
    return path


def opened(browser: Any) -> str:
    """A launch; the path of its pages."""
    return path_of(browser.launch())


def send(browser: Any, path: str, page: str, **fields: str) -> Any:
    """Send a form as the page that holds it would."""
    csrf = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(path + page).text)
    assert csrf is not None
    target = fields.pop("to")
    return browser.post(path + target, {"csrf_token": csrf[1], **fields})


def decide_everything(browser: Any, path: str) -> Any:
    """Save a decision on every line of the board; the last answer."""
    board = browser.get(path + "reconciliation").text
    answer = None
    for key in dict.fromkeys(re.findall(r'name="group" value="([^"]+)"', board)):
        version = re.search(r'name="version" value="([^"]*)"', browser.get(path + "reconciliation").text)
        answer = send(
            browser, path, "reconciliation", to="reconciliation/decisions", group=key.replace("&#34;", '"'),
            kind="clarify", reason="asked by phone", encounter="stay", version=version[1] if version else "",
        )  # fmt: skip
        assert answer.status_code == 303, answer.text
    return answer


# -- linked


def test_a_linked_launch_reads_the_chart_there_and_keeps_its_work_in_the_store(
    browser: Any, orders: Any, linked: Any
) -> None:
    path = opened(browser)
    decide_everything(browser, path)
    (draft,) = linked.all("List")
    assert draft["subject"] == {"reference": "Patient/ours-1"}
    assert draft["source"]["reference"] == "Practitioner/our-nurse"
    assert draft["encounter"] == {"reference": f"{ISS}/Encounter/stay"}
    assert orders.all("List") == []


def test_the_exchange_carries_what_proves_this_launch(browser: Any, linked: Any) -> None:
    asked = browser.authorize()
    browser.get(f"/callback?code=code-1&state={asked['state']}")
    (form,) = linked.exchanges
    assert form["nonce"] == asked["nonce"]
    assert form["patient"] == "p1"
    assert form["resource"] == STORE
    assert form["client_assertion_type"].endswith("jwt-bearer")
    assert "patient/List.crus" in form["scope"].split()
    assert not any(word.startswith("user/") and word != "user/Provenance.cu" for word in form["scope"].split())


def test_tokens_of_chart_and_store_never_meet(browser: Any, orders: Any, linked: Any) -> None:
    path = opened(browser)
    browser.get(path + "reconciliation")
    to_store = [r for r in linked.requests if "/fhir/" in str(r.url) and "metadata" not in str(r.url)]
    to_chart = [r for r in orders.requests if "/r4/" in str(r.url)]
    assert to_store
    assert all("access-store-" in str(r.headers.get("Authorization", "access-store-")) for r in to_store)
    assert not any("access-store-" in str(r.headers.get("Authorization", "")) for r in to_chart)


def test_what_is_signed_refers_to_the_chart_by_its_address(browser: Any, orders: Any, linked: Any) -> None:
    path = opened(browser)
    decide_everything(browser, path)
    review = browser.get(path + "reconciliation/review")
    assert review.status_code == 200, review.text
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', review.text))
    fields = {name: value for name, value in fields.items() if name != "csrf_token"}
    answer = send(
        browser, path, "reconciliation/review", to="reconciliation/sign", **fields | {"confirmed": "yes"}
    )
    assert answer.status_code == 303, answer.text
    written = [
        each
        for kind in ("MedicationStatement", "List", "Task", "Procedure", "Provenance")
        for each in linked.all(kind)
    ]
    text = json.dumps(written)
    assert "Patient/p1" not in text
    references = set(re.findall(r'"reference": "([^"]+)"', text))
    local = {name.split("/")[0] for name in references if not name.startswith("http")}
    assert local <= {"Patient", "Practitioner", "List", "MedicationStatement", "Task", "Procedure"}
    assert {name for name in references if name.startswith(("Patient/", "Practitioner/"))} == {
        "Patient/ours-1",
        "Practitioner/our-nurse",
    }
    assert f"{ISS}/Practitioner/doctor" in references
    result = browser.get(path + "reconciliation/signed")
    assert result.status_code == 200
    assert f"<b>{len(linked.all('Task'))}</b>" in result.text
    assert len(linked.all("Task")) > 0


def test_the_same_encounter_id_of_two_ehrs_is_two_discharges(desk: Any) -> None:
    from smart_app.draft_store import session_id
    from smart_app.store_link import StoreLink

    own = StoreLink(None, "Patient/ours-1", None, None)  # type: ignore[arg-type]
    other = StoreLink(None, "Patient/ours-1", None, ISS)  # type: ignore[arg-type]
    assert session_id(own, "stay") == "ours-1/stay"
    assert session_id(other, "stay") != session_id(own, "stay")


def test_the_worklist_of_the_store_is_not_opened_from_another_ehr(browser: Any, linked: Any) -> None:
    """Its rows name patients of the store, whose ids mean nothing in this chart."""
    answer = browser.get(opened(browser) + "worklist")
    assert answer.status_code == 403
    assert "not connected to a store" in answer.text


# -- not linked


def test_an_unlinked_chart_can_be_read_and_its_board_says_what_to_do(
    browser: Any, orders: Any, store: Any
) -> None:
    path = opened(browser)
    overview = browser.get(path + "overview")
    assert overview.status_code == 200
    assert "is not connected with the store yet" in overview.text
    board = browser.get(path + "reconciliation")
    assert board.status_code == 403
    assert "This chart is not connected yet" in board.text
    assert f'href="{path}connection"' in board.text
    assert [r for r in store.requests if "/fhir/" in str(r.url) and ".well-known" not in str(r.url)] == []


def test_nothing_can_be_saved_or_signed_unlinked(browser: Any, orders: Any, store: Any) -> None:
    path = opened(browser)
    for to in ("reconciliation/decisions", "reconciliation/sign"):
        answer = send(browser, path, "connection", to=to, encounter="stay", group="x", kind="continue", seen="")
        assert answer.status_code == 403
    assert store.all("List") == []


def test_comparing_sends_who_the_patient_is_and_nothing_else(
    browser: Any, ehr: Any, store: Any, proposal: Callable[[], dict[str, Any]]
) -> None:
    ehr.put(
        {
            "resourceType": "Patient",
            "id": "p1",
            "text": {"status": "generated", "div": "<div>secret</div>"},
            "extension": [{"url": "urn:x", "valueString": "secret"}],
            "name": [{"family": "Testfall", "extension": [{"url": "urn:x", "valueString": "secret"}]}],
            "birthDate": "1950-03-02",
            "contact": [{"name": {"text": "secret"}}],
            "photo": [{"title": "secret"}],
        }
    )
    path = opened(browser)
    page = send(browser, path, "connection", to="connection/compare")
    assert page.status_code == 200
    assert f'href="{store.link_uri}" target="_blank" rel="noopener noreferrer"' in page.text
    assert proposal() == {
        "resourceType": "Patient",
        "id": "p1",
        "name": [{"family": "Testfall"}],
        "birthDate": "1950-03-02",
    }
    assert store.proposals[0]["user_display"] == "Nora Example"


def test_an_address_that_is_not_the_stores_is_not_shown(browser: Any, store: Any) -> None:
    store.link_uri = "https://evil.example/oauth2/links/x"
    page = send(browser, opened(browser), "connection", to="connection/compare")
    assert page.status_code == 503
    assert "evil" not in page.text


def test_once_people_confirmed_the_same_launch_goes_on(browser: Any, orders: Any, store: Any) -> None:
    path = opened(browser)
    not_yet = send(browser, path, "connection", to="connection/check")
    assert "does not know of a confirmed connection yet" in not_yet.text
    store.links["p1"] = "ours-1"
    answer = send(browser, path, "connection", to="connection/check")
    assert (answer.status_code, answer.location) == (303, path + "reconciliation")
    assert browser.get(path + "reconciliation").status_code == 200


def test_a_store_that_does_not_answer_leaves_the_chart_readable(browser: Any, orders: Any, store: Any) -> None:
    store.token_status, store.token_error = 503, "temporarily_unavailable"
    path = opened(browser)
    assert browser.get(path + "overview").status_code == 200
    assert send(browser, path, "connection", to="connection/check").status_code == 503


def test_an_ehr_that_is_not_to_be_connected_is_never_exchanged(
    browser: Any, orders: Any, store: Any, issuers: Issuers
) -> None:
    issuers.add(Issuer(ISS, "app-there", "Mercy EHR"))
    path = opened(browser)
    assert store.exchanges == []
    board = browser.get(path + "reconciliation")
    assert board.status_code == 200
    assert "is not connected to a store" in board.text
    assert browser.get(path + "connection").status_code == 403


# -- two patients


def test_two_tabs_with_two_patients_never_mix(browser: Any, orders: Any, linked: Any) -> None:
    linked.links["p2"] = "ours-2"
    linked.put({"resourceType": "Patient", "id": "ours-2"})
    orders.put({"resourceType": "Patient", "id": "p2", "name": [{"family": "Zweitfall"}]})
    first = opened(browser)
    orders.context["patient"] = "p2"
    second = opened(browser)
    decide_everything(browser, first)
    assert {each["subject"]["reference"] for each in linked.all("List")} == {"Patient/ours-1"}
    linked.requests.clear()
    browser.get(second + "reconciliation")
    asked = [str(r.url) for r in linked.requests]
    assert not any("ours-1" in url for url in asked)


def test_another_patient_of_the_same_login_is_not_the_linked_one(
    browser: Any, orders: Any, linked: Any
) -> None:
    orders.put({"resourceType": "Patient", "id": "p2", "name": [{"family": "Zweitfall"}]})
    path = opened(browser)
    csrf = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(path + "overview").text)
    other = browser.post(path + "open", {"csrf_token": csrf[1], "patient": "p2"}).location
    linked.requests.clear()
    board = browser.get(other)
    assert board.status_code == 403
    assert "This chart is not connected yet" in board.text
    assert linked.requests == []


# -- merged, revoked, ended


@pytest.mark.parametrize(
    "change",
    [{"active": False}, {"link": [{"other": {"reference": "Patient/x"}, "type": "replaced-by"}]}],
    ids=["inactive", "merged"],
)
@pytest.mark.parametrize("where", ["chart", "store"])
def test_the_board_of_a_record_out_of_use_stops_and_keeps_the_draft(
    browser: Any, orders: Any, linked: Any, change: dict[str, Any], where: str
) -> None:
    path = opened(browser)
    decide_everything(browser, path)
    before = linked.all("List")
    server, id = (orders, "p1") if where == "chart" else (linked, "ours-1")
    server.put({"resourceType": "Patient", "id": id, **change})
    board = browser.get(path + "reconciliation")
    assert board.status_code == 409
    assert "This record is no longer in use" in board.text
    answer = send(
        browser, path, "overview", to="reconciliation/decisions", encounter="stay", group="x", kind="continue"
    )
    assert answer.status_code == 409
    assert linked.all("List") == before


def test_a_linked_record_that_is_gone_stops_the_board(browser: Any, orders: Any, linked: Any) -> None:
    path = opened(browser)
    del linked.store["Patient/ours-1"]
    assert browser.get(path + "reconciliation").status_code == 409


def test_a_link_that_was_revoked_stops_the_board_at_once(browser: Any, orders: Any, linked: Any) -> None:
    path = opened(browser)
    assert browser.get(path + "reconciliation").status_code == 200
    linked.granted.clear()
    board = browser.get(path + "reconciliation")
    assert board.status_code == 403
    assert "The access to the store has ended" in board.text


def test_access_is_renewed_by_a_fresh_id_token_of_the_same_launch(
    browser: Any, orders: Any, linked: Any, clock: Any
) -> None:
    path = opened(browser)
    clock.move(minutes=14, seconds=45)
    assert browser.get(path + "reconciliation").status_code == 200
    first, second = linked.exchanges
    assert first["subject_token"] != second["subject_token"]
    assert first["nonce"] == second["nonce"]


def test_without_a_fresh_id_token_it_ends_and_the_chart_stays_readable(
    browser: Any, orders: Any, linked: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = opened(browser)
    issue = type(linked).__mro__[1]._token

    def without_id_token(form: dict[str, str]) -> tuple[int, Any]:
        status, body = issue(orders, form)
        return status, {name: value for name, value in body.items() if name != "id_token"}

    monkeypatch.setattr(orders, "_token", without_id_token)
    clock.move(minutes=14, seconds=45)
    board = browser.get(path + "reconciliation")
    assert board.status_code == 403
    assert "Open the app again from the chart" in board.text
    assert browser.get(path + "overview").status_code == 200
    assert len(linked.exchanges) == 1
    asked = len(orders.token_requests)
    browser.get(path + "overview")
    assert len(orders.token_requests) == asked  # it is not asked again and again


def test_a_fresh_token_of_another_patient_or_person_does_not_go_on(
    browser: Any, orders: Any, linked: Any, clock: Any
) -> None:
    path = opened(browser)
    linked.links["p1"] = "ours-2"
    linked.put({"resourceType": "Patient", "id": "ours-2"})
    clock.move(minutes=14, seconds=45)
    assert browser.get(path + "reconciliation").status_code == 403


def test_logging_out_ends_the_access_to_the_store(browser: Any, linked: Any) -> None:
    path = opened(browser)
    send(browser, path, "overview", to="end")
    assert [r for r in linked.requests if str(r.url).endswith("/revoke") and b"access-store-1" in r.body]


# -- configuration


def test_the_store_itself_is_not_exchanged_with() -> None:
    with pytest.raises(IssuerFault, match="needs no exchange"):
        issuer_from_record({"iss": ISS, "client_id": "a", "store": True, "exchange": True})


def test_an_issuer_keeps_its_exchange(tmp_path: Any) -> None:
    issuers = Issuers(tmp_path)
    issuers.add(Issuer(ISS, "app-there", "Mercy EHR", exchange=True))
    issuers.add(Issuer(STORE, "baton-app", "Practice", store=True, exchange_client_id="x"))
    again = Issuers(tmp_path)
    assert again.find(ISS).exchange is True
    assert again.store().exchange_client_id == "x"
