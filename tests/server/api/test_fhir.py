"""The FHIR API over HTTP: addresses, methods, media types, hosts, CORS, limits: hl7.org/fhir/R4/http.html."""

from __future__ import annotations

import pytest

JSON = "application/fhir+json"


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def stored(fhir, build):
    return fhir.put("Patient/p1", build.patient(id="p1"))


@pytest.mark.parametrize("url", ["/fhir", "/fhir/"])
def test_the_base_with_and_without_a_slash_is_one_address(client, url):
    answer = client.post(
        url,
        base_url="http://127.0.0.1:8000",
        json={"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": "x"}}]},
    )
    assert (answer.status_code, answer.json["issue"][0]["code"]) == (401, "login")


@pytest.mark.parametrize("path", ["Patient/p1/", "Patient/p1", "Patient/p1/_history/"])
def test_a_slash_at_the_end_is_ignored_not_redirected(fhir, stored, path):
    assert fhir.get(path).status == 200


@pytest.mark.parametrize("path", ["Patient//p1", "//Patient", "Patient/p1/x", "Patient/p1/_history/1/2", "x"])
def test_there_is_nothing_elsewhere(fhir, stored, path):
    answer = fhir.get(path)
    assert answer.status == 404
    assert answer.codes[0] in ("not-found", "not-supported")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "Patient/p1", "GET, HEAD, PUT, PATCH, DELETE"),
        ("PUT", "Patient/p1/_history/1", "GET, HEAD"),
        ("GET", "Patient/_search", "POST"),
        ("PUT", "", "GET, HEAD, POST"),
        ("GET", "Patient/p1/Observation/_search", "POST"),
        ("POST", "metadata", "GET, HEAD"),
        ("OPTIONS", "Patient", "GET, HEAD, POST, PUT, PATCH, DELETE"),
        ("TRACE", "Patient/p1", "GET, HEAD, PUT, PATCH, DELETE"),
    ],
)
def test_a_method_that_is_not_offered_is_answered_with_those_that_are(fhir, method, path, allow):
    answer = fhir(method, path)
    assert answer.status == 405
    if method != "TRACE":
        assert answer.headers["Allow"] == allow
        assert answer.codes == ["not-supported"]


def test_head_is_get_without_the_body(fhir, stored):
    got, asked = fhir.get("Patient/p1"), fhir("HEAD", "Patient/p1")
    assert (asked.status, asked.body) == (200, b"")
    for name in ("ETag", "Last-Modified", "Content-Type", "Content-Length"):
        assert asked.headers[name] == got.headers[name]
    assert fhir("HEAD", "Patient/nobody").status == 404


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "application/fhir+json"),
        ("*/*", "application/fhir+json"),
        ("application/fhir+json", "application/fhir+json"),
        ("application/fhir+json; fhirVersion=4.0", "application/fhir+json"),
        ("application/json", "application/json"),
        ("application/fhir+xml;q=1.0, application/fhir+json;q=0.5", "application/fhir+json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/fhir+json"),
    ],
)
def test_what_is_accepted_decides_the_media_type(fhir, stored, accept, content_type):
    answer = fhir.get("Patient/p1", Accept=accept)
    assert (answer.status, answer.headers["Content-Type"]) == (200, f"{content_type}; charset=utf-8")


@pytest.mark.parametrize("accept", ["application/fhir+xml", "text/turtle", "application/json;q=0", "nonsense"])
def test_xml_and_other_formats_are_not_acceptable_and_it_is_said_in_json(fhir, stored, accept):
    answer = fhir.get("Patient/p1", Accept=accept)
    assert (answer.status, answer.codes) == (406, ["not-supported"])
    assert "JSON only" in answer.text


def test_format_overrides_accept(fhir, stored):
    assert fhir.get("Patient/p1?_format=json", Accept="application/fhir+xml").status == 200
    assert fhir.get("Patient/p1?_format=application/fhir%2Bjson", Accept="text/turtle").status == 200
    assert fhir.get("Patient/p1?_format=xml").status == 406
    assert fhir.get("Patient?_format=json&gender=female").json["total"] == 1


def test_pretty_indents_and_changes_nothing_else(fhir, build):
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))
    pretty = fhir.get("Observation/o1?_pretty=true")
    assert b'\n  "resourceType"' in pretty.body
    assert b'"value": 1.50' in pretty.body
    assert pretty.json == fhir.get("Observation/o1").json


@pytest.mark.parametrize(
    "content_type", ["application/fhir+xml", "text/plain", "application/fhir+json; charset=latin-1"]
)
def test_a_body_in_another_format_is_refused(fhir, content_type):
    answer = fhir("POST", "Patient", b"<Patient/>", Content_Type=content_type)
    assert (answer.status, answer.codes) == (415, ["not-supported"])


@pytest.mark.parametrize("content_type", ["application/json", "application/fhir+json; charset=UTF-8", ""])
def test_json_is_read_by_its_usual_names(fhir, content_type):
    body = b'{"resourceType":"Patient"}'
    assert fhir("POST", "Patient", body, Content_Type=content_type).status == 201


def test_a_body_over_the_limit_is_too_large_for_a_resource_but_not_for_a_bundle(fhir, build):
    picture = {"contentType": "image/png", "data": "A" * 1_000_000}
    big = build.patient(id="p1", photo=[picture] * 6)
    assert (fhir.put("Patient/p1", big).status, fhir.get("Patient/p1").status) == (413, 404)
    bundle = build.bundle("transaction", build.entry("PUT", "Patient/p1", big))
    assert fhir.post("", bundle).status == 200


def test_a_body_without_a_length_is_limited_all_the_same(app, settings):
    class Endless:
        def read(self, size=-1):
            return b" " * (size if size >= 0 else 10**9)

        def readline(self, size=-1):
            return b" " * 100

    status = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/fhir/Patient",
        "QUERY_STRING": "",
        "HTTP_HOST": "127.0.0.1:8000",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "wsgi.input": Endless(),
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
        "HTTP_TRANSFER_ENCODING": "chunked",
    }
    list(app.wsgi_app(environ, lambda line, headers, exc_info=None: status.append(line)))
    assert status[0][:3] in ("401", "413")


def test_parameters_that_a_write_would_ignore_are_refused(fhir, build, stored):
    for answer in (
        fhir.put("Patient/p1?birthdate=1950", build.patient(id="p1")),
        fhir.post("Patient?x=y", build.patient()),
        fhir.delete("Patient/p1?x=y"),
    ):
        assert (answer.status, answer.codes) == (400, ["not-supported"])
    assert fhir.get("Patient/p1").status == 200


@pytest.mark.requirement("D8")
def test_any_origin_may_read_and_sees_the_headers_it_needs(fhir, stored):
    answer = fhir.get("Patient/p1", Origin="https://app.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "Location", "Content-Location", "Link", "Last-Modified"} <= set(exposed)
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_errors_can_be_read_by_other_origins_too(anonymous):
    answer = anonymous.get("Patient/p1", Origin="https://app.example")
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, "*")


@pytest.mark.parametrize(
    "path",
    ["/fhir", "/fhir/Patient/p1", "/fhir/.well-known/smart-configuration", "/oauth2/token", "/fhir/metadata"],
)
def test_a_preflight_allows_what_fhir_clients_send(client, path):
    answer = client.options(
        path,
        base_url="http://127.0.0.1:8000",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "authorization,if-match",
        },
    )
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    for name in ("authorization", "content-type", "if-match", "if-none-exist", "prefer"):
        assert name in allowed


@pytest.mark.parametrize("path", ["/oauth2/authorize", "/console", "/healthz"])
def test_pages_are_for_their_own_origin_only(client, path):
    answer = client.get(path, base_url="http://127.0.0.1:8000", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_read_by_another_host_name_is_sent_to_the_configured_one(client):
    answer = client.get("/fhir/Patient/p1?name=a%20b", base_url="http://other.example")
    assert answer.status_code == 308
    assert answer.headers["Location"] == "http://127.0.0.1:8000/fhir/Patient/p1?name=a%20b"


def test_a_write_by_another_host_name_is_misdirected(client):
    answer = client.post("/fhir/Patient", base_url="http://other.example", json={})
    assert answer.status_code == 421
    assert answer.json["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1:8000.evil.example", "127.0.0.1"])
def test_links_never_carry_the_host_header(app, host):
    answer = app.test_client().get("/fhir/metadata", headers={"Host": host})
    assert answer.status_code == 308
    assert answer.headers["Location"] == "http://127.0.0.1:8000/fhir/metadata"


def test_health_is_told_by_any_host_name(client):
    assert client.get("/healthz", base_url="http://10.0.0.7:8000").status_code == 200


def test_every_answer_carries_the_safe_headers(client, fhir, stored):
    for answer in (
        fhir.get("Patient/p1"),
        fhir.get("Patient/nobody"),
        fhir.get("metadata"),
        client.get("/nothing", base_url="http://127.0.0.1:8000"),
    ):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy


def test_an_unknown_page_is_html_and_an_unknown_oauth2_address_the_rfcs_json(client):
    page = client.get("/nothing/here", base_url="http://127.0.0.1:8000")
    assert (page.status_code, page.mimetype) == (404, "text/html")
    oauth = client.get("/oauth2/nothing", base_url="http://127.0.0.1:8000")
    assert (oauth.status_code, oauth.json["error"]) == (404, "invalid_request")
