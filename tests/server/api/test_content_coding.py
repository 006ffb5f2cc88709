"""gzip, out and in: who gets it, what it does to headers, and that no body unpacks to more than its limit.

Covers server/api/content_coding.py, representation.py; RFC 9110 sections 8.4, 8.8.3.3, 12.5.3, 12.5.5, 15.5.16.
"""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.content_coding import packed, takes_gzip, unpacked
from server.api.representation import SMALLEST
from server.errors import FhirError

BASE = "http://127.0.0.1:8000"


@pytest.fixture
def page(fhir: Any, build: Any) -> str:
    """A search whose answer is worth compressing."""
    for number in range(5):
        fhir.put(f"Patient/p{number}", build.patient(id=f"p{number}"))
    return "Patient?_sort=_id"


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("x-gzip", True),
        ("GZIP", True),
        ("gzip, deflate, br, zstd", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("gzip;q=0.001", True),
        ("gzip;q=nonsense", False),
        ("gzip;q=2", False),
        ("gzip;q=nan", False),
        ("*", True),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("br", False),
        ("identity", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=1", True),
        ("gzip;q=1.0, identity", True),
        (",,;;=", False),
    ],
)
def test_gzip_goes_to_whoever_likes_it_best(accepted: str, expected: bool) -> None:
    assert takes_gzip(accepted) is expected


def test_an_answer_is_compressed_and_says_so(fhir: Any, page: str) -> None:
    plain = fhir.get(page, X_Request_Id="ab" * 16)
    short = fhir.get(page, X_Request_Id="ab" * 16, Accept_Encoding="gzip")
    assert gzip.decompress(short.body) == plain.body
    assert len(short.body) < len(plain.body) / 2
    assert short.headers["Content-Encoding"] == "gzip"
    assert int(short.headers["Content-Length"]) == len(short.body)
    assert "Content-Encoding" not in plain.headers
    for answer in (plain, short):
        assert answer.headers.getlist("Vary") == ["Accept-Encoding"]
    left = {"Content-Encoding", "Content-Length"}
    assert {n: v for n, v in plain.headers.items() if n not in left} == {
        n: v for n, v in short.headers.items() if n not in left
    }


def test_what_fits_into_a_packet_goes_out_as_it_is(fhir: Any, build: Any) -> None:
    stored = fhir.put("Patient/p1", {"resourceType": "Patient", "id": "p1"})
    answer = fhir.get("Patient/p1", Accept_Encoding="gzip")
    assert len(stored.body) < SMALLEST
    assert (answer.body, answer.headers.get("Content-Encoding")) == (stored.body, None)


def test_a_large_refusal_is_compressed_too(fhir: Any) -> None:
    answer = fhir.get("Patient?unknown=1", Accept_Encoding="gzip")
    body = gzip.decompress(answer.body) if "Content-Encoding" in answer.headers else answer.body
    assert answer.status == 400
    assert json.loads(body)["resourceType"] == "OperationOutcome"


def test_the_etag_of_a_resource_stays_what_it_is_and_answers_304(fhir: Any, build: Any) -> None:
    big = build.patient(id="p1", address=[{"text": f"{number} Made-up Street"} for number in range(100)])
    fhir.put("Patient/p1", big)
    answer = fhir.get("Patient/p1", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["ETag"] == 'W/"1"'
    again = fhir.get("Patient/p1", Accept_Encoding="gzip", If_None_Match='W/"1"')
    assert (again.status, again.headers["Vary"]) == (304, "Accept-Encoding")


def test_files_of_pages_are_compressed_with_a_weak_etag_and_pages_never_are(
    demo_app: Any, sign_in: Any
) -> None:
    client = sign_in("engineer")
    sent = {"Accept-Encoding": "gzip"}
    page = client.get("/console/", base_url=BASE, headers=sent, follow_redirects=True)
    assert page.status_code == 200
    assert "Content-Encoding" not in page.headers
    sheet = next(
        part.partition('"')[0] for part in page.get_data(as_text=True).split('href="') if ".css" in part[:80]
    )
    plain = client.get(sheet, base_url=BASE)
    short = client.get(sheet, base_url=BASE, headers=sent)
    assert gzip.decompress(short.get_data()) == plain.get_data()
    assert short.headers["ETag"] == "W/" + plain.headers["ETag"].removeprefix("W/")
    again = client.get(sheet, base_url=BASE, headers=sent | {"If-None-Match": short.headers["ETag"]})
    assert again.status_code == 304
    part = client.get(sheet, base_url=BASE, headers=sent | {"Range": "bytes=0-9"})
    if part.status_code == 206:
        assert part.get_data() == plain.get_data()[:10]


def test_a_token_is_never_compressed(app: Any) -> None:
    answer = app.test_client().get("/oauth2/jwks", base_url=BASE, headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer.headers


def test_a_body_may_come_as_gzip(fhir: Any, build: Any) -> None:
    body = gzip.compress(json.dumps(build.patient(id="p1")).encode())
    sent = {"Content_Type": "application/fhir+json", "Content_Encoding": "gzip"}
    assert fhir.put("Patient/p1", body, **sent).status == 201
    form = {"Content_Type": "application/x-www-form-urlencoded", "Content_Encoding": "x-gzip"}
    assert fhir.post("Patient/_search", gzip.compress(b"_id=p1", mtime=0), **form).json["total"] == 1
    same = {"Content_Type": "application/fhir+json", "Content_Encoding": "identity"}
    assert fhir.put("Patient/p1", json.dumps(build.patient(id="p1")).encode(), **same).status == 200


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "compress", "zstd"])
def test_another_coding_is_refused_and_gzip_named(fhir: Any, coding: str) -> None:
    sent = {"Content_Type": "application/fhir+json", "Content_Encoding": coding}
    answer = fhir.post("Patient", b"{}", **sent)
    assert (answer.status, answer.codes) == (415, ["not-supported"])
    assert answer.headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize(
    "body",
    [
        b"not gzip",
        b"\x1f\x8b",
        gzip.compress(b"{}", mtime=0)[:-5],
        gzip.compress(b"{}", mtime=0) + b"more",
        gzip.compress(b"{", mtime=0) + gzip.compress(b"}", mtime=0),
    ],
)
def test_what_is_not_whole_gzip_is_refused(fhir: Any, body: bytes) -> None:
    sent = {"Content_Type": "application/fhir+json", "Content_Encoding": "gzip"}
    answer = fhir.post("Patient", body, **sent)
    assert (answer.status, answer.codes) == (400, ["invalid"])


def test_a_bomb_is_too_large_and_is_never_unpacked(fhir: Any) -> None:
    bomb = gzip.compress(bytes(200_000_000), 9)
    assert len(bomb) < 250_000
    sent = {"Content_Type": "application/fhir+json", "Content_Encoding": "gzip"}
    tracemalloc.start()
    try:
        answers = [fhir.post("Patient", bomb, **sent), fhir.post("", bomb, **sent)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(answer.status, answer.codes) for answer in answers] == [(413, ["too-long"])] * 2
    assert most < 100_000_000  # the largest Bundle may have 32 MB


@given(st.binary(max_size=3_000), st.integers(0, 3_000))
def test_nothing_but_the_whole_content_or_none_is_unpacked(content: bytes, most: int) -> None:
    for coded in (packed(content), gzip.compress(content, mtime=0), gzip.compress(content, 9)):
        assert unpacked(coded, "gzip", most) == (content if len(content) <= most else None)


@given(st.binary(max_size=200), st.integers(1, 400))
def test_whatever_bytes_come_are_content_or_refused(noise: bytes, most: int) -> None:
    for body in (noise, b"\x1f\x8b\x08\x00" + noise, zlib.compress(noise)):
        try:
            found = unpacked(body, "gzip", most)
        except FhirError as error:
            kind, found = error.kind, None
        else:
            kind = ""
        assert kind in ("", "invalid-request")
        assert found is None or len(found) <= most
