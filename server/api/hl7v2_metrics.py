"""The HL7 v2 feeds as gauges, read from the message log at each scrape: how much comes, waits and failed.

Rates and lag are of the last thousand messages. Times are Unix times, so that whoever reads them subtracts by a
clock of their own: what a source sent last tells of its silence. Labels are names of sources and states, never
ids. Source: prometheus.io/docs/practices/instrumentation (timestamps, not time since)
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.errors import FhirError
from server.storage.interface import Store

_MICROSECONDS = 1_000_000


class _Feeds(Collector):
    def __init__(self, store: Store, now: float) -> None:
        self._store, self._now = store, now

    def collect(self) -> Iterator[Metric]:
        with self._store.reading():
            states = self._store.hl7v2_messages.states()
            newest, recent = self._store.hl7v2_messages.recent()
            sources = self._store.hl7v2_sources.all()
        words = "Number of the newest received HL7 v2 message; repeated ones count."
        yield CounterMetricFamily("baton_hl7v2_received", words, value=newest)
        counts = GaugeMetricFamily(
            "baton_hl7v2_messages", "Messages that are not applied, by state.", labels=["source", "state"]
        )
        oldest = GaugeMetricFamily(
            "baton_hl7v2_oldest_timestamp_seconds",
            "When the oldest message was received that is neither applied nor given up.",
            labels=["source"],
        )
        for each in states:
            for state in ("waiting", "failed", "parked"):
                counts.add_metric([each.source, state], getattr(each, state))
            if each.oldest is not None:
                oldest.add_metric([each.source], each.oldest / _MICROSECONDS)
        yield from (counts, oldest)
        rate = GaugeMetricFamily(
            "baton_hl7v2_messages_per_second", "Of the last thousand messages of all.", labels=["source"]
        )
        errors = GaugeMetricFamily(
            "baton_hl7v2_error_share", "Share of those that failed or are parked.", labels=["source"]
        )
        lag = GaugeMetricFamily(
            "baton_hl7v2_lag_seconds", "From reception to the end, the mean of those.", labels=["source"]
        )
        for some in recent:
            seconds = max(self._now - some.since / _MICROSECONDS, 1.0)
            rate.add_metric([some.source], some.messages / seconds)
            errors.add_metric([some.source], some.failed / some.messages)
            if some.ended:
                lag.add_metric([some.source], some.lag / some.ended / _MICROSECONDS)
        yield from (rate, errors, lag)
        last = GaugeMetricFamily(
            "baton_hl7v2_source_last_message_timestamp_seconds",
            "When a source sent last.",
            labels=["source", "state"],
        )
        for source in sources:
            if source.last_message:
                last.add_metric([source.name, source.state], source.last_message / _MICROSECONDS)
        yield last


def hl7v2_metrics(store: Store, now: float) -> bytes:
    """The gauges in Prometheus' text format; empty while the database is away. now: Unix time."""
    registry = CollectorRegistry(auto_describe=False)
    try:
        registry.register(_Feeds(store, now))
        return generate_latest(registry)
    except FhirError:
        return b""
