"""What the HL7 v2 listeners of this machine count, in Prometheus' text format.

They are processes of their own and leave their numbers in files of BATON_HOME (`server.mllp.counts`). Labels
are kinds of outcomes, never names of sources. Source: prometheus.io/docs/practices/naming
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Counted(Protocol):
    """The numbers of one listener; `server.mllp.counts.Counts` says what they are."""

    connections: int
    accepted: int
    received_bytes: int
    noise_bytes: int
    commits: int
    messages: Counter[str]
    refused: Counter[str]
    closed: Counter[str]
    seconds: list[int]
    seconds_sum: float


Listeners = Callable[[], Sequence[Counted]]


class _Listeners(Collector):
    def __init__(self, listeners: Sequence[Counted], buckets: Sequence[float]) -> None:
        self._listeners = listeners
        self._buckets = buckets

    def collect(self) -> Iterator[Metric]:
        numbers = (
            (GaugeMetricFamily, "baton_mllp_connections", "Connections that are open.", "connections"),
            (CounterMetricFamily, "baton_mllp_accepted", "Connections accepted.", "accepted"),
            (CounterMetricFamily, "baton_mllp_received_bytes", "Bytes received.", "received_bytes"),
            (CounterMetricFamily, "baton_mllp_noise_bytes", "Bytes between frames.", "noise_bytes"),
            (CounterMetricFamily, "baton_mllp_commits", "Commits of groups of messages.", "commits"),
        )
        for kind, name, words, field in numbers:
            yield kind(name, words, value=sum(getattr(one, field) for one in self._listeners))
        labelled = (
            ("baton_hl7v2_received", "Messages received, by outcome.", "outcome", "messages"),
            ("baton_mllp_refused", "Connections turned away, by reason.", "reason", "refused"),
            ("baton_mllp_closed", "Connections ended by the listener, by reason.", "reason", "closed"),
        )
        for name, words, label, field in labelled:
            family = CounterMetricFamily(name, words, labels=[label])
            total: Counter[str] = Counter()
            for one in self._listeners:
                total.update(getattr(one, field))
            for value, count in sorted(total.items()):
                family.add_metric([value], count)
            yield family
        columns = zip(*(one.seconds for one in self._listeners), strict=True)
        counts = list(accumulate(map(sum, columns)))
        names = [*map(str, self._buckets), "+Inf"]
        yield HistogramMetricFamily(
            "baton_mllp_answer_seconds",
            "Time from the last byte of a message to its answer.",
            buckets=[(name, float(count)) for name, count in zip(names, counts, strict=True)],
            sum_value=sum(one.seconds_sum for one in self._listeners),
        )


def listener_metrics(listeners: Sequence[Counted], buckets: Sequence[float]) -> bytes:
    """The numbers of all listeners together; empty where none runs. buckets: upper ends of `seconds`."""
    if not listeners:
        return b""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Listeners(listeners, buckets))
    return generate_latest(registry)
