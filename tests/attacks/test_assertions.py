"""Assertions that pretend: other algorithms, keys from elsewhere, ids that lead astray, the same one twice.

Sources: RFC 8725 (JWT Best Current Practices), RFC 7515, RFC 7523,
hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html
"""

from __future__ import annotations

import http.server
import json
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def ask(app: Any, assertion: str, **more: str) -> Any:
    form = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion_type": ASSERTION}
    return app.post("token_endpoint", form | {"client_assertion": assertion} | more, signed=False)


def refused(answer: Any) -> None:
    assert answer.status_code in (400, 401), answer.text
    assert answer.json()["error"] in ("invalid_client", "invalid_request")
    assert "access_token" not in answer.json()


def claims(app: Any) -> dict[str, Any]:
    expires = int(time.time()) + 240
    token_url = app.configuration["token_endpoint"]
    return {
        "iss": app.client_id,
        "sub": app.client_id,
        "aud": token_url,
        "jti": uuid.uuid4().hex,
        "exp": expires,
    }


@pytest.fixture
def elsewhere() -> Iterator[Any]:
    """A web server of the attacker. asked: how often somebody came; keys: the set it offers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked += 1
            body = json.dumps(server.keys).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.keys = 0, {"keys": []}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "algorithm", ["none", "nOnE", "HS256", "HS384", "HS512", "RS256", "PS384", "ES256", "EdDSA"]
)
def test_no_other_algorithm_is_believed(site: Any, backend: Any, since: Any, algorithm: str) -> None:
    from asking.smart import unsigned

    header = {"alg": algorithm, "typ": "JWT", "kid": backend.keys.rsa.kid}
    for signature in (b"", b"\0" * 48, json.dumps(backend.keys.public["keys"][0]).encode()):
        refused(ask(backend, unsigned(header, claims(backend), signature)))
    site.audited(since, interaction="token-refused", outcome=401, detail="invalid_client")


@pytest.mark.parametrize("algorithm", [None, 7, ["RS384"], {"RS384": 1}, "rs384", " RS384", "RS384\0"])
def test_no_spelling_of_an_algorithm_is_believed(backend: Any, algorithm: Any) -> None:
    from asking.smart import unsigned

    good = backend.keys.assertion(backend.client_id, backend.configuration["token_endpoint"])
    refused(
        ask(backend, unsigned({"alg": algorithm, "kid": backend.keys.rsa.kid}, claims(backend), b"x" * 256))
    )
    assert ask(backend, good).status_code == 200


def test_the_key_of_one_algorithm_is_not_taken_for_another(backend: Any) -> None:
    from asking.smart import unsigned

    for algorithm, key in (("RS384", backend.keys.ec), ("ES384", backend.keys.rsa)):
        refused(ask(backend, unsigned({"alg": algorithm, "kid": key.kid}, claims(backend), b"x" * 96)))


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/proc/self/environ",
        "' OR '1'='1",
        "x'; DROP TABLE client; --",
        "http://127.0.0.1/key",
        "*",
        "",
        "k" * 5000,
        "\u0000",
        0,
        ["a"],
        None,
    ],
)
def test_a_key_id_is_looked_up_and_nothing_else(backend: Any, kid: Any) -> None:
    from asking.smart import unsigned

    header = {"alg": "RS384", "typ": "JWT", "kid": kid}
    for signature in (b"", b"x" * 256):
        refused(ask(backend, unsigned(header, claims(backend), signature)))


@pytest.mark.parametrize("name", ["jku", "x5u"])
def test_keys_are_not_fetched_from_where_the_header_says(backend: Any, elsewhere: Any, name: str) -> None:
    from asking.smart import Keys

    stranger = Keys()
    elsewhere.keys = stranger.public
    home = f"http://127.0.0.1:{elsewhere.server_port}"
    token_url = backend.configuration["token_endpoint"]
    for url in (f"{home}/jwks", f"{backend.configuration['jwks_uri']}@127.0.0.1:{elsewhere.server_port}"):
        header = {name: url, "kid": stranger.rsa.kid}
        refused(ask(backend, stranger.assertion(backend.client_id, token_url, header=header)))
    assert elsewhere.asked == 0


def test_a_key_that_the_assertion_brings_along_is_not_used(backend: Any) -> None:
    from asking.smart import Keys

    stranger = Keys()
    for header in (
        {"jwk": stranger.rsa.as_dict(private=False)},
        {"jwk": stranger.rsa.as_dict(private=False), "kid": backend.keys.rsa.kid},
        {"x5c": ["MIIB"], "kid": backend.keys.rsa.kid},
    ):
        token_url = backend.configuration["token_endpoint"]
        refused(ask(backend, stranger.assertion(backend.client_id, token_url, header=header)))


def test_a_header_that_must_be_understood_and_is_not_is_refused(backend: Any) -> None:
    from asking.smart import unsigned

    header = {"alg": "RS384", "kid": backend.keys.rsa.kid, "crit": ["exp"], "exp": 1}
    refused(ask(backend, unsigned(header, claims(backend), b"x" * 256)))


def test_a_replayed_assertion_is_refused_also_where_many_use_it_at_once(
    site: Any, backend: Any, since: Any
) -> None:
    assertion = backend.keys.assertion(backend.client_id, backend.configuration["token_endpoint"])
    gate, answers = threading.Barrier(10), []

    def one() -> None:
        gate.wait()
        answers.append(ask(backend, assertion))

    threads = [threading.Thread(target=one) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9
    refused(ask(backend, assertion))
    site.audited(since, interaction="token-refused", detail="invalid_client", outcome=401)


def test_an_assertion_of_one_client_does_not_sign_in_another(backend: Any, register: Any) -> None:
    other = register("backend", "system/*.rs")
    token_url = backend.configuration["token_endpoint"]
    refused(ask(backend, backend.keys.assertion(other.client_id, token_url)))
    refused(ask(backend, backend.keys.assertion(backend.client_id, token_url), client_id=other.client_id))
    as_other = backend.keys.assertion(other.client_id, token_url, header={"kid": other.keys.rsa.kid})
    refused(ask(backend, as_other))


@pytest.mark.parametrize("exp", [10**30, -1, "never", 1e308, True, [], {}])
def test_no_time_makes_an_assertion_last(backend: Any, exp: Any) -> None:
    refused(
        ask(
            backend, backend.keys.assertion(backend.client_id, backend.configuration["token_endpoint"], exp=exp)
        )
    )


@pytest.mark.parametrize(
    "assertion",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "." * 5000,
        "x" * 100_000,
        "e30.e30.",
        "e30.W10.e30",
        "é.é.é",
        "e30.e30.e30.e30.e30",
    ],
)
def test_what_is_no_assertion_is_refused(backend: Any, assertion: str) -> None:
    refused(ask(backend, assertion))


def test_two_ways_to_sign_in_are_one_too_many(backend: Any, confidential: Any) -> None:
    form = {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": ASSERTION,
        "client_assertion": backend.keys.assertion(backend.client_id, backend.configuration["token_endpoint"]),
    }
    refused(confidential.post("token_endpoint", form))
