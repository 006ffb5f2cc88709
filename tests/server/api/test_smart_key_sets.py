"""Backend services whose keys are published by URL, and keys that cannot be used although they are registered.

Covers hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html (jwks_uri, jku, kid, rotation),
RFC 7517 section 4 (use, key_ops, alg), RFC 7515 section 4.1.11 (crit), RFC 8725.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from server.app import create_app
from server.auth.clients import ASYMMETRIC, Registration, client_row
from server.logs import Log
from server.outbound_http import read_networks
from server.settings import Settings
from server.storage import open_store

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, outbound_allow=read_networks(["127.0.0.1"]))


def public(key: Any, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": key.kid, **more}


def ask(smart: Any, assertion: str) -> Any:
    return smart.token(
        grant_type="client_credentials",
        scope="system/Patient.rs",
        client_assertion_type=ASSERTION_TYPE,
        client_assertion=assertion,
    )


def service(smart: Any, **keys: Any) -> str:
    registration = Registration("svc", "Service", ASYMMETRIC, "system/Patient.rs", backend=True, **keys)
    smart.context.rows.put_client(client_row(registration, "", smart.context.clock()))
    return "svc"


def relabelled(assertion: str, **more: Any) -> str:
    """The assertion with other members in its header, signed as it was."""
    head, rest = assertion.split(".", 1)
    known = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    return urlsafe_b64encode(json.dumps(known | more).encode()).rstrip(b"=").decode() + "." + rest


@pytest.fixture
def published(smart: Any, publisher: Any, client_keys: Any) -> str:
    """A service whose keys are at the publisher's address."""
    publisher.document = {"keys": [public(key) for key in client_keys.values()]}
    return service(smart, jwks_uri=publisher.url)


@pytest.mark.requirement("B1")
@pytest.mark.requirement("B5")
@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_keys_by_url_are_as_good_as_by_value(
    smart: Any, published: str, publisher: Any, algorithm: str
) -> None:
    assert ask(smart, smart.assertion(published, algorithm)).status == 200
    assert ask(smart, smart.assertion(published, algorithm)).status == 200
    assert len(publisher.asked) == 1


def test_jku_may_name_the_registered_address_and_no_other(
    smart: Any, published: str, publisher: Any, oauth_error: Any
) -> None:
    assert ask(smart, smart.assertion(published, header={"jku": publisher.url})).status == 200
    for other in (publisher.url + "x", publisher.url.upper(), "https://evil.example/jwks", "", None, 7):
        page = ask(smart, relabelled(smart.assertion(published), jku=other))
        oauth_error(page, 401, "invalid_client")
    assert publisher.asked == ["/jwks.json"]


def test_a_client_rotates_its_keys_without_us(
    smart: Any, published: str, publisher: Any, clock: Any, oauth_error: Any
) -> None:
    old = smart.assertion(published, "ES384")
    assert ask(smart, old).status == 200
    new = ECKey.generate_key("P-384", {"alg": "ES384"}, auto_kid=True)
    publisher.document = {"keys": [public(new)]}
    clock.advance(seconds=11)
    assert ask(smart, smart.assertion(published, "ES384", key=new)).status == 200
    # Its old key is not published any more.
    oauth_error(ask(smart, smart.assertion(published, "ES384")), 401, "invalid_client")


def test_keys_that_cannot_be_had_are_the_clients_failure(
    smart: Any, published: str, publisher: Any, clock: Any, oauth_error: Any
) -> None:
    publisher.status = 500
    oauth_error(ask(smart, smart.assertion(published)), 401, "invalid_client")
    publisher.status = 200
    clock.advance(seconds=61)
    assert ask(smart, smart.assertion(published)).status == 200
    publisher.status = 500
    clock.advance(hours=6)
    assert ask(smart, smart.assertion(published)).status == 200


@pytest.mark.requirement("B4")
def test_unknown_kids_do_not_make_us_ask_again_and_again(
    smart: Any, published: str, publisher: Any, oauth_error: Any
) -> None:
    assert ask(smart, smart.assertion(published)).status == 200
    for number in range(8):  # more, and the client has to wait
        page = ask(smart, smart.assertion(published, header={"kid": f"unknown-{number}"}))
        oauth_error(page, 401, "invalid_client")
    assert len(publisher.asked) == 1


def test_a_key_set_fetched_by_one_process_serves_the_others(
    smart: Any, published: str, publisher: Any, settings: Settings, clock: Any
) -> None:
    assert ask(smart, smart.assertion(published)).status == 200
    store = open_store(settings.database_url)
    other = create_app(settings, store=store, clock=clock, log=Log("ERROR"))
    answer = other.test_client().post(
        "/oauth2/token",
        base_url=settings.base_url,
        data={
            "grant_type": "client_credentials",
            "scope": "system/Patient.rs",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": smart.assertion(published),
        },
    )
    store.close()
    assert answer.status_code == 200
    assert len(publisher.asked) == 1


@pytest.mark.requirement("B4")
def test_an_assertion_used_at_one_process_is_used_up_at_the_others(
    smart: Any, published: str, settings: Settings, clock: Any
) -> None:
    assertion = smart.assertion(published)
    assert ask(smart, assertion).status == 200
    store = open_store(settings.database_url)
    other = create_app(settings, store=store, clock=clock, log=Log("ERROR"))
    answer = other.test_client().post(
        "/oauth2/token",
        base_url=settings.base_url,
        data={
            "grant_type": "client_credentials",
            "scope": "system/Patient.rs",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        },
    )
    store.close()
    assert answer.status_code == 401
    assert answer.get_json()["error"] == "invalid_client"


@pytest.mark.requirement("B4")
class TestKeysThatDoNotSign:
    @pytest.mark.parametrize(
        "change",
        [
            {"use": "enc"},
            {"use": 7},
            {"key_ops": ["encrypt"]},
            {"key_ops": []},
            {"key_ops": "verify"},
            {"alg": "RS256"},
            {"alg": "ES384"},
            {"exp": 1},
            {"exp": "never"},
            {"crv": "P-384"},
        ],
    )
    def test_a_key_for_something_else(
        self, smart: Any, publisher: Any, client_keys: Any, oauth_error: Any, change: dict[str, Any]
    ) -> None:
        publisher.document = {"keys": [public(client_keys["RS384"], **change)]}
        oauth_error(ask(smart, smart.assertion(service(smart, jwks_uri=publisher.url))), 401, "invalid_client")

    def test_a_key_that_may_verify(self, smart: Any, publisher: Any, client_keys: Any) -> None:
        key = public(client_keys["RS384"], key_ops=["verify"], alg="RS384")
        key.pop("use", None)
        publisher.document = {"keys": [key]}
        assert ask(smart, smart.assertion(service(smart, jwks_uri=publisher.url))).status == 200

    def test_two_keys_of_one_kid_and_type(
        self, smart: Any, publisher: Any, client_keys: Any, oauth_error: Any
    ) -> None:
        key = client_keys["RS384"]
        twin = {**RSAKey.generate_key(2048).as_dict(private=False), "kid": key.kid}
        for keys in ([public(key), twin], [twin, public(key)]):
            smart.context.rows.registrations.release_key_set(publisher.url, not_before=smart.context.clock())
            publisher.document = {"keys": keys}
            page = ask(smart, smart.assertion(service(smart, jwks_uri=publisher.url)))
            oauth_error(page, 401, "invalid_client")

    def test_two_keys_of_one_kid_and_different_types(
        self, smart: Any, publisher: Any, client_keys: Any
    ) -> None:
        key = client_keys["RS384"]
        other = {**client_keys["ES384"].as_dict(private=False), "kid": key.kid}
        publisher.document = {"keys": [other, public(key)]}
        assert ask(smart, smart.assertion(service(smart, jwks_uri=publisher.url))).status == 200

    @pytest.mark.parametrize("curve", ["P-256", "P-521"])
    def test_a_key_on_another_curve(self, smart: Any, publisher: Any, oauth_error: Any, curve: str) -> None:
        key = ECKey.generate_key(curve, auto_kid=True)
        publisher.document = {"keys": [public(key)]}
        client_id = service(smart, jwks_uri=publisher.url)
        # Signed as well as that key can, and called ES384 all the same.
        own = {"P-256": "ES256", "P-521": "ES512"}[curve]
        oauth_error(ask(smart, smart.assertion(client_id, own, key=key)), 401, "invalid_client")
        forged = relabelled(smart.assertion(client_id, own, key=key), alg="ES384")
        oauth_error(ask(smart, forged), 401, "invalid_client")

    @pytest.mark.parametrize("header", [{"typ": "at+jwt"}, {"typ": "dpop+jwt"}])
    def test_a_token_of_another_kind(self, smart: Any, published: str, oauth_error: Any, header: Any) -> None:
        oauth_error(ask(smart, smart.assertion(published, header=header)), 401, "invalid_client")

    @pytest.mark.parametrize(
        "more", [{"crit": ["b64"], "b64": False}, {"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": False}]
    )
    def test_an_extension_that_must_be_understood(
        self, smart: Any, published: str, oauth_error: Any, more: dict[str, Any]
    ) -> None:
        page = ask(smart, relabelled(smart.assertion(published), **more))
        oauth_error(page, 401, "invalid_client")
        if "b64" not in more:  # with it the parts are read otherwise, and no JWT is found at all
            assert "extension" in json.loads(page.text)["error_description"]
