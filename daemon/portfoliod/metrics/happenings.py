"""What happened, counted, and how long it took: from the events that are logged."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from portfoliod.bounded import Bounded
from portfoliod.logs import Event

MOST_WAITING = 100_000
"""Events between two times that somebody counts them."""
MOST_REMEMBERED = 2_000
"""Cycles, decisions and orders whose next step is waited for, of each the newest."""
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ORDER = ("sent", "acknowledged", "refused", "unknown", "resolved", "cancelled")


class Happenings:
    """Hears events where they happen, which costs an append, and counts them where it does no harm."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._heard: deque[tuple[float, Event]] = deque(maxlen=MOST_WAITING)
        self._files: Bounded[str, float] = Bounded(MOST_REMEMBERED)
        self._decisions: Bounded[str, float] = Bounded(MOST_REMEMBERED)
        self._orders: Bounded[str, float] = Bounded(MOST_REMEMBERED)
        self._events = Counter("portfoliod_events", "Events by name", ("event", "level"), registry=registry)
        self._outcomes = Counter("portfoliod_orders", "Orders by outcome", ("venue", "outcome"), registry=registry)
        self._fills = Counter("portfoliod_fills", "Fills", ("venue", "side"), registry=registry)
        self._refused = Counter("portfoliod_risk_refused", "Orders refused by a limit", ("limit",), registry=registry)
        self._stages = Histogram(
            "portfoliod_stage_seconds",
            "From a file's change to the target, from there to the order, from there to its acknowledgement and fill",
            ("stage",),
            buckets=BUCKETS,
            registry=registry,
        )
        self._lag = Histogram(
            "portfoliod_loop_lag_seconds", "How late the event loop woke", buckets=BUCKETS, registry=registry
        )
        for stage in ("target", "sent", "acknowledged", "filled"):
            self._stages.labels(stage)

    def hear(self, event: Event) -> None:
        """Note an event."""
        self._heard.append((time.monotonic(), event))

    def woke_late(self, seconds: float) -> None:
        """Note how late the loop was."""
        self._lag.observe(max(0.0, seconds))

    def count(self) -> None:
        """Count what was heard since; in one thread at a time."""
        while self._heard:
            at, event = self._heard.popleft()
            self._count(at, event)

    def _count(self, at: float, event: Event) -> None:
        name = str(event["event"])
        self._events.labels(name, event.get("level", "info")).inc()
        noun, _, verb = name.partition(".")
        if noun == "order" and verb in ORDER:
            self._outcomes.labels(event.get("venue", ""), verb).inc()
        if name == "order.filled":
            self._fills.labels(event.get("venue", ""), event.get("side", "")).inc()
        elif name == "risk.refused":
            self._refused.labels(event.get("limit", "")).inc()
        self._time(at, name, event)

    def _time(self, at: float, name: str, event: Event) -> None:
        """Measure the way of a cycle: each stage from the one before it."""
        cycles, order = str(event.get("cycle", "")).split(), str(event.get("client_id", ""))
        decisions = [f"{cycle} {event.get('venue')} {event.get('symbol')}" for cycle in cycles]
        if name in {"state.accepted", "config.accepted"}:
            for cycle in cycles:
                self._files[cycle] = at
        elif name == "target.decided":
            self._observe("target", at, [self._files.get(cycle) for cycle in cycles])
            for decision in decisions:
                self._decisions[decision] = at
        elif name == "order.sent":
            self._observe("sent", at, [self._decisions.pop(decision, None) for decision in decisions])
            self._orders[order] = at
        elif name in {"order.acknowledged", "order.filled"}:
            self._observe(name.partition(".")[2], at, [self._orders.get(order)])

    def _observe(self, stage: str, at: float, since: list[Any]) -> None:
        """Measure from the latest of the moments before it, where one is known."""
        known = [moment for moment in since if moment is not None]
        if known:
            self._stages.labels(stage).observe(at - max(known))
