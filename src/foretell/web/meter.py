"""What operators see: the metrics that the documents name, for Prometheus."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from foretell.app.basis import Told
from foretell.app.memory import Stats
from foretell.contract import Domain, Task

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where a server's processes keep their figures for each other
TRAINED = "ml_model_trained_timestamp_seconds"
EVERY = 1.0  # seconds between two looks at the models in memory while predictions are made
BUCKETS = (0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Meter:
    """One process's figures."""

    def __init__(self, domains: Iterable[Domain], cache: Callable[[], Stats]) -> None:
        """`cache` tells the figures of this process's models in memory, of all tenants."""
        self._cache = cache
        self._looking, self._looked = threading.Lock(), 0.0
        self._seen = Stats(cached=0, bytes=0, hits=0, misses=0)
        self.registry = CollectorRegistry()
        tenant: Any = ["tenant_id"]
        self._latency = Histogram(
            "ml_prediction_latency_seconds", "Seconds from a request to its prediction", buckets=BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self._confidence = Gauge(
            "ml_prediction_confidence", "Confidence of a tenant's last prediction, 0 to 1", tenant,
            registry=self.registry, multiprocess_mode="mostrecent",
        )  # fmt: skip
        self._trained = Gauge(
            TRAINED, "When the model that answered a tenant last was trained", tenant, registry=self.registry,
            multiprocess_mode="mostrecent",
        )  # fmt: skip
        self._cached, self._bytes = (
            Gauge(name, words, registry=self.registry, multiprocess_mode="livesum")
            for name, words in (
                ("ml_model_cache_models", "Models in memory"),
                ("ml_model_cache_bytes", "Bytes of the models in memory, as estimated"),
            )
        )
        self._hits = Counter("ml_model_cache_hits", "Models that were found in memory", registry=self.registry)
        self._misses = Counter("ml_model_cache_misses", "Models that had to be loaded", registry=self.registry)
        counts = {count.name: count for domain in domains for task in domain.tasks for count in task.counts}
        self._counts = {
            name: Counter(name, count.words, ["tenant_id", count.label], registry=self.registry)
            for name, count in counts.items()
        }

    def predicted(self, tenant: str, task: Task, told: Told, seconds: float, *, repeated: bool) -> None:
        """A prediction was made; the same again within minutes is no second recommendation."""
        self._latency.observe(seconds)
        if time.monotonic() - self._looked > EVERY:
            self._look()
        confidence = getattr(told.answer, "confidence", None)
        if isinstance(confidence, float):
            self._confidence.labels(tenant).set(confidence)
        if told.foretell.trained_at is not None:
            self._trained.labels(tenant).set(told.foretell.trained_at.timestamp())
        for count in task.counts:
            if not repeated and (label := count.of(told.answer)) is not None:
                self._counts[count.name].labels(tenant, label).inc()

    def _look(self) -> None:
        """Take over what has changed in memory since the last look."""
        with self._looking:
            self._looked, seen, self._seen = time.monotonic(), self._seen, self._cache()
            self._cached.set(self._seen.cached)
            self._bytes.set(self._seen.bytes)
            self._hits.inc(self._seen.hits - seen.hits)
            self._misses.inc(self._seen.misses - seen.misses)

    def text(self) -> bytes:
        """All processes' figures, in Prometheus' text format; those of others' memory as of their last predictions."""
        self._look()
        registry = CollectorRegistry()
        if FOLDER in os.environ:
            together = CollectorRegistry()
            MultiProcessCollector(together)  # type: ignore[no-untyped-call]
            registry.register(_Ages(together))
        else:
            registry.register(_Ages(self.registry))
        return generate_latest(registry)


class _Ages:
    """The figures with ages in place of moments: an age kept is wrong a moment later."""

    def __init__(self, figures: CollectorRegistry) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Any]:
        """Every family of figures."""
        for family in self._figures.collect():
            if family.name != TRAINED:
                yield family
                continue
            ages = GaugeMetricFamily(
                "ml_model_age_hours", "Hours since the model that answered a tenant last was trained",
                labels=["tenant_id"],
            )  # fmt: skip
            for sample in family.samples:
                ages.add_metric([sample.labels["tenant_id"]], (time.time() - sample.value) / 3600)
            yield ages
