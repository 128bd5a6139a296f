"""Prometheus metrics that every service has. Labels come from closed sets: no names of workspaces."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.handled = Counter(
            "kaitobus_messages_handled", "Messages handled.", ["consumer", "outcome"], registry=self.registry
        )
        self.redelivered = Counter(
            "kaitobus_messages_redelivered", "Messages that came again.", ["consumer"], registry=self.registry
        )
        self.duration = Histogram(
            "kaitobus_handle_seconds",
            "Time that handling a message took.",
            ["consumer"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.hop = Histogram(
            "kaitobus_hop_seconds",
            "Time from the publishing of a message to its arrival, first delivery only.",
            ["consumer"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.published = Counter(
            "kaitobus_messages_published", "Messages published.", ["kind", "result"], registry=self.registry
        )
        self.dead_letters = Counter(
            "kaitobus_dead_letters", "Messages that could not be read.", ["consumer"], registry=self.registry
        )
        self.repairs = Counter(
            "kaitobus_topology_repairs", "Streams and consumers made or mended.", ["kind"], registry=self.registry
        )
        self.watch_age = Gauge(
            "kaitobus_watch_age_seconds",
            "Seconds since the API server was last heard.",
            ["resource"],
            registry=self.registry,
        )
