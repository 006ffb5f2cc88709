"""The queue as gauges, read from the database at each scrape: how much waits, since when, what was given up.

Times are Unix times, so that whoever reads them subtracts by a clock of their own. Labels are states and names
of consumers, never ids. Source: prometheus.io/docs/practices/instrumentation (timestamps, not time since)
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.errors import FhirError
from server.storage.interface import Store

_STATES = ("new", "claimed", "retry", "dead")


class _Queue(Collector):
    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        with self._store.reading():
            fresh, oldest = self._store.dead_letters.fresh()
            queues = self._store.dead_letters.queues()
            jobs = self._store.jobs.counts()
            workers = self._store.workers.workers()
        yield GaugeMetricFamily("baton_outbox_events", "Events no relay has taken up yet.", value=fresh)
        moments = [moment for moment in (oldest, *(queue.oldest for queue in queues)) if moment is not None]
        if moments:
            words = "When the oldest event that waits was written."
            yield GaugeMetricFamily(
                "baton_outbox_oldest_timestamp_seconds", words, value=min(moments).timestamp()
            )
        deliveries = GaugeMetricFamily(
            "baton_deliveries", "Deliveries by state; dead were given up.", labels=["consumer", "state"]
        )
        for queue in queues:
            for state in _STATES:
                deliveries.add_metric([queue.consumer, state], getattr(queue, state))
        yield deliveries
        counted = GaugeMetricFamily("baton_jobs", "Background jobs by state.", labels=["state"])
        for state in ("new", "claimed", "done", "dead"):
            counted.add_metric([state], jobs.get(state, 0))
        yield counted
        if workers:
            yield GaugeMetricFamily(
                "baton_worker_seen_timestamp_seconds",
                "When a worker was last heard of.",
                value=workers[0].seen.timestamp(),
            )


def queue_metrics(store: Store) -> bytes:
    """The gauges in Prometheus' text format; empty while the database is away."""
    registry = CollectorRegistry(auto_describe=False)
    try:
        registry.register(_Queue(store))
        return generate_latest(registry)
    except FhirError:
        return b""
