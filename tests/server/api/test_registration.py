"""Dynamic registration by invitation, and what a client may do with its own registration.

Covers RFC 7591, RFC 7592; server/auth/{registration,invitations,client_metadata,software_statement}.py.
"""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from server.auth.client_metadata import Bounds, read_metadata
from server.auth.clients import RegistrationError, client_row
from server.auth.invitations import invite, withdraw

BASE = "http://127.0.0.1:8000"
REDIRECT = "https://growth.example/callback"
SCOPE = "openid fhirUser launch/patient offline_access patient/*.rs"
KEY = ECKey.generate_key("P-384", {"alg": "ES384", "use": "sig"}, auto_kid=True)
JWKS = {"keys": [{**KEY.as_dict(private=False), "kid": KEY.kid}]}
APP = {
    "client_name": "Growth chart",
    "redirect_uris": [REDIRECT],
    "token_endpoint_auth_method": "none",
    "scope": "openid launch/patient patient/Observation.rs",
}
SERVICE = {
    "client_name": "Warehouse",
    "grant_types": ["client_credentials"],
    "token_endpoint_auth_method": "private_key_jwt",
    "jwks": JWKS,
    "scope": "system/Patient.rs",
}


class Registrar:
    """Calls the registration endpoint."""

    def __init__(self, app: Any, context: Any) -> None:
        self.app, self.context = app, context

    def invite(self, **more: Any) -> str:
        """The token of a new invitation."""
        given = {"scope": SCOPE, "hosts": ["growth.example"], **more}
        return invite(self.context, **given)[0]

    def call(self, method: str, path: str, token: str | None = None, body: Any = None, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body)
        return self.app.test_client().open(
            path,
            method=method,
            base_url=BASE,
            data=body,
            headers=headers,
            content_type=more.get("content_type", "application/json"),
        )

    def post(self, token: str | None, body: Any, **more: Any) -> Any:
        return self.call("POST", "/oauth2/register", token, body, **more)

    def own(self, method: str, registered: dict[str, Any], body: Any = None, token: str | None = None) -> Any:
        """A call to a client's own registration."""
        path = urlsplit(registered["registration_client_uri"]).path
        return self.call(method, path, token or registered["registration_access_token"], body)


@pytest.fixture
def registrar(app: Any, authorization: Any) -> Registrar:
    return Registrar(app, authorization)


def refused(answer: Any, status: int, error: str) -> str:
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    said = answer.get_json()
    assert said["error"] == error, said
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    return said["error_description"]


class TestTheDoor:
    @pytest.mark.parametrize("token", [None, "", "guess", "x" * 300, "\u00e9"])
    def test_is_closed_without_an_invitation(self, registrar: Registrar, token: str | None) -> None:
        refused(registrar.post(token, APP), 401, "invalid_token")

    def test_an_access_token_does_not_open_it(self, registrar: Registrar, as_token: Any) -> None:
        token = as_token("system/*.cruds")._token
        refused(registrar.post(token, APP), 401, "invalid_token")

    def test_an_invitation_is_good_once(self, registrar: Registrar) -> None:
        token = registrar.invite()
        assert registrar.post(token, APP).status_code == 201
        refused(registrar.post(token, {**APP, "client_name": "Second"}), 401, "invalid_token")

    def test_or_as_often_as_it_says_to_however_many_at_once(self, registrar: Registrar) -> None:
        token = registrar.invite(uses=3)
        answers: list[int] = []

        def register(number: int) -> None:
            answers.append(registrar.post(token, {**APP, "client_name": f"App {number}"}).status_code)

        threads = [threading.Thread(target=register, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [201] * 3 + [401] * 5
        assert len(registrar.context.rows.clients()) == 3

    def test_what_is_refused_uses_nothing_up(self, registrar: Registrar) -> None:
        token = registrar.invite()
        refused(registrar.post(token, {**APP, "redirect_uris": []}), 400, "invalid_redirect_uri")
        assert registrar.post(token, APP).status_code == 201

    def test_it_closes_by_time_and_by_withdrawal(self, registrar: Registrar, clock: Any) -> None:
        late = registrar.invite(lifetime=timedelta(hours=1))
        clock.advance(hours=1)
        refused(registrar.post(late, APP), 401, "invalid_token")
        token = registrar.invite()
        (row, *_) = registrar.context.rows.registrations.invitations()
        assert withdraw(registrar.context, row.invitation_id)
        refused(registrar.post(token, APP), 401, "invalid_token")

    @pytest.mark.requirement("D9")
    def test_discovery_names_it_while_it_is_open(self, registrar: Registrar, anonymous: Any) -> None:
        def announced() -> list[Any]:
            documents = [anonymous.get(".well-known/smart-configuration").body]
            documents.append(registrar.call("GET", "/.well-known/openid-configuration").get_data())
            return [json.loads(document).get("registration_endpoint") for document in documents]

        assert announced() == [None, None]
        token = registrar.invite()
        assert announced() == [f"{BASE}/oauth2/register"] * 2
        registrar.post(token, APP)
        assert announced() == [None, None]

    def test_one_address_cannot_guess_for_long(self, registrar: Registrar) -> None:
        statuses = [registrar.post("guess", APP).status_code for _ in range(40)]
        assert statuses[:30] == [401] * 30
        assert statuses[30:] == [429] * 10
        answer = registrar.post("guess", APP)
        assert answer.get_json()["error"] == "slow_down"
        assert int(answer.headers["Retry-After"]) >= 1

    def test_it_may_be_called_from_any_origin(self, registrar: Registrar) -> None:
        answer = registrar.app.test_client().options(
            "/oauth2/register/x",
            base_url=BASE,
            headers={"Origin": "https://growth.example", "Access-Control-Request-Method": "PUT"},
        )
        assert answer.status_code == 204
        assert "PUT" in answer.headers["Access-Control-Allow-Methods"]


class TestTheAnswer:
    def test_of_a_public_app(self, registrar: Registrar, clock: Any) -> None:
        answer = registrar.post(registrar.invite(), APP)
        assert answer.status_code == 201
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Pragma"] == "no-cache"
        said = answer.get_json()
        assert {name: said[name] for name in APP} == APP
        assert said["grant_types"] == ["authorization_code"]
        assert said["response_types"] == ["code"]
        assert said["client_id_issued_at"] == int(clock().timestamp())
        assert said["registration_client_uri"] == f"{BASE}/oauth2/register/{said['client_id']}"
        assert len(said["registration_access_token"]) >= 43
        assert "client_secret" not in said

    def test_of_a_confidential_app_holds_its_secret_once(self, registrar: Registrar, smart: Any) -> None:
        asked = {"client_name": "Review", "redirect_uris": [REDIRECT], "scope": SCOPE}
        said = registrar.post(registrar.invite(), asked).get_json()
        assert said["token_endpoint_auth_method"] == "client_secret_basic"
        assert said["client_secret_expires_at"] == 0
        assert said["grant_types"] == ["authorization_code", "refresh_token"]
        page = smart.token(
            grant_type="authorization_code", code="x", basic=f"{said['client_id']}:{said['client_secret']}"
        )
        assert json.loads(page.text)["error"] != "invalid_client"
        again = registrar.own("GET", said)
        assert again.status_code == 200
        assert "client_secret" not in again.get_json()
        kept = str(registrar.context.rows.client(said["client_id"]))
        assert said["client_secret"] not in kept
        assert said["registration_access_token"] not in kept

    def test_of_a_service_lets_it_in_at_once(self, registrar: Registrar, smart: Any) -> None:
        token = registrar.invite(scope="system/*.rs", hosts=(), backend=True)
        said = registrar.post(token, SERVICE).get_json()
        assert said["grant_types"] == ["client_credentials"]
        assert said["response_types"] == []
        assert said["jwks"] == JWKS
        page = smart.token(
            grant_type="client_credentials",
            scope="system/Patient.rs",
            client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            client_assertion=smart.assertion(said["client_id"], "ES384", key=KEY),
        )
        assert page.status == 200, page.text

    def test_leaves_out_what_is_not_known_and_keeps_what_is(self, registrar: Registrar) -> None:
        more = {
            "client_uri": "https://growth.example/",
            "policy_uri": "https://growth.example/policy",
            "contacts": ["help@growth.example"],
            "software_id": "growth-1",
            "software_version": "2.0",
            "client_name#de": "Wachstumskurve",
            "launch_url": "https://growth.example/launch",
        }
        unknown = {"trusted": True, "frame_ancestors": ["https://growth.example"], "disabled": True, "x": {}}
        said = registrar.post(registrar.invite(), {**APP, **more, **unknown}).get_json()
        assert {name: said[name] for name in more} == more
        assert not set(unknown) & set(said)
        row = registrar.context.rows.client(said["client_id"])
        assert row.metadata.get("trusted") is None
        assert row.frame_ancestors == ()

    @pytest.mark.parametrize(
        ("asked", "granted"),
        [
            (None, SCOPE),
            ("patient/*.cruds openid", "patient/*.rs openid"),
            ("patient/Observation.rs system/*.rs user/*.rs nonsense", "patient/Observation.rs"),
        ],
    )
    def test_gives_no_scope_beyond_the_invitation(
        self, registrar: Registrar, asked: str | None, granted: str
    ) -> None:
        said = registrar.post(registrar.invite(), {**APP, "scope": asked}).get_json()
        assert said["scope"] == granted

    def test_is_audited_without_secrets(self, registrar: Registrar, store: Any) -> None:
        token = registrar.invite()
        registrar.post("guess", APP)
        registrar.post(token, {**APP, "redirect_uris": ["https://evil.example/"]})
        said = registrar.post(token, APP).get_json()
        rows = list(reversed(store.audit_rows(limit=10)))
        assert [(row.interaction, row.outcome) for row in rows] == [
            ("invitation-add", 200),
            ("client-register-refused", 401),
            ("client-register-refused", 400),
            ("client-register", 201),
        ]
        assert rows[3].client_id == said["client_id"]
        assert rows[3].principal == rows[2].principal == f"Invitation/{rows[0].detail.split()[0]}"
        assert token not in str(rows)
        assert said["registration_access_token"] not in str(rows)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "uris",
        [
            None,
            [],
            "https://growth.example/callback",
            [7],
            ["https://evil.example/callback"],
            ["https://growth.example.evil.example/"],
            ["https://growth.example@evil.example/"],
            ["https://evil.example/growth.example"],
            ["http://growth.example/callback"],
            ["https://growth.example/#f"],
            ["javascript:alert(1)"],
            ["growth.example:/cb"],
            ["https://[growth.example/"],
            ["http://127.0.0.1/cb"],
            [REDIRECT] * 21,
            ["https://growth.example/" + "x" * 2_000],
        ],
    )
    def test_redirect_uris_that_the_invitation_does_not_cover(self, registrar: Registrar, uris: Any) -> None:
        refused(registrar.post(registrar.invite(), {**APP, "redirect_uris": uris}), 400, "invalid_redirect_uri")

    @pytest.mark.parametrize(
        "change",
        [
            {"client_name": 7},
            {"client_name": "x" * 101},
            {"client_name": "a\nb"},
            {"client_name": "a\u202eb"},
            {"token_endpoint_auth_method": "client_secret_post"},
            {"token_endpoint_auth_method": "private_key_jwt"},
            {"token_endpoint_auth_method": "private_key_jwt", "jwks": {}},
            {"token_endpoint_auth_method": "private_key_jwt", "jwks": []},
            {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [KEY.as_dict(private=True)]}},
            {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": JWKS["keys"] * 2}},
            {
                "token_endpoint_auth_method": "private_key_jwt",
                "jwks": JWKS,
                "jwks_uri": "https://growth.example/k",
            },
            {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://evil.example/k"},
            {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://growth.example/k"},
            {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://169.254.169.254/"},
            {"jwks": JWKS},
            {"grant_types": ["implicit"]},
            {"grant_types": ["password"]},
            {"grant_types": ["refresh_token"]},
            {"grant_types": ["authorization_code", "client_credentials"]},
            {"grant_types": "authorization_code"},
            {"response_types": ["token"]},
            {"response_types": ["code", "token"]},
            {"scope": "system/*.cruds"},
            {"scope": "nonsense"},
            {"scope": 7},
            {"scope": "x" * 20_000},
            {"launch_url": "https://evil.example/launch"},
            {"launch_url": "javascript:alert(1)"},
            {"client_uri": "https://evil.example/"},
            {"logo_uri": "data:image/png;base64,AA=="},
            {"tos_uri": 7},
            {"contacts": "help"},
            {"contacts": ["x"] * 21},
            {"software_id": "x" * 256},
        ],
    )
    def test_metadata_that_break_a_rule(self, registrar: Registrar, change: dict[str, Any]) -> None:
        text = refused(registrar.post(registrar.invite(), {**APP, **change}), 400, "invalid_client_metadata")
        assert "evil" not in text
        assert registrar.context.rows.clients() == ()

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"7",
            b"null",
            b"{",
            b'{"a":1,"a":2}',
            b'{"a":"\\ud800"}',
            b"\xff",
            b"[" * 5_000,
            b"x" * 70_000,
        ],
    )
    def test_bodies_that_are_no_json_object(self, registrar: Registrar, body: bytes) -> None:
        refused(registrar.post(registrar.invite(), body), 400, "invalid_client_metadata")

    def test_a_form_is_no_registration(self, registrar: Registrar) -> None:
        token = registrar.invite()
        for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"):
            refused(registrar.post(token, b"{}", content_type=kind), 400, "invalid_client_metadata")

    @pytest.mark.parametrize("name", ["growth chart", "GROWTH  CHART", " Growth chart "])
    def test_nobody_takes_anothers_name(self, registrar: Registrar, name: str) -> None:
        assert registrar.post(registrar.invite(), APP).status_code == 201
        answer = registrar.post(registrar.invite(), {**APP, "client_name": name})
        refused(answer, 400, "invalid_client_metadata")

    def test_native_apps_need_their_scheme_invited(self, registrar: Registrar) -> None:
        native = {**APP, "redirect_uris": ["com.growth.app:/cb"]}
        refused(registrar.post(registrar.invite(), native), 400, "invalid_redirect_uri")
        token = registrar.invite(hosts=["com.growth.app:", "127.0.0.1", "::1"])
        uris = ["com.growth.app:/cb", "http://127.0.0.1:7000/cb", "http://[::1]:7000/cb"]
        assert registrar.post(token, {**APP, "redirect_uris": uris}).status_code == 201


class TestItsOwnRegistration:
    @pytest.fixture
    def registered(self, registrar: Registrar) -> dict[str, Any]:
        return registrar.post(registrar.invite(), APP).get_json()

    def test_can_be_read(self, registrar: Registrar, registered: dict[str, Any]) -> None:
        answer = registrar.own("GET", registered)
        assert answer.status_code == 200
        assert answer.get_json() == registered
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_is_nobody_elses(self, registrar: Registrar, registered: dict[str, Any], method: str) -> None:
        other = registrar.post(registrar.invite(), {**APP, "client_name": "Other"}).get_json()
        for token in ("guess", other["registration_access_token"]):
            refused(registrar.own(method, registered, APP, token=token), 401, "invalid_token")
        for path in ("/oauth2/register/nobody", "/oauth2/register/%00", "/oauth2/register/" + "x" * 300):
            refused(
                registrar.call(method, path, registered["registration_access_token"], APP), 401, "invalid_token"
            )
        assert registrar.own("GET", registered).get_json() == registered

    def test_a_client_of_the_operator_has_none(self, registrar: Registrar, smart: Any) -> None:
        client_id = smart.client("public")
        for token in ("", "00", "x"):
            answer = registrar.call("GET", f"/oauth2/register/{client_id}", token)
            refused(answer, 401, "invalid_token")

    def test_is_replaced_as_a_whole(self, registrar: Registrar, registered: dict[str, Any]) -> None:
        change = {**APP, "client_id": registered["client_id"], "redirect_uris": ["https://growth.example/new"]}
        change.pop("client_name")
        answer = registrar.own("PUT", registered, change)
        assert answer.status_code == 200
        said = answer.get_json()
        assert said["redirect_uris"] == ["https://growth.example/new"]
        assert said["client_name"] == "growth.example"
        assert said["client_id_issued_at"] == registered["client_id_issued_at"]
        assert registrar.own("GET", registered).get_json() == said

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"client_id": "another"}, "invalid_client_metadata"),
            ({"client_id": None}, "invalid_client_metadata"),
            ({"registration_access_token": "x"}, "invalid_client_metadata"),
            ({"registration_client_uri": "x"}, "invalid_client_metadata"),
            ({"client_id_issued_at": 1}, "invalid_client_metadata"),
            ({"client_secret_expires_at": 1}, "invalid_client_metadata"),
            ({"client_secret": "mine"}, "invalid_client_metadata"),
            ({"token_endpoint_auth_method": "client_secret_basic"}, "invalid_client_metadata"),
            ({"scope": "system/*.cruds"}, "invalid_client_metadata"),
            ({"redirect_uris": ["https://evil.example/"]}, "invalid_redirect_uri"),
        ],
    )
    def test_stays_within_the_invitation_it_came_by(
        self, registrar: Registrar, registered: dict[str, Any], clock: Any, change: dict[str, Any], error: str
    ) -> None:
        clock.advance(days=30)  # the invitation itself is long gone
        registrar.context.rows.purge(clock())
        answer = registrar.own("PUT", registered, {**APP, "client_id": registered["client_id"], **change})
        refused(answer, 400, error)
        assert registrar.own("GET", registered).get_json() == registered

    def test_a_secret_lives_through_an_update_that_repeats_it(self, registrar: Registrar) -> None:
        asked = {"client_name": "Review", "redirect_uris": [REDIRECT]}
        said = registrar.post(registrar.invite(), asked).get_json()
        before = registrar.context.rows.client(said["client_id"]).secret_hash
        change = {**asked, "client_id": said["client_id"], "client_secret": said["client_secret"]}
        answer = registrar.own("PUT", said, change)
        assert answer.status_code == 200
        assert "client_secret" not in answer.get_json()
        assert registrar.context.rows.client(said["client_id"]).secret_hash == before

    def test_a_narrower_scope_ends_what_was_granted_beyond_it(self, registrar: Registrar, smart: Any) -> None:
        token = registrar.invite(scope="system/*.rs", hosts=(), backend=True)
        said = registrar.post(token, {**SERVICE, "scope": "system/Patient.rs system/Encounter.rs"}).get_json()

        def access() -> str:
            page = smart.token(
                grant_type="client_credentials",
                scope="system/Patient.rs system/Encounter.rs",
                client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                client_assertion=smart.assertion(said["client_id"], "ES384", key=KEY),
            )
            return json.loads(page.text)["access_token"]

        before = access()
        assert smart.fhir("Encounter", before).status == 200
        change = {**SERVICE, "client_id": said["client_id"], "scope": "system/Patient.rs"}
        assert registrar.own("PUT", said, change).status_code == 200
        assert smart.fhir("Encounter", before).status == 401
        assert smart.fhir("Encounter", access()).status == 403

    def test_can_be_taken_off(self, registrar: Registrar, registered: dict[str, Any], store: Any) -> None:
        answer = registrar.own("DELETE", registered)
        assert answer.status_code == 204
        assert answer.get_data() == b""
        refused(registrar.own("GET", registered), 401, "invalid_token")
        refused(registrar.own("DELETE", registered), 401, "invalid_token")
        assert registrar.context.rows.client(registered["client_id"]).disabled
        assert registrar.post(registrar.invite(), APP).status_code == 201  # its name is free again
        assert "client-delete" in {row.interaction for row in store.audit_rows(limit=10)}

    def test_ends_when_the_operator_shuts_the_client_out(
        self, registrar: Registrar, registered: dict[str, Any], clock: Any
    ) -> None:
        registrar.context.rows.disable_client(registered["client_id"], clock())
        change = {**APP, "client_id": registered["client_id"]}
        refused(registrar.own("PUT", registered, change), 401, "invalid_token")
        assert registrar.context.rows.client(registered["client_id"]).disabled


class TestSoftwareStatements:
    ISSUER = ECKey.generate_key("P-256", {"alg": "ES256"}, auto_kid=True)

    def statement(self, key: Any = None, algorithm: str = "ES256", **claims: Any) -> str:
        key = key or self.ISSUER
        said = {"iss": "https://trust.example", "client_name": "Vouched for", **claims}
        return jwt.encode({"alg": algorithm, "kid": key.kid}, said, key, [algorithm])

    @pytest.fixture
    def token(self, registrar: Registrar) -> str:
        jwks = {"keys": [{**self.ISSUER.as_dict(private=False), "kid": self.ISSUER.kid}]}
        return registrar.invite(statement={"iss": "https://trust.example", "jwks": jwks})

    def test_its_claims_take_the_place_of_what_the_client_says(self, registrar: Registrar, token: str) -> None:
        statement = self.statement()
        said = registrar.post(token, {**APP, "software_statement": statement}).get_json()
        assert said["client_name"] == "Vouched for"
        assert said["software_statement"] == statement

    def test_its_claims_stay_within_the_invitation(self, registrar: Registrar, token: str) -> None:
        statement = self.statement(redirect_uris=["https://evil.example/"])
        refused(registrar.post(token, {**APP, "software_statement": statement}), 400, "invalid_redirect_uri")

    @pytest.mark.parametrize(
        ("error", "make"),
        [
            ("unapproved_software_statement", lambda self: None),
            ("unapproved_software_statement", lambda self: 7),
            ("unapproved_software_statement", lambda self: self.statement(iss="https://other.example")),
            ("invalid_software_statement", lambda self: "x"),
            ("invalid_software_statement", lambda self: "a.b.c"),
            ("invalid_software_statement", lambda self: "\u00e9.b.c"),
            ("invalid_software_statement", lambda self: self.statement() + "x"),
            ("invalid_software_statement", lambda self: self.statement(exp=1)),
            ("invalid_software_statement", lambda self: self.statement(exp="soon")),
            ("invalid_software_statement", lambda self: self.statement(nbf=4_000_000_000)),
            (
                "invalid_software_statement",
                lambda self: self.statement(ECKey.generate_key("P-256", {"kid": self.ISSUER.kid})),
            ),
            (
                "invalid_software_statement",
                lambda self: self.statement(OctKey.generate_key(256, {"kid": self.ISSUER.kid}), "HS256"),
            ),
        ],
    )
    def test_only_of_the_issuer_that_was_asked_for(
        self, registrar: Registrar, token: str, error: str, make: Any
    ) -> None:
        body = {**APP, "software_statement": make(self)}
        refused(registrar.post(token, body), 400, error)

    def test_none_is_taken_where_none_was_asked_for(self, registrar: Registrar) -> None:
        body = {**APP, "software_statement": self.statement()}
        refused(registrar.post(registrar.invite(), body), 400, "unapproved_software_statement")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    *APP,
    *SERVICE,
    "jwks_uri",
    "launch_url",
    "client_uri",
    "contacts",
    "response_types",
    "software_id",
    "client_name#x",
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8), st.booleans())
def test_whatever_is_said_a_client_stays_within_its_bounds(said: dict[str, Any], base: bool) -> None:
    from datetime import UTC, datetime

    bounds = Bounds(SCOPE, ("growth.example",), backend=False)
    try:
        row = client_row(read_metadata({**(APP if base else {}), **said}, "c", bounds), "", datetime.now(UTC))
    except RegistrationError:
        return
    assert {urlsplit(uri).hostname for uri in row.redirect_uris} == {"growth.example"}
    assert set(row.grant_types) <= {"authorization_code", "refresh_token"}
    assert "system/" not in row.scope
    assert row.metadata.get("trusted") is None
    json.dumps([row.metadata, row.jwks])
