"""Key sets published by URL: when they are fetched, how long they answer, what is left of a strange one.

Covers server/auth/key_sets.py and server/storage/registrations.py (key sets), with a publisher on loopback.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from server.auth.key_sets import (
    FRESH_AT_MOST,
    FRESH_UNSAID,
    OUTAGE,
    KeySetError,
    freshness,
    published_keys,
    refresh,
)
from server.outbound_http import read_networks
from server.settings import Settings

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def jwk(kid: str) -> dict[str, Any]:
    return {**ECKey.generate_key("P-384").as_dict(private=False), "kid": kid, "alg": "ES384", "use": "sig"}


ONE, TWO = jwk("one"), jwk("two")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, outbound_allow=read_networks(["127.0.0.1"]))


@pytest.fixture
def kids(authorization: Any, publisher: Any) -> Any:
    """`kids("one")`: the kids that are known when this one is wanted."""
    publisher.document = {"keys": [ONE]}

    def known(kid: str = "one") -> list[str]:
        return [key["kid"] for key in published_keys(authorization, publisher.url, kid)]

    return known


class TestWhenASetIsFetched:
    def test_once_as_long_as_it_is_fresh(self, kids: Any, publisher: Any, clock: Any) -> None:
        publisher.headers = {"Cache-Control": "max-age=600"}
        assert kids() == ["one"]
        clock.advance(seconds=599)
        assert kids() == ["one"]
        assert len(publisher.asked) == 1

    @pytest.mark.requirement("R4")
    def test_again_when_its_header_says_so_and_no_later(self, kids: Any, publisher: Any, clock: Any) -> None:
        publisher.headers = {"Cache-Control": "max-age=600"}
        kids()
        publisher.document = {"keys": [TWO]}
        clock.advance(seconds=601)
        assert kids() == ["two"]
        assert len(publisher.asked) == 2

    def test_at_once_for_a_key_that_is_not_in_it(self, kids: Any, publisher: Any, clock: Any) -> None:
        kids()
        publisher.document = {"keys": [ONE, TWO]}
        clock.advance(seconds=11)
        assert kids("two") == ["one", "two"]

    def test_not_more_often_than_every_ten_seconds_whatever_is_asked_for(
        self, kids: Any, publisher: Any, clock: Any
    ) -> None:
        publisher.headers = {"Cache-Control": "no-store"}
        for number in range(100):
            assert kids(f"unknown-{number}") == ["one"]
            clock.advance(milliseconds=99)
        assert len(publisher.asked) == 1
        clock.advance(seconds=1)
        kids()
        assert len(publisher.asked) == 2

    def test_by_one_of_many_that_need_it_at_the_same_time(self, kids: Any, publisher: Any) -> None:
        publisher.before = lambda: time.sleep(0.3)
        found: list[list[str]] = []
        threads = [threading.Thread(target=lambda: found.append(kids())) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [["one"]] * 6
        assert len(publisher.asked) == 1

    def test_outside_of_any_transaction(self, kids: Any, publisher: Any, authorization: Any) -> None:
        # Who publishes may need this database: it would wait for ever if a transaction were open.
        publisher.before = authorization.rows.bump_security_epoch
        before = authorization.rows.security_epoch()
        assert kids() == ["one"]
        assert authorization.rows.security_epoch() == before + 1

    def test_without_ending_the_cached_tokens_of_everybody(self, kids: Any, authorization: Any) -> None:
        before = authorization.rows.security_epoch()
        kids()
        assert authorization.rows.security_epoch() == before


class TestWhenItsPublisherIsAway:
    def test_the_last_good_set_answers_for_a_while(self, kids: Any, publisher: Any, clock: Any) -> None:
        kids()
        publisher.status = 503
        clock.advance(seconds=FRESH_UNSAID.total_seconds() + 1)
        assert kids() == ["one"]
        clock.advance(seconds=OUTAGE.total_seconds() - 60)
        assert kids() == ["one"]
        clock.advance(seconds=120)
        with pytest.raises(KeySetError):
            kids()
        publisher.status = 200
        clock.advance(minutes=2)
        assert kids() == ["one"]

    def test_it_is_left_alone_for_a_minute(self, kids: Any, publisher: Any, clock: Any) -> None:
        publisher.status = 500
        for _ in range(5):
            with pytest.raises(KeySetError):
                kids()
            clock.advance(seconds=10)
        assert len(publisher.asked) == 1
        clock.advance(seconds=11)
        publisher.status = 200
        assert kids() == ["one"]

    def test_a_process_that_died_while_it_fetched_stands_in_nobodys_way(
        self, kids: Any, publisher: Any, authorization: Any, clock: Any
    ) -> None:
        rows = authorization.rows.registrations
        assert rows.claim_key_set(publisher.url, clock(), clock() + timedelta(seconds=5))
        clock.advance(seconds=6)
        assert kids() == ["one"]


class TestWhatIsLeftOfASet:
    @pytest.mark.parametrize(
        "strange",
        [
            {"kty": "XYZ", "kid": "x"},
            {**ONE, "kid": None},
            {**ONE, "x": "!"},
            {**ECKey.generate_key("P-384").as_dict(private=True), "kid": "private"},
            {**OctKey.generate_key(256).as_dict(private=True), "kid": "shared"},
            {**OKPKey.generate_key("Ed25519").as_dict(private=False), "kid": "other"},
            {**RSAKey.generate_key(1024).as_dict(private=False), "kid": "weak"},
            "no object",
            None,
        ],
    )
    def test_what_is_no_key_to_verify_by_is_passed_over(self, kids: Any, publisher: Any, strange: Any) -> None:
        publisher.document = {"keys": [strange, ONE]}
        assert kids() == ["one"]
        publisher.document = {"keys": [strange]}

    @pytest.mark.parametrize(
        "document",
        [
            {},
            [],
            {"keys": {}},
            {"keys": []},
            {"keys": [{"kty": "oct"}]},
            b"no json",
            b"\xff",
            b"[" * 10_000,
            b"x" * 300_000,
        ],
    )
    def test_a_document_without_one_is_none(self, kids: Any, publisher: Any, document: Any) -> None:
        publisher.document = document
        with pytest.raises(KeySetError):
            kids()

    def test_redirects_are_no_answer(self, kids: Any, publisher: Any) -> None:
        publisher.status, publisher.headers = 302, {"Location": "http://127.0.0.1/other"}
        with pytest.raises(KeySetError):
            kids()


def test_nothing_is_fetched_from_this_server_itself(authorization: Any) -> None:
    context = replace(authorization, outbound=read_networks(["127.0.0.1"]))
    with pytest.raises(KeySetError, match="own"):
        refresh(context, f"{context.base_url}/oauth2/jwks")


def test_an_address_that_may_not_be_called_is_not(authorization: Any, publisher: Any) -> None:
    publisher.document = {"keys": [ONE]}
    with pytest.raises(KeySetError):
        published_keys(replace(authorization, outbound=read_networks([])), publisher.url, "one")
    assert publisher.asked == []


def test_a_change_of_keys_is_audited_once(kids: Any, publisher: Any, clock: Any, store: Any) -> None:
    kids()
    clock.advance(hours=2)
    kids()
    publisher.document = {"keys": [TWO]}
    clock.advance(hours=2)
    kids()
    rows = [(row.interaction, row.detail) for row in store.audit_rows(limit=10)]
    assert rows == [("key-set-change", "127.0.0.1")] * 2


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, FRESH_UNSAID),
        ({"Cache-Control": "max-age=60"}, timedelta(seconds=60)),
        ({"cache-control": "x"}, FRESH_UNSAID),
        ({"Cache-Control": 'public, max-age="60"'}, timedelta(seconds=60)),
        ({"Cache-Control": "MAX-AGE=60, must-revalidate"}, timedelta(seconds=60)),
        ({"Cache-Control": "max-age=60, max-age=30"}, timedelta(seconds=30)),
        ({"Cache-Control": "max-age=60", "Age": "50"}, timedelta(seconds=10)),
        ({"Cache-Control": "max-age=60", "Age": "500"}, timedelta(0)),
        ({"Cache-Control": "max-age=soon"}, timedelta(0)),
        ({"Cache-Control": "max-age=-1"}, timedelta(0)),
        ({"Cache-Control": "s-maxage=9"}, FRESH_UNSAID),
        ({"Cache-Control": "no-store, max-age=60"}, timedelta(0)),
        ({"Cache-Control": "no-cache"}, timedelta(0)),
        ({"Cache-Control": "max-age=99999999999"}, FRESH_AT_MOST),
        ({"Expires": "0"}, timedelta(0)),
        ({"Expires": format_datetime(NOW + timedelta(minutes=5), usegmt=True)}, timedelta(minutes=5)),
        (
            {
                "Expires": format_datetime(NOW + timedelta(minutes=5), usegmt=True),
                "Date": format_datetime(NOW + timedelta(minutes=3), usegmt=True),
            },
            timedelta(minutes=2),
        ),
        (
            {"Expires": format_datetime(NOW + timedelta(minutes=5)), "Cache-Control": "max-age=60"},
            timedelta(seconds=60),
        ),
    ],
)
def test_the_headers_say_how_long_a_set_is_fresh(headers: dict[str, str], expected: timedelta) -> None:
    from requests.structures import CaseInsensitiveDict

    assert freshness(CaseInsensitiveDict(headers), NOW) == expected


@given(
    st.dictionaries(
        st.sampled_from(["Cache-Control", "Expires", "Date", "Age"]), st.text(max_size=40), max_size=4
    )
)
def test_no_header_leads_out_of_the_bounds(headers: dict[str, str]) -> None:
    assert timedelta(0) <= freshness(headers, NOW) <= FRESH_AT_MOST
