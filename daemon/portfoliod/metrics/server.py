"""The page that Prometheus reads, served by a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import structlog
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from portfoliod.logs import listen
from portfoliod.metrics.figures import Figures, families
from portfoliod.metrics.happenings import Happenings

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Metrics(Collector):
    """Serves the last figures that it was shown, and counts what is logged meanwhile."""

    def __init__(self, address: str) -> None:
        """Listen.

        Args:
            address: HOST:PORT.

        Raises:
            OSError: nobody can listen there.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        self._figures: Figures | None = None
        self._counting = threading.Lock()
        self._happenings = Happenings(registry)
        registry.register(self)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        host, _, port = address.rpartition(":")
        self._server, self._thread = start_http_server(int(port), host.strip("[]"), registry)
        self._stop_listening = listen(self._happenings.hear)
        log.info("metrics.served", address=f"http://{host}:{self._server.server_port}/metrics")

    def show(self, figures: Figures, lag: float) -> None:
        """Take in the figures of now, and how late the loop was when they were made; in a thread."""
        self._figures = figures
        self._happenings.woke_late(lag)
        self._count()

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of the last figures (`Collector`)."""
        self._count()
        return [] if self._figures is None else families(self._figures)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: which metrics there are is known once there are figures (`Collector`)."""
        return []

    def close(self) -> None:
        """Serve no longer."""
        self._stop_listening()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _count(self) -> None:
        with self._counting:
            self._happenings.count()
