"""Guessing: passwords, client secrets, codes and tokens. It is slowed down, tells nothing, and is audited.

Sources: NIST SP 800-63B section 5.2.2, OWASP Authentication cheat sheet, RFC 6749 section 10.10
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.long

GUESSES = 60


def account(site: Any, username: str = "guessed") -> Any:
    from asking.pages import Person

    site.put({"resourceType": "Practitioner", "id": username})
    return Person(site.origin, username, site.user(username, "rn", username))


def attempt(site: Any, username: str, password: str, session: Any = None) -> tuple[int, str, float]:
    """Status, page and seconds of one try to sign in, each with a browser of its own. session: of a machine
    from which all tries come; otherwise each comes from another."""
    from asking.pages import Person

    more = {"session": session} if session else {}
    person = Person(site.origin, username, password, **more)
    page = person.open(f"{site.origin}/oauth2/login")
    form = next(form for form in page.forms if form.named("password"))
    fields = dict(form.fields) | {"username": username, "password": password}
    before = time.perf_counter()
    answer = person.ask("POST", f"{site.origin}/oauth2/login", list(fields.items()))
    return answer.status_code, answer.text, time.perf_counter() - before


def test_an_account_rests_after_failures_and_does_not_say_whether_the_password_was_right(
    own_site: Any, since: Any
) -> None:
    person = account(own_site)
    answers = [attempt(own_site, person.username, f"wrong-{number}") for number in range(12)]
    assert {status for status, _, _ in answers} <= {401, 429}
    status, _, _ = attempt(own_site, person.username, person.password)
    assert status in (401, 429), "the right password, while the account rests"
    own_site.audited(since, interaction="login-refused", username=person.username)
    own_site.audited(since, interaction=("login-locked", "login-throttled"), username=person.username)


def test_nobody_learns_which_accounts_exist(own_site: Any) -> None:
    person = account(own_site)
    known = [attempt(own_site, person.username, "wrong-password") for _ in range(6)]
    unknown = [attempt(own_site, "nobody-of-this-name", "wrong-password") for _ in range(6)]
    assert {status for status, _, _ in known} == {status for status, _, _ in unknown}
    told = {
        text.replace(person.username, "NAME").replace("nobody-of-this-name", "NAME") for _, text, _ in known
    }
    assert {len(text) for text in told} == {
        len(text.replace("nobody-of-this-name", "NAME")) for _, text, _ in unknown
    }
    slow, fast = (statistics.median(seconds for _, _, seconds in each) for each in (known, unknown))
    assert 0.5 < slow / fast < 2.0


def test_an_address_that_guesses_many_accounts_is_slowed_down(own_site: Any, since: Any) -> None:
    person = account(own_site)
    for number in range(GUESSES):
        status, _, _ = attempt(own_site, f"somebody-{number}", "password", person.session)
        assert status in (401, 429)
    # Where each process counts by itself, enough tries meet all of them.
    tries = [attempt(own_site, person.username, person.password, person.session)[0] for _ in range(6)]
    assert any(status != 303 for status in tries)
    own_site.audited(since, interaction=("login-locked", "login-throttled"))


def guessed_secrets(site: Any, count: int) -> list[int]:
    """The statuses of so many wrong secrets of one client, all from one machine."""
    told = site.client("--confidential", "--redirect-uri", "https://app.example/cb", "--scope", "patient/*.rs")
    found = []
    for number in range(count):
        answer = requests.post(
            f"{site.origin}/oauth2/token",
            data={"grant_type": "authorization_code", "code": "x", "redirect_uri": "https://app.example/cb"},
            auth=(told["client_id"], f"guess-{number}"),
            timeout=30,
        )
        found.append(answer.status_code)
    return found


def test_guesses_of_a_client_secret_are_refused_and_audited(own_site: Any, since: Any) -> None:
    assert set(guessed_secrets(own_site, GUESSES)) <= {401, 429}
    own_site.audited(since, interaction="token-refused", outcome=401)


def test_guesses_of_a_client_secret_are_slowed_down(own_site: Any) -> None:
    assert guessed_secrets(own_site, 200)[-1] == 429


def test_guessed_tokens_and_codes_are_refused_alike(own_site: Any, since: Any) -> None:
    answers = {
        requests.get(
            f"{own_site.base}/Patient", headers={"Authorization": f"Bearer {'x' * 40}{number:03}"}, timeout=30
        ).status_code
        for number in range(GUESSES)
    }
    assert answers <= {401, 429}
    own_site.audited(since, interaction="search-type", outcome=401)
