"""The web server without its decision, for `access_cost` alone: who asks is not looked at, nothing is hidden
and nothing is audited. Everything else is the server's own pipeline.

It cannot be switched on: the product has no such setting, and this file is no part of it. `python undecided.py`
serves by the environment of a Baton, as its web part does.
"""

from __future__ import annotations

import os
from typing import Any


def web() -> Any:
    """What granian calls in each process."""
    leave_out()
    from server import rsgi

    return rsgi.web()


def leave_out() -> None:
    """Replace token, decision (and with it the predicate) and audit by constants."""
    from server.auth.access import Decision
    from server.auth.principal import Principal
    from server.auth.tokens import Authenticator
    from server.fhir.visibility import EVERYTHING
    from server.interactions import perform
    from server.storage.audit_segments import AuditSegment

    nobody, everything = Principal("nobody", ()), Decision(EVERYTHING, EVERYTHING)
    Authenticator.authenticate = lambda self, authorization: nobody  # type: ignore[method-assign]
    AuditSegment.append = lambda self, row: None  # type: ignore[method-assign]
    perform.decide = lambda *_, **__: everything  # type: ignore[assignment]
    perform.decide_stored = lambda *_, **__: everything  # type: ignore[assignment]
    perform.is_limited = lambda principal: False  # type: ignore[assignment]
    perform.audit_row = lambda *_: None  # type: ignore[assignment]


def main() -> None:
    """Serve until SIGTERM."""
    from server.logs import Log, configure_logging
    from server.serving import serve
    from server.settings import read_settings

    settings = read_settings(os.environ)
    configure_logging(Log(settings.log_level))
    serve("undecided:web", host=settings.host, port=settings.port_web, workers=settings.workers)


if __name__ == "__main__":
    main()
