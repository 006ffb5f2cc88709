"""The parts of the server as foreground processes (entry points `baton.parts`). Settings are read here."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from threading import Event

from server.settings import Settings, read_settings

# Imported once, before the workers are forked: they start sooner and share the memory. Nothing that makes
# metrics is among them: prometheus_client has to be imported after `wsgi.share_metrics`.
SHARED = ("flask", "server.auth.build", "server.console.views", "server.interactions.perform")

# How long a thread of a worker goes on while another one of it is ready. While the process maps messages, a
# thread that holds the lock of all writers would wait Python's own 5 ms at each return from the database.
_SWITCH_SECONDS = 0.0005


def _settings() -> Settings:
    return read_settings(os.environ)


def web() -> None:
    """FHIR API, authorization server, console, and in demo mode the demo EHR: granian, one request at a time a
    worker, whose clients wait outside of it (`server.rsgi`)."""
    from server.logs import Log, configure_logging
    from server.serving import serve

    settings = _settings()
    configure_logging(Log(settings.log_level))
    for name in SHARED:
        import_module(name)
    serve(
        "server.rsgi:web",
        host=settings.host,
        port=settings.port_web,
        workers=settings.workers,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
    )


def mllp() -> None:
    """HL7 v2 messages by MLLP, and those of the drop folder: one event loop."""
    from server.listening import main
    from server.logs import Log, configure_logging

    settings = _settings()
    log = Log(settings.log_level)
    configure_logging(log)
    main(settings, log)


def worker() -> None:
    """What happens beside the requests: events to consumers, jobs, the audit trail, checkpoints."""
    from server.app import make_context, now
    from server.auth.audit_heads import head_signer
    from server.auth.context import auth_context
    from server.auth.keys import signing_keys
    from server.hl7v2.current_maps import CurrentMaps, overlays_of
    from server.logs import Log, configure_logging, describe
    from server.storage import open_store
    from server.workers.asynchronous import STATEMENT_SECONDS, Answering
    from server.workers.client_keys import ClientKeys
    from server.workers.consumers import installed_consumers
    from server.workers.emergency_notices import EmergencyNotices
    from server.workers.hl7v2 import Hl7v2Lane
    from server.workers.housekeeping import tasks
    from server.workers.issuer_keys import IssuerKeys
    from server.workers.reindexing import Reindexing
    from server.workers.sealing import sealing
    from server.workers.worker import Worker

    settings = _settings()
    log = Log(settings.log_level)
    configure_logging(log)
    sys.setswitchinterval(_SWITCH_SECONDS)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = open_store(settings.database_url, statement_seconds=STATEMENT_SECONDS)
    keys = signing_keys(settings.home, settings.secret_key)
    seal = sealing(store, settings.home / "audit", head_signer(keys, settings.base_url, now), now)
    authorization = auth_context(
        store.authorization,
        store,
        base_url=settings.base_url,
        home=settings.home,
        secret_key=settings.secret_key,
        clock=now,
        outbound=settings.outbound_allow,
    )
    client_keys = ClientKeys(store, authorization)
    context = make_context(settings, store)
    answering = Answering(context, authorization)
    notices = EmergencyNotices(context, store.emergency_access)
    reindexing = Reindexing(store, settings.fhir_base, settings.time_zone, now)
    issuer_keys = IssuerKeys(authorization, settings.outbound_allow)

    def failed(name: str, error: Exception) -> None:
        log("ERROR", "task-failed", task=name, **describe(error))

    hl7v2 = Hl7v2Lane(context, store, CurrentMaps(overlays_of(settings.home), failed), now, failed)
    ended = Worker(
        store=store,
        todo=(
            *tasks(store, settings.home, now),
            seal,
            client_keys.task,
            issuer_keys.task,
            reindexing.task,
            notices.task,
            hl7v2.task,
        ),
        consumers=installed_consumers(),
        redis_url=settings.redis_url,
        clock=now,
        failed=failed,
        lanes={
            "asynchronous": answering.kinds,
            "client-keys": client_keys.kinds,
            "issuer-keys": issuer_keys.kinds,
            "reindex": reindexing.kinds,
        },
        loops=hl7v2.loops,
    ).run(stop)
    if not ended:
        os._exit(0)  # what is under way was given back; whoever still does it is not waited for
    store.close()
