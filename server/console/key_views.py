"""The console's page of signing keys (Flask): which signs, which still verify, since when and until when."""

from __future__ import annotations

from flask import Blueprint, Response

from server.auth.context import AuthContext
from server.auth.key_states import KeyState, key_states
from server.auth.keys import ALGORITHM, SigningKeyError
from server.staff_area import page

STATES = {
    "signs": "signs now",
    "coming": "will sign; published already",
    "accepted": "signs no more; still verifies",
    "retired": "good for nothing",
}


def add_key_pages(pages: Blueprint, auth: AuthContext) -> None:
    """Add the page /console/keys."""

    @pages.get("/keys")
    def keys() -> Response:
        problem = ""
        rows: tuple[KeyState, ...] = ()
        try:
            rows = tuple(key_states(auth.keys, auth.clock()))
        except SigningKeyError as error:
            problem = str(error)
        return page(
            "console/keys.html",
            rows=rows,
            states=STATES,
            algorithm=ALGORITHM,
            problem=problem,
        )
