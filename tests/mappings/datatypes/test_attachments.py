"""Section 2.1, ED and RP -> Attachment."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

Ask = Callable[..., Any]


def text_of(attachment: dict[str, str]) -> str:
    return base64.b64decode(attachment["data"]).decode()


def test_ed_base64_is_kept_with_its_media_type(ask: Ask) -> None:
    answer = ask("ed", "^Application^PDF^Base64^JVBERi0=")
    assert answer.result == {"contentType": "application/pdf", "data": "JVBERi0="}
    assert answer.findings == []
    assert answer.unread == set()


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("^application/pdf", "application/pdf"),
        ("text^HTML", "text/html"),
        ("TEXT^", "text/plain"),
        ("IM^JPEG", "image/jpeg"),
        ("image^png", "image/png"),
        ("image^x-site", "image/x-site"),
        ("^PDF", "application/pdf"),
    ],
)
def test_ed_type_and_subtype_are_the_media_type(kind: str, media_type: str, ask: Ask) -> None:
    assert ask("ed", f"^{kind}^Base64^AAAA").result["contentType"] == media_type


def test_ed_text_in_base64_is_decoded_too(ask: Ask) -> None:
    assert text_of(ask("ed", "^TEXT^HTML^Base64^PGI+").result) == "<b>"


def test_ed_encoding_that_is_not_known_is_text(ask: Ask) -> None:
    answer = ask("ed", "^TEXT^^Rot13^abc")
    assert (text_of(answer.result), answer.findings) == ("abc", ["encoding-unknown"])


def test_ed_without_encoding_is_text(ask: Ask) -> None:
    answer = ask("ed", "^TEXT^^A^Grüße")
    assert text_of(answer.result) == "Grüße"
    assert answer.result["contentType"] == "text/plain"


def test_ed_hex_is_decoded(ask: Ask) -> None:
    assert base64.b64decode(ask("ed", "^Application^PDF^Hex^255044 46").result["data"]) == b"%PDF"


def test_ed_encoding_that_is_not_said_is_base64_for_what_is_no_text(ask: Ask) -> None:
    assert ask("ed", "^Application^PDF^^JVBERi0=").result["data"] == "JVBERi0="


def test_ed_that_does_not_decode_is_kept_as_it_came(ask: Ask) -> None:
    answer = ask("ed", "^Application^PDF^Base64^not base64!")
    assert text_of(answer.result) == "not base64!"
    assert answer.result["contentType"] == "text/plain"
    assert answer.findings == ["encoding-unknown"]


def test_ed_of_no_known_kind_is_bytes_with_a_finding(ask: Ask) -> None:
    answer = ask("ed", "^^^Base64^AAAA")
    assert (answer.result["contentType"], answer.findings) == (
        "application/octet-stream",
        ["media-type-unknown"],
    )


def test_ed_without_content_is_none(ask: Ask) -> None:
    assert ask("ed", "^Application^PDF^Base64^").result is None


def test_rp_is_a_url_with_a_media_type(ask: Ask) -> None:
    answer = ask("rp", "https://site.example/a b.pdf^SYS^Application^PDF")
    assert answer.result == {"contentType": "application/pdf", "url": "https://site.example/a%20b.pdf"}
    assert answer.unread == {"2.1"}


def test_rp_without_a_pointer_is_none(ask: Ask) -> None:
    assert ask("rp", "^SYS^Application^PDF").result is None
