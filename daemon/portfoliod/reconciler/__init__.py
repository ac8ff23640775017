"""Targets in, orders out: level-triggered, one worker a key."""

from portfoliod.reconciler.look import Look, Standing
from portfoliod.reconciler.reconciler import Reconciler

__all__ = ["Look", "Reconciler", "Standing"]
