"""The console's pages of clients: found, registered, shut out; a secret is shown once; engineers only look.

Covers server/console/clients.py, client_views.py, administration.py, paging.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from server.auth.clients import Client
from server.auth.tokens import Claims, mint
from server.console.paging import number_place, place_text, text_place
from server.errors import FhirError
from server.storage.authorization import ClientRow

FORM = {
    "name": "Medication review",
    "kind": "confidential-symmetric",
    "scope": "launch openid user/*.rs",
    "redirect_uris": "https://review.example/cb\nhttps://review.example/other",
    "launch_url": "https://review.example/launch",
    "frame_ancestors": "https://ehr.example",
}
KEY = ECKey.generate_key("P-384", {"alg": "ES384"}, auto_kid=True)
JWKS = json.dumps({"keys": [{**KEY.as_dict(private=False), "kid": KEY.kid}]})


def add(authorization: Any, client_id: str, name: str, **more: Any) -> None:
    row = ClientRow(
        client_id, name, more.pop("kind", "public"), authorization.clock(), scope="patient/*.rs", **more
    )
    authorization.rows.put_client(row)


def secret_on(page: Any) -> str:
    found = re.search(r'<input id="secret"[^>]* value="([^"]+)"', page.text)
    assert found is not None
    return found[1]


def only(authorization: Any) -> ClientRow:
    (row,) = authorization.rows.clients()
    return row


def last_event(authorization: Any) -> tuple[str, int, str, str]:
    row = authorization.store.audit_rows(limit=1)[0]
    return row.interaction, row.outcome, row.username, row.client_id


def test_without_a_client_the_page_says_how_to_register_one(engineer: Any) -> None:
    page = engineer.get("clients")
    assert page.status_code == 200
    assert "No client is registered." in page.text
    assert "baton client add" in page.text


def test_clients_are_listed_by_name_and_found_by_its_beginning_or_their_id(
    engineer: Any, authorization: Any
) -> None:
    add(authorization, "c1", "Warehouse")
    add(authorization, "c2", "growth chart")
    add(authorization, "c3", "Growth curves", disabled=True)
    assert engineer.rows("clients") == ["growth chart", "Growth curves", "Warehouse"]
    assert engineer.rows("clients?text=GROWTH") == ["growth chart", "Growth curves"]
    assert engineer.rows("clients?state=disabled") == ["Growth curves"]
    assert engineer.rows("clients?text=growth&state=enabled") == ["growth chart"]
    assert engineer.rows("clients?text=c1") == ["Warehouse"]
    assert engineer.rows("clients?text=c1&state=disabled") == []
    assert "No client matches." in engineer.get("clients?text=zzz").text


def test_pages_of_clients_follow_one_another(engineer: Any, authorization: Any) -> None:
    names = [f"Client {number:03}" for number in range(120)]
    for number, name in enumerate(names):
        add(authorization, f"c{number}", name)
    found, path = [], "clients?text=client"
    while path:
        found += engineer.rows(path)
        path = engineer.next_page(path)
    assert found == names


@pytest.mark.parametrize("after", ["x", "WyJhIl0=", "WzEsMl0=", "bnVsbA==", "é", "A" * 5_000, "W1sxXSwiYSJd"])
def test_a_place_that_nobody_gave_out_is_not_found(engineer: Any, after: str) -> None:
    assert engineer.get(f"clients?after={after}").status_code == 404
    assert engineer.get(f"partners?after={after}").status_code == 404
    assert engineer.get(f"grants?after={after}").status_code == 404


@given(st.text(), st.text())
def test_a_place_reads_back(first: str, second: str) -> None:
    clean = tuple(text.replace("\0", "\ufffd") for text in (first, second))
    place = clean if len(place_text(clean)) <= 4_096 else ("a", "b")
    assert text_place(place_text(place)) == place


@given(st.integers(0, 2**63 - 1))
def test_a_place_by_number_reads_back_and_no_other(number: int) -> None:
    assert number_place(place_text((number, "id"))) == (number, "id")
    for wrong in (-1 - number, 2**63 + number):
        with pytest.raises(FhirError):
            number_place(place_text((wrong, "id")))


@pytest.mark.parametrize("text", ["\0", "%", "'", "<script>alert(1)</script>", "é" * 500, "\ud800"])
def test_no_text_is_too_strange_to_look_for(engineer: Any, text: str) -> None:
    page = engineer.get("clients?text=" + quote(text, errors="replace"))
    assert page.status_code == 200
    assert "<script>alert" not in page.text


def test_registering_shows_the_secret_once_and_keeps_its_digest(administrator: Any, authorization: Any) -> None:
    page = administrator.post("client-registration", **FORM)
    assert page.status_code == 201
    secret, row = secret_on(page), only(authorization)
    assert Client(row, authorization.token_key).check_client_secret(secret)
    assert row.redirect_uris == ("https://review.example/cb", "https://review.example/other")
    assert (row.launch_url, row.frame_ancestors) == ("https://review.example/launch", ("https://ehr.example",))
    assert page.headers["Cache-Control"] == "no-store"
    assert secret not in administrator.get(f"clients/{row.client_id}").text
    assert last_event(authorization) == ("client-add", 200, "administrator", row.client_id)


def test_a_backend_service_is_registered_by_its_keys(administrator: Any, authorization: Any) -> None:
    form = {"name": "Warehouse", "kind": "confidential-asymmetric", "scope": "system/*.rs", "backend": "1"}
    page = administrator.post("client-registration", **form, jwks=JWKS)
    assert page.status_code == 201, page.text
    assert only(authorization).jwks == json.loads(JWKS)
    assert KEY.kid in page.text
    assert 'id="secret"' not in page.text


def test_keys_by_url_are_left_to_the_worker(administrator: Any, authorization: Any) -> None:
    form = {"name": "W", "kind": "confidential-asymmetric", "scope": "system/*.rs", "backend": "1"}
    page = administrator.post("client-registration", **form, jwks_uri="https://w.example/jwks")
    assert page.status_code == 201
    assert "not fetched yet" in page.text
    assert only(authorization).jwks == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "needs a name"),
        ({"name": "a\nb"}, "printable"),
        ({"name": "x" * 201}, "200"),
        ({"kind": "secret"}, "how the client signs in"),
        ({"scope": ""}, "scope"),
        ({"scope": "patient/Unicorn.rs"}, "is not a scope"),
        ({"redirect_uris": ""}, "redirect URI"),
        ({"redirect_uris": "http://app.example/cb"}, "redirect URI"),
        ({"redirect_uris": "x" * 70_000}, "longer"),
        ({"launch_url": "javascript:alert(1)"}, "launch URL"),
        ({"kind": "confidential-asymmetric"}, "public keys"),
        ({"kind": "confidential-asymmetric", "jwks": "no json"}, "JWKS"),
        ({"kind": "confidential-asymmetric", "jwks": "[" * 50_000}, "JWKS"),
        ({"kind": "confidential-asymmetric", "jwks": "[]"}, "JWKS"),
        ({"kind": "confidential-asymmetric", "jwks": JWKS, "jwks_uri": "https://a.example/k"}, "not both"),
        ({"backend": "1"}, "own key"),
    ],
)
def test_what_cannot_be_registered_says_why_and_keeps_what_was_typed(
    administrator: Any, authorization: Any, changes: dict[str, str], words: str
) -> None:
    page = administrator.post("client-registration", **FORM | changes)
    assert page.status_code == 422
    alert = page.text.partition('role="alert"')[2].partition("</div>")[0]
    assert words in alert
    if "name" not in changes:
        assert 'value="Medication review"' in page.text
    assert authorization.rows.clients() == ()


def test_disabling_asks_first_and_ends_its_tokens(administrator: Any, authorization: Any, app: Any) -> None:
    add(authorization, "c1", "Growth chart")
    token = mint(authorization, Claims("c1", "system/*.rs"), timedelta(hours=1))
    asked = administrator.get("clients/c1/disable")
    assert "Disable Growth chart?" in asked.text
    assert not only(authorization).disabled
    answer = administrator.post("clients/c1/disable")
    assert answer.status_code == 303
    assert "Its grants and tokens have ended." in administrator.follow(answer).text
    assert only(authorization).disabled
    assert authorization.rows.token(authorization.hash(token)).revoked is not None
    assert last_event(authorization) == ("client-disable", 200, "administrator", "c1")
    administrator.post("clients/c1/enable")
    assert not only(authorization).disabled


def test_a_new_secret_is_shown_once(administrator: Any, authorization: Any) -> None:
    administrator.post("client-registration", **FORM)
    before = only(authorization)
    assert "good for nothing at once" in administrator.get(f"clients/{before.client_id}/rotate-secret").text
    page = administrator.post(f"clients/{before.client_id}/rotate-secret")
    assert page.status_code == 200
    client = Client(only(authorization), authorization.token_key)
    assert client.check_client_secret(secret_on(page))
    assert only(authorization).secret_hash != before.secret_hash


def test_keys_by_value_are_replaced(administrator: Any, authorization: Any) -> None:
    add(authorization, "c1", "W", kind="confidential-asymmetric", jwks={"keys": [{"kid": "old", "kty": "EC"}]})
    assert "old" in administrator.get("clients/c1").text
    page = administrator.post("clients/c1/keys", jwks=JWKS)
    assert page.status_code == 200
    assert only(authorization).jwks == json.loads(JWKS)
    assert last_event(authorization) == ("client-keys", 200, "administrator", "c1")
    refused = administrator.post("clients/c1/keys", jwks='{"keys": []}')
    assert refused.status_code == 422
    assert "Nothing was changed." in refused.text
    assert only(authorization).jwks == json.loads(JWKS)


def test_a_page_says_when_a_client_last_did_something(
    engineer: Any, authorization: Any, seal: Callable[[], None]
) -> None:
    add(authorization, "c1", "Growth chart")
    assert "none in the sealed audit trail" in engineer.get("clients/c1").text
    mint(authorization, Claims("c1", "system/*.rs"), timedelta(hours=1))
    seal()
    assert "2024-05-17 12:00 UTC" in engineer.get("clients/c1").text.partition("Last activity")[2][:200]


@pytest.mark.parametrize(
    "path", ["clients/nobody", "clients/nobody/disable", "clients/c1/fly", "clients/c1/enable"]
)
def test_what_is_not_there_is_not_found(administrator: Any, authorization: Any, path: str) -> None:
    add(authorization, "c1", "Growth chart")
    page = administrator.get(path)
    assert page.status_code == 404
    assert "This cannot be shown" in page.text


WRITES = ("client-registration", "clients/c1/disable", "clients/c1/rotate-secret", "clients/c1/keys")


@pytest.mark.parametrize("path", WRITES)
def test_an_engineer_looks_and_changes_nothing(engineer: Any, authorization: Any, path: str) -> None:
    add(authorization, "c1", "Growth chart", kind="confidential-symmetric")
    before = authorization.rows.clients()
    page = engineer.post(path, **FORM, jwks=JWKS)
    assert page.status_code == 403
    assert "an administrator may change it" in page.text
    assert authorization.rows.clients() == before
    interaction, outcome, username, client_id = last_event(authorization)
    assert interaction in ("client-add", "client-disable", "client-secret", "client-keys")
    assert (outcome, username, client_id) == (403, "engineer", "console")


@pytest.mark.parametrize("path", ["clients", "clients/c1"])
def test_an_engineer_is_offered_no_change(engineer: Any, authorization: Any, path: str) -> None:
    add(authorization, "c1", "Growth chart")
    text = engineer.get(path).text
    assert "Register a client" not in text
    assert "Disable" not in text.replace("Disabled", "")


@pytest.mark.parametrize("path", WRITES)
def test_a_form_from_elsewhere_is_refused(administrator: Any, authorization: Any, path: str) -> None:
    add(authorization, "c1", "Growth chart", kind="confidential-symmetric")
    before = authorization.rows.clients()
    page = administrator.post(path, **FORM, csrf_token="guessed")
    assert page.status_code == 403
    assert authorization.rows.clients() == before


@pytest.mark.parametrize("role", ["rn", "pharmacist", "ma", "prescriber", "supervisor", "privacy"])
@pytest.mark.parametrize("path", ["clients", "partners", "grants", "keys", "policies"])
def test_the_pages_are_closed_to_other_roles(sign_in: Any, role: str, path: str) -> None:
    page = sign_in(role).get(f"/console/{path}", base_url="http://127.0.0.1:8000")
    assert page.status_code == 403
    assert "Your role may not use the console." in page.text


def test_an_administrator_begins_with_the_clients_and_sees_no_patient(administrator: Any, fhir: Any) -> None:
    fhir.put("Patient/p", {"resourceType": "Patient", "id": "p", "name": [{"family": "Testfall"}]})
    assert administrator.get("").headers["Location"] == "/console/clients"
    assert administrator.get("resources?type=Patient").status_code == 403
    assert administrator.get("resources/Patient/p").status_code == 403
    assert administrator.get("audit").status_code == 403
