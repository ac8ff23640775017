"""Weights and leverage from daily returns: pure functions, the same inputs give the same bits."""

from portfoliod.allocation.outcome import ALLOCATORS, Allocation, Allocator, allocate, allocator, inputs_hash
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.slope_std import Optimum, optimum, score
from portfoliod.allocation.window import Window, window

__all__ = [
    "ALLOCATORS",
    "Allocation",
    "Allocator",
    "Optimum",
    "Rules",
    "Window",
    "allocate",
    "allocator",
    "inputs_hash",
    "optimum",
    "score",
    "window",
]
