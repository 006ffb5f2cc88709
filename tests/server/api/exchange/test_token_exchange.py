"""Token exchange at the token endpoint: what is granted, every attack refused, and how access ends at once.

Covers server/auth/token_exchange.py, server/auth/subject_token.py. Sources: RFC 8693, RFC 8725,
OpenID Connect Core 1.0 section 3.1.3.7.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from server.auth.accounts import change_role, disable_account
from server.auth.identity_links import end
from server.auth.trusted_issuers import disable_issuer
from server.storage.identity_link_rows import REVOKED

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
ISS = "https://other.example"


def answer_of(page: Any) -> dict[str, Any]:
    assert page.status == 200, (page.status, page.text)
    assert page.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = json.loads(page.text)
    return body


# -- what is granted


def test_an_exchange_brings_a_token_of_fifteen_minutes_for_the_linked_patient(abroad: Any) -> None:
    body = answer_of(abroad.exchange())
    assert body["issued_token_type"] == ACCESS_TOKEN
    assert (body["token_type"], body["expires_in"], body["patient"]) == ("Bearer", 900, "one")
    assert body["act"] == {"sub": abroad.client}
    assert body["fhirUser"] == "http://127.0.0.1:8000/fhir/Practitioner/prac-rn"
    assert "refresh_token" not in body
    assert "id_token" not in body


def test_the_token_opens_the_linked_patient_and_no_other(abroad: Any) -> None:
    token = abroad.access()
    assert abroad.smart.fhir("Patient/one", token).status == 200
    assert abroad.smart.fhir("Patient/two", token).status == 404
    assert [e["resource"]["id"] for e in json.loads(abroad.smart.fhir("Patient", token).text)["entry"]] == [
        "one"
    ]
    assert abroad.smart.fhir("Encounter/stay", token).status == 403
    assert abroad.smart.fhir("Provenance", token).status == 403


def test_introspection_tells_who_acts_for_whom(abroad: Any) -> None:
    token = abroad.access()
    form = {
        "token": token,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": abroad.smart.assertion(abroad.client),
    }
    told = json.loads(abroad.smart.post("/oauth2/introspect", form).text)
    assert told["active"] is True
    assert told["act"] == {"sub": abroad.client}
    assert (told["sub"], told["patient"]) == ("rn", "one")


def test_the_token_ends_after_fifteen_minutes(abroad: Any, clock: Any) -> None:
    token = abroad.access()
    clock.advance(minutes=14, seconds=59)
    assert abroad.smart.fhir("Patient/one", token).status == 200
    clock.advance(seconds=2)
    assert abroad.smart.fhir("Patient/one", token).status == 401


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("patient/List.rs", "patient/List.rs"),
        ("patient/List.cruds patient/Observation.rs", "patient/List.crus"),
        ("patient/*.rs", "patient/Patient.rs patient/List.rs patient/MedicationStatement.rs"),
        ("user/Provenance.cruds", "user/Provenance.cu"),
        ("openid offline_access patient/List.rs launch", "patient/List.rs"),
    ],
)
def test_the_scope_is_what_request_client_and_exchange_policy_have_in_common(
    abroad: Any, asked: str, granted: str
) -> None:
    assert answer_of(abroad.exchange(scope=asked))["scope"] == granted


def test_the_exchange_policy_narrows_what_the_client_is_registered_for(abroad: Any) -> None:
    abroad.trust(scope="patient/List.rs")
    assert answer_of(abroad.exchange())["scope"] == "patient/List.rs"


def test_the_role_of_the_account_narrows_it_too(abroad: Any) -> None:
    change_role(abroad.context, "rn", "engineer")
    assert (
        answer_of(abroad.exchange())["scope"]
        == "patient/Patient.rs patient/List.rs patient/MedicationStatement.rs"
    )


def test_a_scope_that_leaves_nothing_is_refused(abroad: Any, oauth_error: Callable[..., None]) -> None:
    oauth_error(abroad.exchange(scope="system/*.rs patient/Observation.rs"), 400, "invalid_scope")


def test_a_record_that_was_merged_can_be_read_and_not_written(abroad: Any, fhir: Any, build: Any) -> None:
    link = [{"other": {"reference": "Patient/two"}, "type": "replaced-by"}]
    fhir.put("Patient/one", build.patient(id="one", link=link))
    assert (
        answer_of(abroad.exchange())["scope"]
        == "patient/Patient.rs patient/List.rs patient/MedicationStatement.rs"
    )


def test_an_exchange_is_audited_as_the_persons_by_the_app(abroad: Any, audited: Callable[..., Any]) -> None:
    abroad.access()
    (row,) = audited("token-exchange")
    assert (row.principal, row.username, row.client_id) == ("Practitioner/prac-rn", "rn", abroad.client)
    assert (row.patient, row.outcome) == ("one", 200)
    assert row.detail.startswith(ISS)


def test_discovery_offers_the_grant(abroad: Any) -> None:
    for path in ("/fhir/.well-known/smart-configuration", "/.well-known/openid-configuration"):
        document = json.loads(abroad.smart.browser().get(path).text)
        assert "urn:ietf:params:oauth:grant-type:token-exchange" in document["grant_types_supported"]


def test_an_npi_claim_leads_to_the_account_it_is_linked_with(stranger: Any) -> None:
    stranger.trust(npi_claim="npi")
    stranger.link_staff("npi|1234567893")
    stranger.link_patient()
    token = stranger.id_token(fhirUser=None, npi="1234567893")
    assert answer_of(stranger.exchange(token))["patient"] == "one"


def test_a_user_named_relative_to_the_ehr_is_the_same_user(abroad: Any) -> None:
    assert abroad.exchange(abroad.id_token(fhirUser="Practitioner/their-nurse")).status == 200


def test_another_pinned_algorithm_is_accepted(abroad: Any) -> None:
    token = abroad.id_token(key=abroad.keys["ES384"], header={"alg": "ES384"})
    assert abroad.exchange(token).status == 200


# -- attacks: each answered alike, each in the audit trail with its reason


def unsigned(abroad: Any) -> str:
    _, body, _ = abroad.id_token().split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT","kid":"ehr-1"}').rstrip(b"=").decode()
    return f"{header}.{body}."


def confused(abroad: Any) -> str:
    """Signed symmetrically, with the public key as the secret."""
    public = abroad.keys["RS256"].as_pem(private=False)
    _, body, _ = abroad.id_token().split(".")
    signed = abroad.encoded({"alg": "HS256", "typ": "JWT", "kid": "ehr-1"}) + "." + body
    code = hmac.digest(public, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(code).rstrip(b'=').decode()}"


def changed(abroad: Any) -> str:
    """Another user in a token whose signature is genuine."""
    head, body, signature = abroad.id_token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["fhirUser"] = f"{ISS}/fhir/Practitioner/somebody-else"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{forged}.{signature}"


def of_another_key(abroad: Any) -> str:
    return abroad.id_token(key=RSAKey.generate_key(2048, {"kid": "ehr-1"}))


def with_key_inside(abroad: Any) -> str:
    own = ECKey.generate_key("P-384", {"kid": "mine"})
    return abroad.id_token(key=own, header={"alg": "ES384", "kid": "mine", "jwk": own.as_dict(private=False)})


def claims(**changes: Any) -> Callable[[Any], str]:
    return lambda abroad: abroad.id_token(**changes)


def at(**shift: float) -> Callable[[Any], str]:
    """iat and exp so many seconds from now."""
    return lambda abroad: abroad.id_token(
        **{name: int(abroad.context.clock().timestamp() + seconds) for name, seconds in shift.items()}
    )


ATTACKS = [
    ("alg none", unsigned, "algorithm"),
    ("algorithm confusion", confused, "algorithm"),
    ("another user in the token", changed, "signature"),
    ("another key under the known kid", of_another_key, "signature"),
    ("a key in the header", with_key_inside, "kid"),
    ("unknown kid", lambda a: a.id_token(header={"kid": "ehr-9"}), "kid"),
    ("no kid", lambda a: a.id_token(header={"kid": ""}), "kid"),
    ("a key of another type", lambda a: a.id_token(header={"kid": "ehr-2"}), "kid"),
    ("wrong audience", claims(aud="somebody-else"), "audience"),
    ("ours and another audience without azp", claims(aud=["our-app-there", "other"]), "audience"),
    ("another authorized party", claims(aud=["our-app-there", "other"], azp="other"), "audience"),
    ("another authorized party alone", claims(azp="other"), "audience"),
    ("no audience", claims(aud=None), "audience"),
    ("wrong issuer", claims(iss="https://evil.example"), "issuer"),
    ("issuer with a slash", claims(iss=f"{ISS}/"), "issuer"),
    ("no issuer", claims(iss=None), "issuer"),
    ("issuer that is a list", claims(iss=[ISS]), "issuer"),
    ("nonce of another launch", claims(nonce="nonce-of-another-launch"), "nonce"),
    ("no nonce", claims(nonce=None), "nonce"),
    ("issued more than five minutes ago", at(iat=-301), "iat"),
    ("issued in the future", at(iat=90, exp=400), "iat"),
    ("no iat", claims(iat=None), "expired"),
    ("expired", at(iat=-60, exp=0), "expired"),
    ("no exp", claims(exp=None), "expired"),
    ("exp that is no time", claims(exp="tomorrow"), "expired"),
    ("not yet good", lambda a: a.id_token(nbf=int(a.context.clock().timestamp()) + 200), "iat"),
    ("a patient as the user", claims(fhirUser=f"{ISS}/fhir/Patient/theirs-1"), "user"),
    ("a user of another server", claims(fhirUser="https://evil.example/fhir/Practitioner/their-nurse"), "user"),
    ("no user", claims(fhirUser=None), "user"),
    ("an NPI nobody asked for", claims(fhirUser=None, npi="1234567893"), "user"),
    ("unlinked user", claims(fhirUser=f"{ISS}/fhir/Practitioner/their-other"), "unlinked-staff"),
    ("launched for another patient", claims(patient="theirs-2"), "patient"),
    ("no JWT", lambda a: "nothing", "form"),
    ("no JWT of three parts", lambda a: "a.b", "form"),
    ("an endless token", lambda a: a.id_token(filler="x" * 9000), "form"),
    ("claims that are a list", lambda a: "eyJhbGciOiJSUzI1NiJ9.W10.AA", "form"),
    ("letters that are not ASCII", lambda a: a.id_token() + "é", "form"),
]


@pytest.mark.parametrize(("token", "reason"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS])
def test_a_subject_token_that_does_not_hold_is_refused_with_the_same_words(
    abroad: Any,
    oauth_error: Callable[..., None],
    audited: Callable[..., Any],
    token: Callable[[Any], str],
    reason: str,
) -> None:
    page = abroad.exchange(token(abroad))
    oauth_error(page, 400, "invalid_grant")
    assert json.loads(page.text)["error_description"] == "The subject token is not accepted."
    (row,) = audited("exchange-refused")
    assert (row.detail, row.outcome, row.client_id, row.patient) == (reason, 400, abroad.client, "")
    assert audited("token-exchange") == []


def test_an_algorithm_that_this_issuer_is_not_pinned_to_is_refused(
    abroad: Any, oauth_error: Callable[..., None], audited: Callable[..., Any]
) -> None:
    abroad.trust(algorithms=("RS256",))
    token = abroad.id_token(key=abroad.keys["ES384"], header={"alg": "ES384"})
    oauth_error(abroad.exchange(token), 400, "invalid_grant")
    assert audited("exchange-refused")[0].detail == "algorithm"


def test_a_token_is_good_once(
    abroad: Any, oauth_error: Callable[..., None], audited: Callable[..., Any]
) -> None:
    token = abroad.id_token()
    assert abroad.exchange(token).status == 200
    oauth_error(abroad.exchange(token), 400, "invalid_grant")
    assert audited("exchange-refused")[0].detail == "replay"


def test_a_token_without_jti_is_good_once_however_its_signature_is_written(
    abroad: Any, oauth_error: Callable[..., None]
) -> None:
    token = abroad.id_token(jti=None, key=abroad.keys["ES384"], header={"alg": "ES384"})
    assert abroad.exchange(token).status == 200
    # (r, n - s) is a signature of the same words, and base64 has spare bits.
    head, body, signature = token.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
    r, s = raw[:48], int.from_bytes(raw[48:], "big")
    other = base64.urlsafe_b64encode(r + (order - s).to_bytes(48, "big")).rstrip(b"=").decode()
    assert other != signature
    oauth_error(abroad.exchange(f"{head}.{body}.{other}"), 400, "invalid_grant")


def test_of_many_at_once_one_gets_through(abroad: Any) -> None:
    token = abroad.id_token()
    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(lambda _: abroad.exchange(token), range(6)))
    assert sorted(page.status for page in pages) == [200, 400, 400, 400, 400, 400]


def test_a_refused_token_is_not_used_up(stranger: Any) -> None:
    """Whoever is linked a minute after the launch need not launch again."""
    token = stranger.id_token()
    assert stranger.exchange(token).status == 400
    stranger.link_staff()
    stranger.link_patient()
    assert stranger.exchange(token).status == 200


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda a: None, "unlinked-staff"),
        (lambda a: a.link_staff(), "unlinked-patient"),
        (lambda a: a.link_patient(), "unlinked-staff"),
    ],
    ids=["nobody", "only the user", "only the patient"],
)
def test_what_nobody_confirmed_is_not_granted_and_not_told_apart(
    stranger: Any,
    oauth_error: Callable[..., None],
    audited: Callable[..., Any],
    prepare: Callable[[Any], Any],
    reason: str,
) -> None:
    prepare(stranger)
    page = stranger.exchange()
    oauth_error(page, 400, "invalid_grant")
    assert json.loads(page.text)["error_description"] == "The subject token is not accepted."
    assert audited("exchange-refused")[0].detail == reason


def test_a_user_without_account_is_proposed_to_the_administrator_at_the_first_launch(
    stranger: Any, store: Any
) -> None:
    for name in (None, "Nora\nExample  (synthetic)", None):
        stranger.exchange(stranger.id_token(name=name))
    (link,) = store.identity_links.links(limit=5)
    assert (link.kind, link.there, link.here, link.state) == (
        "staff",
        "Practitioner/their-nurse",
        "",
        "proposed",
    )
    assert link.made == {"by": "launch", "display": "Nora Example (synthetic)"}


def test_a_patient_of_another_link_is_not_granted(abroad: Any, oauth_error: Callable[..., None]) -> None:
    for patient in ("one", "theirs-2", "Patient/theirs-1", "theirs-1 ", "x" * 5000):
        oauth_error(abroad.exchange(patient=patient), 400, "invalid_grant")


def test_two_names_that_lead_to_two_accounts_lead_to_none(
    abroad: Any, oauth_error: Callable[..., None], audited: Callable[..., Any]
) -> None:
    abroad.trust(npi_claim="npi")
    abroad.link_staff("npi|1234567893", "engineer")
    oauth_error(abroad.exchange(abroad.id_token(npi="1234567893")), 400, "invalid_grant")
    assert audited("exchange-refused")[0].detail == "ambiguous-staff"


def test_an_account_whose_practitioner_is_inactive_gets_nothing(
    abroad: Any, fhir: Any, oauth_error: Callable[..., None]
) -> None:
    fhir.put("Practitioner/prac-rn", {"resourceType": "Practitioner", "id": "prac-rn", "active": False})
    oauth_error(abroad.exchange(), 400, "invalid_grant")


def test_a_deleted_patient_is_as_if_unlinked(abroad: Any, fhir: Any, oauth_error: Callable[..., None]) -> None:
    assert fhir.delete("Encounter/stay").status in (200, 204)
    assert fhir.delete("Patient/one").status in (200, 204)
    oauth_error(abroad.exchange(), 400, "invalid_grant")


# -- the client


def test_the_assertion_of_another_client_brings_nothing(
    abroad: Any, oauth_error: Callable[..., None], audited: Callable[..., Any]
) -> None:
    other = abroad.another_client()
    oauth_error(abroad.exchange(client=other), 400, "invalid_grant")
    assert audited("exchange-refused")[0].detail == "client"


def test_a_client_that_may_not_exchange_is_told_so(abroad: Any, oauth_error: Callable[..., None]) -> None:
    backend = abroad.another_client(exchange=False, backend=True)
    oauth_error(abroad.exchange(client=backend), 400, "unauthorized_client")


def test_without_its_own_key_no_client_exchanges(abroad: Any, oauth_error: Callable[..., None]) -> None:
    oauth_error(abroad.exchange(client_assertion="a.b.c"), 401, "invalid_client")
    form = {"client_assertion_type": None, "client_id": abroad.client}
    page = abroad.exchange(**form)
    oauth_error(page, 401, "invalid_client")


def test_an_assertion_is_good_once(abroad: Any, oauth_error: Callable[..., None]) -> None:
    assertion = abroad.smart.assertion(abroad.client)
    assert abroad.exchange(client_assertion=assertion).status == 200
    oauth_error(abroad.exchange(client_assertion=assertion), 401, "invalid_client")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"subject_token": None}, "invalid_request"),
        ({"subject_token_type": None}, "invalid_request"),
        ({"subject_token_type": ACCESS_TOKEN}, "invalid_request"),
        ({"nonce": None}, "invalid_request"),
        ({"patient": None}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"actor_token": "x", "actor_token_type": ACCESS_TOKEN}, "invalid_request"),
        ({"resource": "https://elsewhere.example/fhir"}, "invalid_target"),
        ({"audience": "elsewhere"}, "invalid_target"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_a_form_that_asks_for_something_else_is_told_what(
    abroad: Any, oauth_error: Callable[..., None], changes: dict[str, Any], error: str
) -> None:
    oauth_error(abroad.exchange(**changes), 400, error)


# -- the end of access


def disable_client(abroad: Any, links: Any) -> None:
    abroad.context.rows.disable_client(abroad.client, abroad.context.clock())


ENDS = {
    "the staff link is revoked": lambda a, links: end(
        a.context, links[0].link_id, REVOKED, principal="operator"
    ),
    "the patient link is revoked": lambda a, links: end(
        a.context, links[1].link_id, REVOKED, principal="operator"
    ),
    "the issuer is shut out": lambda a, links: disable_issuer(a.context, ISS),
    "the issuer may grant less": lambda a, links: a.trust(scope="patient/List.rs"),
    "the client is disabled": disable_client,
    "the account is disabled": lambda a, links: disable_account(a.context, "rn"),
    "the role is changed": lambda a, links: change_role(a.context, "rn", "ma"),
}


@pytest.mark.parametrize("ending", ENDS.values(), ids=ENDS)
def test_what_was_exchanged_ends_at_once(stranger: Any, ending: Callable[[Any, Any], Any]) -> None:
    links = (stranger.link_staff(), stranger.link_patient())
    token = stranger.access()
    assert stranger.smart.fhir("Patient/one", token).status == 200  # the process has it in its cache now
    ending(stranger, links)
    assert stranger.smart.fhir("Patient/one", token).status == 401


def test_new_keys_of_the_issuer_end_nothing(abroad: Any) -> None:
    token = abroad.access()
    abroad.trust(jwks={"keys": [abroad.keys["ES384"].as_dict(private=False)]})
    assert abroad.smart.fhir("Patient/one", token).status == 200


def test_a_revoked_link_brings_no_new_token(stranger: Any, oauth_error: Callable[..., None]) -> None:
    stranger.link_staff()
    link = stranger.link_patient()
    assert end(stranger.context, link.link_id, REVOKED, principal="operator")
    oauth_error(stranger.exchange(), 400, "invalid_grant")
    stranger.link_patient()
    assert stranger.exchange().status == 200


def test_a_link_revoked_at_the_same_moment_leaves_no_token_behind(stranger: Any) -> None:
    stranger.link_staff()
    for _ in range(8):
        link = stranger.link_patient()
        with ThreadPoolExecutor(2) as pool:
            exchanged = pool.submit(stranger.exchange)
            ended = pool.submit(end, stranger.context, link.link_id, REVOKED, principal="operator")
            page, revoked = exchanged.result(), ended.result()
        assert revoked
        if page.status == 200:
            assert stranger.smart.fhir("Patient/one", json.loads(page.text)["access_token"]).status == 401


def test_an_unknown_key_makes_the_worker_ask_for_the_keys_again(stranger: Any, clock: Any, store: Any) -> None:
    stranger.trust(jwks_uri="https://other.example/jwks")
    clock.advance(minutes=2)
    assert stranger.exchange(stranger.id_token(header={"kid": "new"})).status == 400
    assert [(job.kind, job.payload["issuer"]) for job in store.jobs.jobs(limit=5)] == [("issuer-keys", ISS)]
