"""Whatever an id token, a form or a Patient holds: an answer, never a 5xx, and a token for an honest one alone.

Covers server/auth/subject_token.py, token_exchange.py, link_proposals.py, server/api/link_pages.py.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
CLAIMS = ("iss", "sub", "aud", "azp", "iat", "exp", "nbf", "nonce", "jti", "fhirUser", "patient", "npi")
HEADERS = ("kid", "typ", "crit", "b64", "jku", "x5u", "cty")
# Claims whose loss or change no honest token survives; the others are not judged, or may be absent.
JUDGED = frozenset({"iss", "aud", "iat", "exp", "nonce", "fhirUser"})
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@QUIET
@given(changes=st.dictionaries(st.sampled_from(CLAIMS), JSON, max_size=3))
def test_claims_of_any_kind_are_judged(abroad: Any, changes: dict[str, Any]) -> None:
    page = abroad.exchange(abroad.id_token(**changes))
    assert page.status in (200, 400), page.text
    if page.status == 200:
        assert not JUDGED & set(changes)
        assert json.loads(page.text)["patient"] == "one"


@QUIET
@given(
    header=st.dictionaries(st.sampled_from(HEADERS), JSON, min_size=1, max_size=2),
    cut=st.integers(0, 900),
    letters=st.text(max_size=4),
)
def test_headers_of_any_kind_and_broken_tokens_are_refused(
    abroad: Any, header: dict[str, Any], cut: int, letters: str
) -> None:
    honest = abroad.id_token()
    _, body, signature = honest.split(".")
    broken = f"{abroad.encoded({'alg': 'RS256', 'kid': 'ehr-1'} | header)}.{body}.{signature}"
    for token in (broken, honest[:cut] + letters + honest[cut:] if letters else broken):
        assert token == honest or abroad.exchange(token).status == 400


@QUIET
@given(
    form=st.dictionaries(
        st.sampled_from(
            ("subject_token", "nonce", "patient", "scope", "resource", "audience", "actor_token", "x")
        ),
        st.text(max_size=30),
        max_size=4,
    )
)
def test_forms_of_any_kind_are_answered(abroad: Any, form: dict[str, str]) -> None:
    sent = {name: value.encode("utf-8", "replace").decode() for name, value in form.items()}
    assert abroad.exchange(sent.pop("subject_token", None), **sent).status in (200, 400)


@QUIET
@given(
    patient=st.dictionaries(
        st.sampled_from(("name", "birthDate", "gender", "identifier", "telecom", "address", "id", "x", "link")),
        JSON,
        max_size=4,
    )
)
def test_patients_of_any_kind_make_a_page_or_a_refusal(abroad: Any, patient: dict[str, Any]) -> None:
    whole = {"resourceType": "Patient", "id": "theirs-2"} | patient
    page = abroad.propose(json.dumps(whole))
    assert page.status in (201, 400), page.text
    if page.status == 201:
        browser = abroad.smart.browser()
        browser.sign_in()
        assert (
            browser.get(json.loads(page.text)["link_uri"].removeprefix("http://127.0.0.1:8000")).status == 200
        )


@QUIET
@given(
    fields=st.dictionaries(
        st.sampled_from(("decision", "patient", "compared", "csrf")),
        st.sampled_from(("me", "patient", "none", "yes", "one", "", "\x00", "é")) | st.text(max_size=8),
        max_size=4,
    )
)
def test_buttons_of_any_kind_are_answered(abroad: Any, fields: dict[str, str]) -> None:
    path = json.loads(abroad.propose().text)["link_uri"].removeprefix("http://127.0.0.1:8000")
    browser = abroad.smart.browser()
    browser.sign_in()
    csrf = dict(browser.get(path).fields)["csrf"]
    sent = {"csrf": csrf} | {name: value.encode("utf-8", "replace").decode() for name, value in fields.items()}
    assert browser.post(path, sent).status in (303, 400, 409)
