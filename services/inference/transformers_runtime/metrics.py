"""What `/metrics` tells of the transformers runtime, in Prometheus' form."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters of one server."""

    def __init__(self, model: str, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        prefix, names = "kaitobus_transformers", ["model_name"]

        def counter(name: str, words: str) -> Counter:
            return Counter(f"{prefix}_{name}", words, names, registry=self.registry).labels(model)

        self._tokens = counter("generation_tokens", "Tokens of answers.")
        self._prompts = counter("prompt_tokens", "Tokens of prompts.")
        self._inside = Gauge(
            f"{prefix}_requests", "Requests that are answered (at most one) or wait.", names, registry=self.registry
        ).labels(model)
        self._seconds = Histogram(
            f"{prefix}_request_seconds",
            "From the request to the end of its answer.",
            names,
            buckets=SECONDS,
            registry=self.registry,
        ).labels(model)

    def inside(self, requests: int) -> None:
        """So many requests are answered or wait now."""
        self._inside.set(requests)

    def answered(self, answer: int, prompt: int, seconds: float) -> None:
        """One was answered, or given up, after so many tokens."""
        self._tokens.inc(answer)
        self._prompts.inc(prompt)
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
