"""Where a sign-in leads afterwards: a page of ours, never another site.

Sources: OWASP Unvalidated Redirects and Forwards cheat sheet, OpenID Connect Core 1.0 section 3.1.2.1
(login_hint).
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from server.api.oauth2_page import form_target

HOME = "/oauth2/grants"
_HINT_LIMIT = 64
# The pages somebody is sent to the sign-in from, with what may follow.
_ALLOWED = re.compile(r"(/oauth2/authorize\?|(/oauth2/(grants|account|links)|/console|/ehr)(?=[/?]|$))")


def safe_next(path: str) -> str:
    """The path where it is one of ours, else HOME."""
    before_query = path.partition("?")[0]
    plain = path.isascii() and path.isprintable() and "\\" not in path
    return path if plain and "//" not in before_query and _ALLOWED.match(path) else HOME


def hinted(after: str) -> str:
    """The user name that a client expects (`login_hint`), for the field of the sign-in page; "" for none."""
    hint = parse_qs(urlsplit(after).query).get("login_hint", [""])[0]
    return hint[:_HINT_LIMIT] if hint.isprintable() else ""


def target_of(after: str) -> str:
    """The client's origin, where signing in may lead straight on to it, as a CSP source."""
    uris = parse_qs(urlsplit(after).query).get("redirect_uri", [])
    return form_target(uris[0]) if len(uris) == 1 else ""
