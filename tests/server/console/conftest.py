"""Pages of the console as an administrator or an engineer asks for them, and their forms."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.auth.audit_heads import head_signer
from server.settings import Settings

BASE = "http://127.0.0.1:8000"


class Console:
    """One person's browser in the console; paths are relative to it."""

    def __init__(self, browser: FlaskClient) -> None:
        self.browser = browser

    def get(self, path: str) -> Any:
        return self.browser.get(f"/console/{path}", base_url=BASE)

    def follow(self, answer: Any) -> Any:
        return self.browser.get(answer.headers["Location"], base_url=BASE)

    def post(self, path: str, **form: Any) -> Any:
        """A form of the console, with the token of the session unless another is given."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get("policies").text)
        assert token is not None
        return self.browser.post(f"/console/{path}", base_url=BASE, data={"csrf_token": token[1], **form})

    def rows(self, path: str) -> list[str]:
        """The texts of a page's row headers."""
        return re.findall(r'<th scope="row">(?:<a [^>]*>)?([^<]*)', self.get(path).text)

    def next_page(self, path: str) -> str:
        """What asks for the page after this one, "" at the end."""
        found = re.search(r'href="/console/([^"]+)">Next page', self.get(path).text)
        return found[1].replace("&amp;", "&") if found else ""


@pytest.fixture
def seal(store: Any, settings: Settings, authorization: Any, clock: Any) -> Callable[[], None]:
    """What the worker does: move the segments into the database and seal everything."""

    def run() -> None:
        store.ingest_audit(settings.home / "audit")
        store.seal_audit(head_signer(authorization.keys, BASE, clock), clock())

    return run


@pytest.fixture
def administrator(sign_in: Callable[[str], FlaskClient]) -> Console:
    return Console(sign_in("administrator"))


@pytest.fixture
def engineer(sign_in: Callable[[str], FlaskClient]) -> Console:
    return Console(sign_in("engineer"))
