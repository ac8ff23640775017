"""Targets in, orders out: level-triggered, one worker a key."""

from portfoliod.reconciler.reconciler import Reconciler
from portfoliod.reconciler.worker import Look, Standing

__all__ = ["Look", "Reconciler", "Standing"]
