"""Both ways to a FHIR answer, through Flask and past it, answer byte for byte alike."""

from __future__ import annotations

import io
import os

import pytest

from server.app import create_app
from server.logs import Log

REQUEST_ID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
BUNDLE = (
    b'{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient/p1"}},'
    b'{"request":{"method":"GET","url":"Patient/none"}}]}'
)
NEW = b'{"resourceType":"Patient","id":"p2","gender":"male"}'
REQUESTS = [
    ("GET", "/fhir/Patient/p1", "", {}, b""),
    ("HEAD", "/fhir/Patient/p1", "", {}, b""),
    ("GET", "/fhir/Patient/p1", "", {"HTTP_IF_NONE_MATCH": 'W/"1"'}, b""),
    ("GET", "/fhir/Patient/p1", "_pretty=true&_summary=true", {}, b""),
    ("GET", "/fhir/Patient/p1/_history/1", "", {"HTTP_ACCEPT": "application/json"}, b""),
    ("GET", "/fhir/Patient/p1/_history", "", {}, b""),
    ("GET", "/fhir/Patient", "gender=female&_count=1", {"HTTP_ORIGIN": "https://app.example"}, b""),
    ("GET", "/fhir/Patient", "name=%C3%A9t%C3%A9", {}, b""),
    ("GET", "/fhir/Patient", "name=\xff%FF", {}, b""),
    ("GET", "/fhir/Patient", "unknown=1", {"HTTP_PREFER": "handling=lenient"}, b""),
    ("GET", "/fhir/Patient/none", "", {}, b""),
    ("GET", "/fhir/Patient/\xc3\xa9", "", {}, b""),
    ("GET", "/fhir/\xff/1", "", {}, b""),
    ("GET", "/fhir//Patient", "", {}, b""),
    ("GET", "/fhir/metadata", "", {}, b""),
    ("GET", "/fhir/.well-known/smart-configuration", "", {}, b""),
    ("GET", "/fhir", "", {}, b""),
    ("POST", "/fhir", "", {"CONTENT_TYPE": "application/fhir+json"}, BUNDLE),
    ("POST", "/fhir/", "", {"CONTENT_TYPE": "application/fhir+json"}, BUNDLE),
    (
        "POST",
        "/fhir/Patient/_search",
        "",
        {"CONTENT_TYPE": "application/x-www-form-urlencoded"},
        b"gender=female",
    ),
    (
        "POST",
        "/fhir/Patient",
        "",
        {"CONTENT_TYPE": "application/fhir+json"},
        b'{"resourceType":"Patient","x":1}',
    ),
    ("POST", "/fhir/Patient", "", {"CONTENT_TYPE": "text/plain"}, NEW),
    ("POST", "/fhir/Patient", "", {"CONTENT_LENGTH": "6000000"}, NEW),
    ("POST", "/fhir/Patient", "", {"CONTENT_LENGTH": "nonsense"}, NEW),
    ("PUT", "/fhir/Patient/p2", "", {"HTTP_IF_MATCH": 'W/"9"'}, NEW),
    ("PUT", "/fhir/Patient/p1", "", {}, b'{"resourceType":"Patient","id":"p1","gender":"female"}'),
    ("PATCH", "/fhir/Patient/p1", "", {}, b"{}"),
    ("OPTIONS", "/fhir/Patient/p1", "", {}, b""),
    ("OPTIONS", "/fhir/Patient/p1", "", {"HTTP_ORIGIN": "x", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}, b""),
    ("GET", "/fhir/Patient/p1", "", {"HTTP_AUTHORIZATION": ""}, b""),
    ("GET", "/fhir/Patient/p1", "", {"HTTP_HOST": "other.example"}, b""),
    ("DELETE", "/fhir/Patient/none", "", {}, b""),
]


@pytest.fixture
def both(settings, store, clock):
    log = Log("INFO", os.open(os.devnull, os.O_WRONLY))
    return [
        create_app(settings, store=store, clock=clock, log=log, new_id=iter(["a1"]).__next__, dispatch=way)
        for way in (True, False)
    ]


def ask(app, token, method, path, query, headers, body):
    seen = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "HTTP_X_REQUEST_ID": REQUEST_ID,
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "CONTENT_LENGTH": str(len(body)) if body else "",
        **headers,
    }
    parts = app.wsgi_app(environ, lambda line, headers, exc_info=None: seen.append((line, list(headers))))
    return (*seen[0], b"".join(parts))


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body"),
    REQUESTS,
    ids=[f"{n}-{r[0]}" for n, r in enumerate(REQUESTS)],
)
def test_both_ways_answer_alike(both, fhir, method, path, query, headers, body):
    fhir.put("Patient/p1", {"resourceType": "Patient", "id": "p1", "gender": "female"})
    past_flask, through_flask = (ask(app, fhir._token, method, path, query, headers, body) for app in both)
    assert past_flask == through_flask


def test_the_dispatcher_is_what_answers(app, fhir, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("Flask was asked")

    fhir.put("Patient/p1", {"resourceType": "Patient", "id": "p1"})
    monkeypatch.setattr(type(app), "full_dispatch_request", refuse)
    assert fhir.get("Patient/p1").status == 200
