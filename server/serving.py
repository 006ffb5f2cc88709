"""HTTP as every part here serves it: granian in the foreground, with the limits of a connection.

Parts of other packages find `serve` and `rsgi.door` as entry points `baton.http` and import neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from server.process import open_connections
from server.rsgi import HEAD_BYTES

# granian's own words go the way of all logs: through the root logger, one JSON object a line.
_GRANIAN_LOGS: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "loggers": {name: {"handlers": [], "propagate": True} for name in ("_granian", "granian.access")},
}


def serve(target: str, *, host: str, port: int, workers: int, tls_cert: str = "", tls_key: str = "") -> None:
    """Answer HTTP until SIGTERM; requests that are being answered then are finished.

    target: "module:function" that returns what `rsgi.door` made, called once in each of the worker processes.
    The process that calls this has its logging configured. tls_cert, tls_key: PEM files, or both "".
    """
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server import Server

    Server(
        target,
        factory=True,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=20_000, max_buffer_size=HEAD_BYTES),
        websockets=False,
        backpressure=open_connections(),
        address=host,
        port=port,
        workers=workers,
        log_level=LogLevels.warning,
        log_dictconfig=_GRANIAN_LOGS,
        respawn_failed_workers=True,
        workers_kill_timeout=5,  # an idle connection holds a worker up; the supervisor waits longer
        ssl_protocol_min=SSLProtocols.tls12,
        ssl_cert=Path(tls_cert) if tls_cert else None,
        ssl_key=Path(tls_key) if tls_key else None,
    ).serve()
