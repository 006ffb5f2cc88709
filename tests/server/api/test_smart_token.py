"""The token endpoint: authorization code, refresh, revocation, introspection, id token.

Covers RFC 6749 sections 4.1.3 to 6, RFC 7009, RFC 7636 section 4.6, RFC 7662, RFC 9700 sections 2.1.1 and 4.14,
OpenID Connect Core 1.0 section 2, hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from server.auth import authorization_code

BASE = "http://127.0.0.1:8000"
CALLBACK = "https://app.example/callback"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.mark.requirement("T1")
@pytest.mark.requirement("T2")
@pytest.mark.requirement("T3")
@pytest.mark.parametrize("kind", ["public", "confidential-symmetric", "confidential-asymmetric"])
def test_each_kind_of_client_gets_its_tokens(smart: Any, kind: str) -> None:
    client_id = smart.client(kind)
    proof = {
        "public": {},
        "confidential-symmetric": {"client_id": None, "basic": f"{client_id}:client-secret"},
        "confidential-asymmetric": {
            "client_id": None,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": smart.assertion(client_id),
        },
    }[kind]
    page = smart.exchange(client_id, smart.code(client_id), **proof)
    assert page.status == 200, page.text
    assert page.headers["Content-Type"] == "application/json"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Pragma"] == "no-cache"
    tokens = json.loads(page.text)
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 3600
    assert tokens["scope"] == "openid fhirUser offline_access launch patient/*.rs"
    assert len(tokens["access_token"]) >= 43
    assert len(tokens["refresh_token"]) >= 43
    assert smart.fhir("Patient/one", tokens["access_token"]).status == 200


@pytest.mark.requirement("T4")
@pytest.mark.requirement("T5")
def test_the_launch_context_comes_with_the_tokens(smart: Any) -> None:
    client_id, browser = smart.client(), smart.browser()
    browser.sign_in()
    launch = smart.launch(
        browser,
        client_id,
        patient="one",
        encounter="stay",
        intent="reconcile",
        fhir_context=[{"reference": "List/home", "role": "https://app.example/at-home"}],
        need_patient_banner=False,
        tenant="north-clinic",
    )
    answer = smart.authorize(browser, client_id, launch=launch, scope="launch patient/*.rs").answer
    tokens = json.loads(smart.exchange(client_id, answer["code"]).text)
    assert tokens["patient"] == "one"
    assert tokens["encounter"] == "stay"
    assert tokens["intent"] == "reconcile"
    assert tokens["fhirContext"] == [{"reference": "List/home", "role": "https://app.example/at-home"}]
    assert tokens["need_patient_banner"] is False
    assert tokens["tenant"] == "north-clinic"
    style = smart.browser().get(tokens["smart_style_url"].removeprefix(BASE), Origin="https://app.example")
    assert style.status == 200
    assert style.headers["Access-Control-Allow-Origin"] == "*"
    assert set(json.loads(style.text)) == {
        "color_background", "color_error", "color_highlight", "color_modal_backdrop", "color_success",
        "color_text", "dim_border_radius", "dim_font_size", "dim_spacing_size", "font_family_body",
        "font_family_heading",
    }  # fmt: skip
    for path in ("Patient/one", "Encounter/stay"):
        assert smart.fhir(path, tokens["access_token"]).status == 200


@pytest.mark.requirement("T6")
def test_browser_apps_of_any_origin_may_ask_for_tokens(smart: Any) -> None:
    client = smart.app.test_client()
    headers = {"Origin": "https://app.example"}
    answer = client.post("/oauth2/token", base_url=BASE, data={"grant_type": "x"}, headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://app.example")
    headers |= {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = client.options("/oauth2/token", base_url=BASE, headers=headers)
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]


@pytest.mark.requirement("T7")
class TestRefusedExchange:
    @pytest.mark.parametrize(
        ("changes", "status", "error"),
        [
            ({"code": "wrong"}, 400, "invalid_grant"),
            ({"code": None}, 400, "invalid_request"),
            ({"client_id": "nobody"}, 401, "invalid_client"),
            ({"client_id": None}, 401, "invalid_client"),
            ({"redirect_uri": "https://app.example/other"}, 400, "invalid_grant"),
            ({"redirect_uri": None}, 400, "invalid_grant"),
            ({"code_verifier": None}, 400, "invalid_request"),
            ({"code_verifier": ""}, 400, "invalid_request"),
            ({"code_verifier": "w" * 43}, 400, "invalid_grant"),
            ({"code_verifier": "short"}, 400, "invalid_request"),
            ({"code": "x" * 20_000}, 400, "invalid_request"),
            ({"code": "a\x00b"}, 400, "invalid_request"),
            ({"grant_type": None}, 400, "invalid_request"),
            ({"grant_type": "password"}, 400, "unsupported_grant_type"),
            ({"grant_type": "authorization_code\u00e9"}, 400, "unsupported_grant_type"),
        ],
    )
    def test_what_does_not_fit_the_code_is_refused(
        self, smart: Any, oauth_error: Any, changes: dict[str, Any], status: int, error: str
    ) -> None:
        client_id = smart.client()
        form = {"code": smart.code(client_id)} | changes
        page = smart.exchange(form.pop("client_id", client_id), form.pop("code"), **form)
        oauth_error(page, status, error)

    def test_the_challenge_itself_is_no_verifier(self, smart: Any, oauth_error: Any) -> None:
        client_id = smart.client()
        code = smart.code(client_id)
        challenge = smart.parameters(client_id)["code_challenge"]
        oauth_error(smart.exchange(client_id, code, code_verifier=challenge), 400, "invalid_grant")

    def test_a_code_expires_after_a_minute(self, smart: Any, clock: Any, oauth_error: Any) -> None:
        client_id = smart.client()
        code = smart.code(client_id)
        clock.advance(seconds=60)
        oauth_error(smart.exchange(client_id, code), 400, "invalid_grant")

    def test_a_code_of_another_client_is_refused(self, smart: Any, oauth_error: Any) -> None:
        mine, other = smart.client(), smart.client()
        oauth_error(smart.exchange(other, smart.code(mine)), 400, "invalid_grant")

    def test_using_a_code_again_revokes_what_it_brought(self, smart: Any, oauth_error: Any) -> None:
        client_id = smart.client()
        code = smart.code(client_id)
        tokens = json.loads(smart.exchange(client_id, code).text)
        assert smart.fhir("Patient/one", tokens["access_token"]).status == 200
        oauth_error(smart.exchange(client_id, code), 400, "invalid_grant")
        assert smart.fhir("Patient/one", tokens["access_token"]).status == 401
        again = smart.token(
            grant_type="refresh_token", refresh_token=tokens["refresh_token"], client_id=client_id
        )
        oauth_error(again, 400, "invalid_grant")

    def test_using_a_code_again_while_its_tokens_are_made_brings_none(
        self, smart: Any, oauth_error: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second use comes after the first one's code was accepted, before its tokens are kept."""
        client_id = smart.client()
        code, id_token, second = smart.code(client_id), authorization_code.id_token, []

        def interrupted(*arguments: Any) -> str:
            second.append(smart.exchange(client_id, code))
            return id_token(*arguments)

        monkeypatch.setattr(authorization_code, "id_token", interrupted)
        oauth_error(smart.exchange(client_id, code), 400, "invalid_grant")
        oauth_error(second[0], 400, "invalid_grant")

    def test_a_confidential_client_must_prove_itself(self, smart: Any, oauth_error: Any) -> None:
        client_id = smart.client("confidential-symmetric")
        oauth_error(smart.exchange(client_id, smart.code(client_id)), 401, "invalid_client")
        wrong = smart.exchange(client_id, smart.code(client_id), client_id=None, basic=f"{client_id}:wrong")
        oauth_error(wrong, 401, "invalid_client")
        assert wrong.headers["WWW-Authenticate"].startswith("Basic")
        in_body = smart.exchange(client_id, smart.code(client_id), client_secret="client-secret")
        oauth_error(in_body, 401, "invalid_client")

    def test_a_public_client_has_no_secret(self, smart: Any, oauth_error: Any) -> None:
        client_id = smart.client()
        page = smart.exchange(client_id, smart.code(client_id), client_id=None, basic=f"{client_id}:")
        oauth_error(page, 401, "invalid_client")

    def test_a_repeated_parameter_is_refused(self, smart: Any, oauth_error: Any) -> None:
        page = smart.browser().post("/oauth2/token", [("grant_type", "a"), ("grant_type", "b")])
        oauth_error(page, 400, "invalid_request")

    def test_parameters_in_the_url_do_not_count(self, smart: Any, oauth_error: Any) -> None:
        oauth_error(smart.post("/oauth2/token?grant_type=client_credentials", {}), 400, "invalid_request")

    @pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
    def test_only_forms_are_read(self, smart: Any, oauth_error: Any, content_type: str) -> None:
        browser = smart.browser()
        page = browser.post("/oauth2/token", b'{"grant_type":"x"}', **{"Content-Type": content_type})
        oauth_error(page, 400, "invalid_request")

    def test_a_disabled_user_gets_no_tokens(self, smart: Any, oauth_error: Any) -> None:
        client_id = smart.client()
        code = smart.code(client_id)
        smart.context.rows.put_user(replace(smart.context.rows.user("rn"), disabled=True))
        oauth_error(smart.exchange(client_id, code), 400, "invalid_grant")


@pytest.mark.requirement("T8")
class TestBearer:
    def test_without_a_token_it_is_401_with_a_challenge(self, smart: Any) -> None:
        page = smart.fhir("Patient/one", "")
        assert page.status == 401
        assert page.headers["WWW-Authenticate"] == 'Bearer realm="baton"'
        assert json.loads(page.text)["issue"][0]["code"] == "login"

    def test_an_expired_token_is_401(self, smart: Any, clock: Any) -> None:
        token = smart.tokens(smart.client())["access_token"]
        clock.advance(minutes=59, seconds=59)
        assert smart.fhir("Patient/one", token).status == 200
        clock.advance(seconds=1)
        page = smart.fhir("Patient/one", token)
        assert page.status == 401
        assert 'error="invalid_token"' in page.headers["WWW-Authenticate"]

    @pytest.mark.parametrize(
        "header",
        ["Bearer", "Bearer ", "Bearer x", "Basic YTpi", "bearer \u00e9" + "x" * 50, "Bearer " + "x" * 9000],
    )
    def test_other_headers_are_401(self, smart: Any, header: str) -> None:
        answer = smart.app.test_client().get(
            "/fhir/Patient/one", base_url=BASE, headers={"Authorization": header}
        )
        assert answer.status_code == 401

    def test_the_scheme_is_read_in_any_case(self, smart: Any) -> None:
        token = smart.tokens(smart.client())["access_token"]
        answer = smart.app.test_client().get(
            "/fhir/Patient/one", base_url=BASE, headers={"Authorization": f"bEARER {token}"}
        )
        assert answer.status_code == 200

    def test_a_refresh_token_and_a_code_open_nothing(self, smart: Any) -> None:
        client_id = smart.client()
        assert smart.fhir("Patient/one", smart.tokens(client_id)["refresh_token"]).status == 401
        assert smart.fhir("Patient/one", smart.code(client_id)).status == 401

    def test_a_patient_token_sees_its_patient_alone(self, smart: Any) -> None:
        token = smart.tokens(smart.client())["access_token"]
        assert smart.fhir("Patient/two", token).status == 404
        found = json.loads(smart.fhir("Patient", token).text)
        assert [entry["resource"]["id"] for entry in found["entry"]] == ["one"]


class TestRefresh:
    @staticmethod
    def refresh(smart: Any, client_id: str, token: str, **more: str) -> Any:
        return smart.token(grant_type="refresh_token", refresh_token=token, client_id=client_id, **more)

    @pytest.mark.requirement("R1")
    @pytest.mark.parametrize("scope", [None, "launch patient/*.rs", "patient/Patient.r"])
    def test_a_refresh_gives_new_tokens_of_the_same_context(self, smart: Any, scope: str | None) -> None:
        client_id = smart.client()
        first = smart.tokens(client_id)
        page = self.refresh(smart, client_id, first["refresh_token"], **({"scope": scope} if scope else {}))
        assert page.status == 200, page.text
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Pragma"] == "no-cache"
        tokens = json.loads(page.text)
        assert tokens["scope"] == (scope or first["scope"])
        assert tokens["token_type"] == "Bearer"
        assert tokens["expires_in"] == 3600
        assert tokens["access_token"] != first["access_token"]
        assert tokens["refresh_token"] != first["refresh_token"]
        assert tokens["patient"] == "one"
        assert smart.fhir("Patient/one", tokens["access_token"]).status == 200

    def test_a_narrower_refresh_does_not_narrow_the_grant(self, smart: Any) -> None:
        client_id = smart.client()
        first = smart.tokens(client_id)
        second = json.loads(
            self.refresh(smart, client_id, first["refresh_token"], scope="patient/Patient.r").text
        )
        assert smart.fhir("Encounter/stay", second["access_token"]).status == 403
        third = json.loads(self.refresh(smart, client_id, second["refresh_token"]).text)
        assert third["scope"] == first["scope"]

    @pytest.mark.parametrize(
        "scope", ["patient/*.cruds", "user/*.rs", "system/*.rs", "launch/patient", "nonsense"]
    )
    def test_a_refresh_never_widens_the_scope(self, smart: Any, oauth_error: Any, scope: str) -> None:
        client_id = smart.client()
        token = smart.tokens(client_id)["refresh_token"]
        oauth_error(self.refresh(smart, client_id, token, scope=scope), 400, "invalid_scope")
        assert self.refresh(smart, client_id, token).status == 200

    @pytest.mark.requirement("R2")
    def test_an_unknown_token_and_another_client_are_refused(self, smart: Any, oauth_error: Any) -> None:
        mine, other = smart.client(), smart.client()
        token = smart.tokens(mine)["refresh_token"]
        oauth_error(self.refresh(smart, mine, "random"), 400, "invalid_grant")
        oauth_error(self.refresh(smart, other, token), 400, "invalid_grant")
        assert self.refresh(smart, mine, token).status == 200

    def test_using_a_token_again_ends_the_family(self, smart: Any, oauth_error: Any) -> None:
        client_id = smart.client()
        first = smart.tokens(client_id)
        second = json.loads(self.refresh(smart, client_id, first["refresh_token"]).text)
        oauth_error(self.refresh(smart, client_id, first["refresh_token"]), 400, "invalid_grant")
        oauth_error(self.refresh(smart, client_id, second["refresh_token"]), 400, "invalid_grant")
        for tokens in (first, second):
            assert smart.fhir("Patient/one", tokens["access_token"]).status == 401

    @pytest.mark.requirement("R4")
    def test_offline_access_lives_three_months_from_its_last_use(self, smart: Any, clock: Any) -> None:
        client_id = smart.client()
        token = smart.tokens(client_id)["refresh_token"]
        for _ in range(3):
            clock.advance(days=91)
            page = self.refresh(smart, client_id, token)
            assert page.status == 200
            token = json.loads(page.text)["refresh_token"]
        clock.advance(days=92)
        assert self.refresh(smart, client_id, token).status == 400

    def test_online_access_ends_with_the_login(self, smart: Any, oauth_error: Any) -> None:
        client_id = smart.client(scope="online_access user/*.rs")
        browser = smart.browser()
        browser.sign_in()
        code = smart.authorize(browser, client_id, scope="online_access user/*.rs").answer["code"]
        tokens = json.loads(smart.exchange(client_id, code).text)
        page = self.refresh(smart, client_id, tokens["refresh_token"])
        assert page.status == 200
        csrf = browser.get("/oauth2/grants").text.partition('name="csrf" value="')[2].partition('"')[0]
        browser.post("/oauth2/logout", {"csrf": csrf})
        token = json.loads(page.text)["refresh_token"]
        oauth_error(self.refresh(smart, client_id, token), 400, "invalid_grant")
        assert smart.fhir("Patient", tokens["access_token"]).status == 401

    def test_online_access_ends_where_the_login_runs_out_and_offline_access_does_not(
        self, smart: Any, clock: Any, oauth_error: Any
    ) -> None:
        kept = {}
        for access in ("online_access", "offline_access"):
            client_id = smart.client(scope=f"{access} user/*.rs")
            browser = smart.browser()
            browser.sign_in()
            code = smart.authorize(browser, client_id, scope=f"{access} user/*.rs").answer["code"]
            kept[access] = client_id, json.loads(smart.exchange(client_id, code).text)["refresh_token"]
        clock.advance(minutes=15, seconds=1)
        oauth_error(self.refresh(smart, *kept["online_access"]), 400, "invalid_grant")
        assert self.refresh(smart, *kept["offline_access"]).status == 200

    def test_without_offline_or_online_access_there_is_no_refresh_token(self, smart: Any) -> None:
        assert "refresh_token" not in smart.tokens(smart.client(), scope="launch patient/*.rs")


@pytest.mark.requirement("R3")
class TestRevocation:
    def test_withdrawing_a_grant_on_the_page_ends_its_tokens_at_once(
        self, smart: Any, oauth_error: Any
    ) -> None:
        client_id = smart.client(name="Growth chart")
        tokens = smart.tokens(client_id)
        browser = smart.browser()
        browser.sign_in()
        page = browser.get("/oauth2/grants")
        assert "Withdraw access of Growth chart" in page.text
        button = page.text.partition('name="grant" value="')[2].partition('"')[0]
        csrf = dict(page.fields)["csrf"]
        engineer = smart.browser()
        engineer.sign_in("engineer")
        stolen = {"grant": button, "csrf": csrf}
        assert engineer.post("/oauth2/grants/withdraw", stolen).status == 403
        engineers = {"grant": button, "csrf": dict(engineer.get("/oauth2/grants").fields)["csrf"]}
        assert engineer.post("/oauth2/grants/withdraw", engineers).status == 303
        assert smart.fhir("Patient/one", tokens["access_token"]).status == 200
        assert browser.post("/oauth2/grants/withdraw", {"grant": button, "csrf": csrf}).status == 303
        assert smart.fhir("Patient/one", tokens["access_token"]).status == 401
        again = smart.token(
            grant_type="refresh_token", refresh_token=tokens["refresh_token"], client_id=client_id
        )
        oauth_error(again, 400, "invalid_grant")

    def test_revoking_an_access_token_ends_it_alone(self, smart: Any) -> None:
        client_id = smart.client()
        tokens = smart.tokens(client_id)
        form = {"token": tokens["access_token"], "token_type_hint": "whatever", "client_id": client_id}
        assert smart.post("/oauth2/revoke", form).status == 200
        assert smart.fhir("Patient/one", tokens["access_token"]).status == 401
        again = smart.token(
            grant_type="refresh_token", refresh_token=tokens["refresh_token"], client_id=client_id
        )
        assert again.status == 200

    def test_revoking_a_refresh_token_ends_the_grant(self, smart: Any) -> None:
        client_id = smart.client()
        tokens = smart.tokens(client_id)
        form = {"token": tokens["refresh_token"], "client_id": client_id}
        assert smart.post("/oauth2/revoke", form).status == 200
        assert smart.fhir("Patient/one", tokens["access_token"]).status == 401

    def test_others_cannot_revoke_and_unknown_tokens_are_no_error(self, smart: Any, oauth_error: Any) -> None:
        mine, other = smart.client(), smart.client()
        token = smart.tokens(mine)["access_token"]
        page = smart.post("/oauth2/revoke", {"token": token, "client_id": other})
        oauth_error(page, 400, "invalid_grant")
        assert smart.fhir("Patient/one", token).status == 200
        assert smart.post("/oauth2/revoke", {"token": "unknown", "client_id": mine}).status == 200
        oauth_error(smart.post("/oauth2/revoke", {"token": token}), 401, "invalid_client")
        oauth_error(smart.post("/oauth2/revoke", {"client_id": mine}), 400, "invalid_request")

    def test_disabling_a_client_ends_its_tokens_at_once(self, smart: Any) -> None:
        client_id = smart.client()
        token = smart.tokens(client_id)["access_token"]
        assert smart.fhir("Patient/one", token).status == 200
        smart.context.rows.disable_client(client_id, smart.context.clock())
        assert smart.fhir("Patient/one", token).status == 401


class TestIntrospection:
    @pytest.mark.requirement("I1")
    def test_an_active_token_is_described_as_it_was_issued(self, smart: Any) -> None:
        client_id = smart.client()
        tokens = smart.tokens(client_id)
        other = smart.client("confidential-asymmetric")
        page = smart.post(
            "/oauth2/introspect",
            {
                "token": tokens["access_token"],
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": smart.assertion(other),
            },
            Accept="application/json",
        )
        assert page.status == 200
        found = json.loads(page.text)
        assert found["active"] is True
        assert found["client_id"] == client_id
        assert found["scope"].split() == tokens["scope"].split()
        assert found["exp"] == int(smart.context.clock().timestamp()) + 3600
        assert found["patient"] == "one"
        assert found["encounter"] == "stay"
        assert found["iss"] == BASE
        assert found["sub"] == "rn"
        assert found["fhirUser"] == f"{BASE}/fhir/Practitioner/prac-rn"

    @pytest.mark.requirement("I2")
    def test_other_values_are_inactive_and_nothing_else(self, smart: Any, clock: Any) -> None:
        client_id = smart.client("confidential-symmetric")
        mine = smart.client()
        expired = smart.tokens(mine)["access_token"]
        clock.advance(hours=2)
        for value in ("invalid_token_value", "", "\u00e9", expired):
            page = smart.browser().client.post(
                "/oauth2/introspect", base_url=BASE, data={"token": value}, auth=(client_id, "client-secret")
            )
            assert page.status_code == 200
            assert page.get_json() == {"active": False}

    def test_a_public_client_learns_only_of_its_own_tokens(self, smart: Any) -> None:
        mine, other = smart.client(), smart.client()
        token = smart.tokens(mine)["access_token"]
        assert json.loads(smart.post("/oauth2/introspect", {"token": token, "client_id": mine}).text)["active"]
        page = smart.post("/oauth2/introspect", {"token": token, "client_id": other})
        assert json.loads(page.text) == {"active": False}

    def test_nobody_introspects_without_being_a_client(self, smart: Any, oauth_error: Any) -> None:
        oauth_error(smart.post("/oauth2/introspect", {"token": "x"}), 401, "invalid_client")


class TestIdToken:
    @pytest.mark.requirement("O1")
    def test_the_openid_configuration_stands_below_the_issuer(self, smart: Any) -> None:
        page = smart.browser().get("/.well-known/openid-configuration")
        assert page.status == 200
        assert page.headers["Content-Type"] == "application/json"
        configuration = json.loads(page.text)
        assert configuration["issuer"] == BASE
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            assert configuration[name].startswith(f"{BASE}/oauth2/")
        assert configuration["response_types_supported"] == ["code"]
        assert configuration["subject_types_supported"] == ["public"]
        assert configuration["id_token_signing_alg_values_supported"] == ["RS256"]

    @pytest.mark.requirement("O2")
    @pytest.mark.requirement("O3")
    def test_the_id_token_is_signed_by_a_published_key_and_says_who(self, smart: Any) -> None:
        client_id = smart.client()
        tokens = smart.tokens(client_id, nonce="n-1")
        jwks = json.loads(smart.browser().get("/oauth2/jwks").text)
        assert all(set(key) >= {"kty", "kid", "n", "e"} and "d" not in key for key in jwks["keys"])
        token = smart.claims(tokens["id_token"])
        assert token.header["alg"] == "RS256"
        assert token.header["kid"] in {key["kid"] for key in jwks["keys"]}
        now = int(smart.context.clock().timestamp())
        half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
        assert token.claims == {
            "iss": BASE,
            "sub": "rn",
            "aud": client_id,
            "iat": now,
            "exp": now + 300,
            "auth_time": now,
            "nonce": "n-1",
            "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
            "fhirUser": f"{BASE}/fhir/Practitioner/prac-rn",
        }

    @pytest.mark.requirement("O4")
    def test_fhir_user_can_be_read_with_the_token(self, smart: Any) -> None:
        tokens = smart.tokens(smart.client(), scope="launch openid fhirUser user/Practitioner.r")
        claims = smart.claims(tokens["id_token"]).claims
        answer = smart.app.test_client().get(
            claims["fhirUser"].removeprefix(BASE),
            base_url=BASE,
            headers={"Authorization": f"Bearer {tokens['access_token']}", "Origin": "https://app.example"},
        )
        assert answer.status_code == 200
        assert answer.get_json()["resourceType"] == "Practitioner"
        assert "Access-Control-Allow-Origin" in answer.headers

    def test_without_openid_there_is_no_id_token_and_without_fhir_user_no_such_claim(self, smart: Any) -> None:
        assert "id_token" not in smart.tokens(smart.client(), scope="launch fhirUser patient/*.rs")
        tokens = smart.tokens(smart.client(), scope="launch openid patient/*.rs")
        claims = smart.claims(tokens["id_token"]).claims
        assert "fhirUser" not in claims
