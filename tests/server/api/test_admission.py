"""What is looked at before a request goes anywhere: rates, size of its head, proxies (reference: limits.md)."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from server.api.admission import forwarded, most_body
from server.api.protection import FORWARDED_SCHEME, REFUSAL
from server.api.rates import Rate
from server.app import create_app
from server.auth.principal import Principal
from server.errors import FhirError
from server.interactions.request import Limits
from server.logs import Log
from server.origin import address_key

BASE = "http://127.0.0.1:8000"


class Seconds:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def refused(rate: Rate, key: str) -> int:
    """Seconds to wait, 0 when the request is let in."""
    try:
        rate.take(key)
    except FhirError as error:
        return int(error.headers["Retry-After"]) if error.status == 429 else -1
    return 0


def test_a_minutes_allowance_may_be_used_at_once_and_grows_back_evenly(seconds: Seconds) -> None:
    rate = Rate("client", 60, seconds)
    assert [refused(rate, "a") for _ in range(60)] == [0] * 60
    assert refused(rate, "a") == 1
    seconds.now += 1
    assert (refused(rate, "a"), refused(rate, "a")) == (0, 1)
    seconds.now += 600
    assert [refused(rate, "a") for _ in range(60)] == [0] * 60


def test_who_asks_slowly_enough_never_waits(seconds: Seconds) -> None:
    rate = Rate("client", 60, seconds)
    for _ in range(500):
        assert refused(rate, "a") == 0
        seconds.now += 1


def test_keys_do_not_share_and_a_refusal_costs_nothing(seconds: Seconds) -> None:
    rate = Rate("client", 1, seconds)
    assert (refused(rate, "a"), refused(rate, "b")) == (0, 0)
    assert [refused(rate, "a") for _ in range(9)] == [60] * 9
    seconds.now += 60
    assert refused(rate, "a") == 0


def test_zero_is_no_limit(seconds: Seconds) -> None:
    rate = Rate("client", 0, seconds)
    assert not any(refused(rate, "a") for _ in range(1_000))


def test_a_flood_of_addresses_does_not_fill_the_memory(seconds: Seconds) -> None:
    rate = Rate("address", 60, seconds)
    for number in range(25_000):
        rate.take(str(number))
    assert len(rate._whole_at) <= 10_000


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "20010db800010002::/64".lstrip("0")),
        ("2001:db8:1:2:ffff::9", "20010db800010002::/64".lstrip("0")),
        ("nonsense", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one(address: str, key: str) -> None:
    assert address_key(address) == key


@pytest.fixture
def tight(settings: Any, store: Any, clock: Any, seconds: Seconds) -> Any:
    """A server that lets a client in ten times a minute, an address three times."""
    few = replace(settings, rate_limit=10, rate_limit_address=3)
    return create_app(few, store=store, clock=clock, monotonic=seconds, log=Log("ERROR"))


def test_a_client_is_told_when_it_asks_too_often(tight: Any, fhir: Any, seconds: Seconds) -> None:
    client = tight.test_client()
    headers = {"Authorization": f"Bearer {fhir._token}"}
    for _ in range(10):
        assert client.get("/fhir/Patient", base_url=BASE, headers=headers).status_code == 200
    answer = client.get("/fhir/Patient", base_url=BASE, headers=headers)
    assert answer.status_code == 429
    assert json.loads(answer.data)["issue"][0]["code"] == "throttled"
    assert answer.headers["Retry-After"] == "6"
    assert answer.headers["RateLimit"] == '"client";r=0;t=6'
    # The client's limit is the client's own: its address may still do other things.
    assert client.get("/fhir/metadata", base_url=BASE).status_code == 200
    seconds.now += 6
    assert client.get("/fhir/Patient", base_url=BASE, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", "/fhir/metadata", "OperationOutcome"),
        ("GET", "/fhir/Patient", "OperationOutcome"),
        ("POST", "/oauth2/token", "slow_down"),
        ("GET", "/oauth2/login", "<h1>429"),
        ("GET", "/nowhere", "<h1>429"),
    ],
)
def test_an_address_without_a_token_is_told_in_the_form_of_the_part(
    tight: Any, method: str, path: str, form: str
) -> None:
    client = tight.test_client()
    codes = [client.open(path, method=method, base_url=BASE).status_code for _ in range(3)]
    assert 429 not in codes
    answer = client.open(path, method=method, base_url=BASE)
    assert (answer.status_code, form in answer.text) == (429, True)
    assert int(answer.headers["Retry-After"]) == 20
    elsewhere = client.open(path, method=method, base_url=BASE, environ_base={"REMOTE_ADDR": "192.0.2.9"})
    assert elsewhere.status_code == codes[0]


def test_health_metrics_and_files_of_pages_are_not_counted(tight: Any) -> None:
    client = tight.test_client()
    for path in ("/healthz", "/readyz", "/metrics", "/oauth2/static/oauth2.css"):
        assert {client.get(path, base_url=BASE).status_code for _ in range(8)} <= {200, 404}, path


@pytest.mark.parametrize(
    ("path", "kind", "status", "form"),
    [
        ("/fhir/Patient", "request-timeout", 408, '"timeout"'),
        ("/fhir/Patient", "throttled", 429, '"throttled"'),
        ("/fhir", "too-large", 413, '"too-long"'),
        ("/oauth2/token", "headers-too-large", 431, '"invalid_request"'),
        ("/console", "invalid-request", 400, "<h1>400"),
    ],
)
def test_what_the_server_in_front_turns_away_is_answered_in_the_form_of_the_part(
    app: Any, path: str, kind: str, status: int, form: str
) -> None:
    environ = {REFUSAL: (kind, "words")}
    answer = app.test_client().post(path, base_url="http://any.example", environ_base=environ)
    assert (answer.status_code, form in answer.text) == (status, True)
    assert ("Retry-After" in answer.headers) == (status == 429)


def test_a_url_beyond_the_limit_is_414(fhir: Any, app: Any) -> None:
    assert fhir.get("Patient?name=" + "a" * 16_000).status == 200
    assert fhir.get("Patient?name=" + "a" * 17_000).codes == ["too-long"]
    assert app.test_client().get("/console?" + "a" * 17_000, base_url=BASE).status_code == 414


def test_limits_are_settings(settings: Any, store: Any, clock: Any, fhir: Any, build: Any) -> None:
    small = replace(settings, limits={"body_bytes": 100, "url_bytes": 60, "query_parameters": 2})
    client = create_app(small, store=store, clock=clock, log=Log("ERROR")).test_client()
    headers = {"Authorization": f"Bearer {fhir._token}", "Content-Type": "application/fhir+json"}
    body = json.dumps(build.patient())

    def status(method: str, path: str, data: str | None = None) -> int:
        return client.open(path, method=method, base_url=BASE, headers=headers, data=data).status_code

    assert status("POST", "/fhir/Patient", body) == 413
    assert status("GET", "/fhir/Patient?_id=" + "a" * 60) == 414
    assert status("GET", "/fhir/Patient?name=a&name=b") == 200
    assert status("GET", "/fhir/Patient?name=a&name=b&name=c") == 422


class Proxied:
    """What an application behind `forwarded` sees of a request."""

    def __init__(self, *networks: str) -> None:
        self.seen: dict[str, Any] = {}
        self._serve = forwarded(self._note, tuple(map(ip_network, networks)))

    def _note(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.seen = environ
        return []

    def __call__(self, address: str, **headers: str) -> dict[str, Any]:
        given = {f"HTTP_X_FORWARDED_{name.upper()}": value for name, value in headers.items()}
        self._serve({"REMOTE_ADDR": address, "HTTP_HOST": "inner", **given}, lambda *_: None)  # type: ignore[arg-type]
        return self.seen


@pytest.mark.parametrize(
    ("address", "chain", "believed"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("10.0.0.1", "1.1.1.1, 192.0.2.7, 10.0.0.2", "192.0.2.7"),  # what the caller wrote itself
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("192.0.2.9", "1.1.1.1", "192.0.2.9"),  # no proxy of ours
    ],
)
def test_the_address_is_the_first_from_the_right_that_is_no_proxy(
    address: str, chain: str, believed: str
) -> None:
    assert Proxied("10.0.0.0/8")(address, **({"for": chain} if chain else {}))["REMOTE_ADDR"] == believed


def test_host_and_scheme_are_believed_of_a_proxy_only() -> None:
    told = {"host": "fhir.example", "proto": "https"}
    ours = Proxied("10.0.0.0/8")("10.0.0.1", **told)
    assert (ours["HTTP_HOST"], ours[FORWARDED_SCHEME]) == ("fhir.example", "https")
    theirs = Proxied("10.0.0.0/8")("192.0.2.1", **told)
    assert (theirs["HTTP_HOST"], FORWARDED_SCHEME in theirs) == ("inner", False)
    nobody = Proxied()("10.0.0.1", **told, **{"for": "1.1.1.1"})
    assert (nobody["REMOTE_ADDR"], nobody["HTTP_HOST"]) == ("10.0.0.1", "inner")


def test_what_a_proxy_took_without_tls_is_sent_to_https(settings: Any, store: Any, clock: Any) -> None:
    secure = replace(settings, base_url="https://fhir.example", trusted_proxies=(ip_network("127.0.0.0/8"),))
    client = create_app(secure, store=store, clock=clock, log=Log("ERROR")).test_client()

    def ask(method: str, scheme: str) -> Any:
        told = {"Proto": scheme, "Host": "fhir.example", "For": "192.0.2.1"}
        headers = {f"X-Forwarded-{name}": value for name, value in told.items()}
        return client.open("/fhir/metadata", method=method, base_url="http://inner", headers=headers)

    assert ask("GET", "https").status_code == 200
    assert (ask("GET", "http").status_code, ask("GET", "http").location) == (
        308,
        "https://fhir.example/fhir/metadata",
    )
    assert ask("POST", "http").status_code == 421


def test_a_large_body_is_wanted_only_of_whom_is_known() -> None:
    def authenticate(authorization: str) -> Principal:
        if authorization == "good":
            return Principal("c", ())
        raise FhirError("unauthorized")

    def broken(authorization: str) -> Principal:
        raise RuntimeError("the database is away")

    limits = Limits()
    most = most_body(authenticate, limits, 16_000_000)
    assert most({"PATH_INFO": "/fhir", "HTTP_AUTHORIZATION": "good"}) == limits.bundle_bytes
    assert most({"PATH_INFO": "/fhir/", "HTTP_AUTHORIZATION": "good"}) == limits.bundle_bytes
    assert most({"PATH_INFO": "/fhir/Patient", "HTTP_AUTHORIZATION": "good"}) == limits.body_bytes
    later = {"PATH_INFO": "/fhir", "HTTP_AUTHORIZATION": "good", "HTTP_PREFER": "respond-async"}
    assert most(later) == limits.async_bundle_bytes
    assert most(later | {"PATH_INFO": "/fhir/Patient"}) == limits.body_bytes
    assert most({"PATH_INFO": "/fhir"}) == 0
    assert most({"PATH_INFO": "/hl7v2", "HTTP_AUTHORIZATION": "good"}) == 16_000_000
    assert most({"PATH_INFO": "/hl7v2"}) == 0
    assert most_body(broken, limits, 16_000_000)({"PATH_INFO": "/fhir"}) == 0
    assert most({"PATH_INFO": "/oauth2/token"}) == 131_072
