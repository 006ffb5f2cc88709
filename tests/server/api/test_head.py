"""HEAD on every route that GET has: the same status and headers, the length of GET's content, no content.

Covers server/api/representation.py; RFC 9110 section 9.3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.routing import BuildError

from server.interactions.routes import ROUTES

BASE = "http://127.0.0.1:8000"
REQUEST_ID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
SAMPLES = {"any_path": "Patient/none", "filename": "none.css", "path": "x", "string": "x", "number": "1"}
# Their content differs from one request to the next: secrets of forms and counters.
CHANGING = {"Set-Cookie", "Content-Length", "Date"}


def pages(app: Any) -> Iterator[str]:
    """An address of every rule that answers GET."""
    adapter = app.url_map.bind("127.0.0.1:8000")
    for rule in app.url_map.iter_rules():
        if "GET" in rule.methods and rule.endpoint != "fhir.fhir":
            try:
                yield adapter.build(rule.endpoint, {name: SAMPLES.get(name, "x") for name in rule.arguments})
            except BuildError:
                raise AssertionError(f"{rule} cannot be asked") from None


def headers(answer: Any, *, without: set[str] = frozenset()) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in answer.headers.items() if name not in without)


@pytest.mark.parametrize("who", ["nobody", "engineer"])
@pytest.mark.parametrize("accept_encoding", ["identity", "gzip"])
def test_every_page_has_the_headers_of_get_and_no_content(
    demo_app: Any, sign_in: Any, who: str, accept_encoding: str
) -> None:
    client = demo_app.test_client() if who == "nobody" else sign_in(who)
    sent = {"X-Request-Id": REQUEST_ID, "Accept-Encoding": accept_encoding}
    seen = 0
    for path in sorted(pages(demo_app), key=lambda path: path.endswith(("/sign-out", "/logout"))):
        got = client.get(path, base_url=BASE, headers=sent)
        asked = client.head(path, base_url=BASE, headers=sent)
        assert asked.status_code == got.status_code, path
        assert asked.get_data() == b"", path
        assert headers(asked, without=CHANGING) == headers(got, without=CHANGING), path
        length = pytest.approx(len(got.get_data()), rel=0.05, abs=20)
        assert int(asked.headers["Content-Length"]) == length, path
        seen += 1
    assert seen > 25


def sample(template: str) -> str:
    values = {"type": "Patient", "id": "p1", "version_id": "1"}
    path = template
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    return path


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("template", [template for template, methods in ROUTES.items() if "GET" in methods])
@pytest.mark.parametrize("accept_encoding", ["identity", "gzip"])
def test_every_route_of_the_api_has_the_headers_of_get_and_no_content(
    fhir: Any, build: Any, template: str, accept_encoding: str
) -> None:
    fhir.put("Patient/p1", build.patient(id="p1"))
    sent = {"X_Request_Id": REQUEST_ID, "Accept_Encoding": accept_encoding}
    got = fhir.get(sample(template), **sent)
    asked = fhir("HEAD", sample(template), **sent)
    assert asked.status == got.status
    assert asked.body == b""
    assert headers(asked) == headers(got)
    assert int(asked.headers["Content-Length"]) == len(got.body)


@pytest.mark.parametrize("path", ["Patient/none", "Nothing", "Patient?unknown=1", "Patient/p1/_history/9"])
def test_a_refusal_is_described_alike(fhir: Any, path: str) -> None:
    got, asked = fhir.get(path, X_Request_Id=REQUEST_ID), fhir("HEAD", path, X_Request_Id=REQUEST_ID)
    assert got.status >= 400
    assert (asked.status, asked.body, headers(asked)) == (got.status, b"", headers(got))


def test_not_modified_has_neither_content_nor_length(fhir: Any, build: Any) -> None:
    fhir.put("Patient/p1", build.patient(id="p1"))
    for method in ("GET", "HEAD"):
        answer = fhir(method, "Patient/p1", If_None_Match='W/"1"')
        assert (answer.status, answer.body) == (304, b"")
        assert "Content-Length" not in answer.headers


def test_what_only_get_may_do_is_done_by_head_and_nothing_else_is(fhir: Any, build: Any) -> None:
    fhir.put("Patient/p1", build.patient(id="p1"))
    assert fhir("HEAD", "Patient/_search").status == 405
    assert fhir.get("Patient/p1/_history").json["total"] == 1


def test_the_log_names_the_method_that_was_asked(fhir: Any, build: Any, log_lines: Any) -> None:
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir("HEAD", "Patient/p1")
    assert '"method":"HEAD"' in log_lines().replace(" ", "")
