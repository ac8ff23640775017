"""Targets in, orders out: level-triggered, one worker a key."""

from portfoliod.reconciler.look import Look
from portfoliod.reconciler.reconciler import Reconciler
from portfoliod.reconciler.snapshot import EngineSnapshot, MarketSnapshot, VenueSnapshot

__all__ = ["EngineSnapshot", "Look", "MarketSnapshot", "Reconciler", "VenueSnapshot"]
