"""Asked to stop under load: what is under way is finished and answered, and it is over within ten seconds."""

from __future__ import annotations

import time

import pytest
from baton_processes import Baton, alive, until
from checks import audit_findings, evidence, findings
from clients import Load
from ledger import Ledger

from server.storage import open_store
from server.supervisor import DRAIN_SECONDS

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.long]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_under_load_drops_no_write_that_was_done(deploy, database_url: str, workers: str) -> None:
    """Whoever got no answer was not heard: no write is in the database that its client was not told of."""
    baton: Baton = deploy(database_url=database_url, environment={"BATON_WORKERS": workers})
    ledger = Ledger()
    load = Load(ledger, baton.port, baton.token, "drain", clients=8)
    everything = baton.everything()
    load.start()
    try:
        until(lambda: ledger.count("acknowledged") > 50, "first answers")
        asked = time.monotonic()
        assert baton.stop() == 0, "every part ended by itself"
        took = time.monotonic() - asked
    finally:
        load.stop()
    assert took < DRAIN_SECONDS
    assert not any(map(alive, everything))
    store = open_store(database_url)
    store.ingest_audit(baton.home / "audit")
    found = evidence(store)
    assert findings(ledger, found) == []
    assert audit_findings(store, ledger) == []
    unanswered = {request.request_id for request in ledger.requests if request.outcome == "unknown"}
    assert unanswered.isdisjoint(found.audit), "done, audited, and never told to the client"
    store.close()
