"""Figures for Prometheus.

Several worker processes share their counters where PROMETHEUS_MULTIPROC_DIR names a directory
(emptied before they start); without it a process answers for itself alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import MutexValue, ValueClass

from ledger.store.database import Database
from projections.positions import status

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """What one app counts, and what it says when asked."""

    def __init__(self, database: Database) -> None:
        # In shared mode the values live in files: registering them too would count them twice.
        self._shared = ValueClass is not MutexValue
        self._own = CollectorRegistry()
        registry = None if self._shared else self._own
        self._requests = Counter(
            "jifen_http_requests",
            "Requests answered, by route, method and status.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "jifen_http_request_seconds",
            "Time to answer, in seconds, by route and method.",
            ("route", "method"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._gathered = Histogram(
            "jifen_gathered_requests",
            "Lone requests committed together in one transaction.",
            buckets=_SIZES,
            registry=registry,
        )
        self._views = _Views(database)
        self._counters: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered."""
        counters = self._counters.get((route, method, status))
        if counters is None:
            # Finding a labelled counter costs more than counting.
            counters = (
                self._requests.labels(route, method, status),
                self._seconds.labels(route, method),
            )
            self._counters[route, method, status] = counters
        counters[0].inc()
        counters[1].observe(seconds)

    def gathered(self, size: int) -> None:
        """So many lone requests were committed together."""
        self._gathered.observe(size)

    def text(self) -> bytes:
        """Everything, in the text format of Prometheus."""
        registry = CollectorRegistry()
        if self._shared:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            registry.register(_Collected(self._own))
        registry.register(self._views)
        return generate_latest(registry)


class _Collected(Collector):
    """Another registry's figures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        yield from self._registry.collect()


class _Views(Collector):
    """How far the views are, asked of the database at each scrape."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> list[Metric]:
        """Nothing beforehand: asking would need the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "jifen_view_lag_events", "Events that the view has still to read.", labels=["view"]
        )
        bad = GaugeMetricFamily(
            "jifen_view_bad_events", "Events set aside by the view; see /readyz.", labels=["view"]
        )
        up = GaugeMetricFamily("jifen_database_up", "1 where the database can be reached.")
        try:
            for view in status(self._database):
                lag.add_metric([view.view], view.lag)
                bad.add_metric([view.view], view.bad_events)
            up.add_metric([], 1)
        except Exception:
            # A scrape must work best when something is wrong.
            up.add_metric([], 0)
        yield from (lag, bad, up)
