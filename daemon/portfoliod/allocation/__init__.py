"""Weights and leverage from daily returns: pure functions, the same inputs give the same bits."""

from portfoliod.allocation.allocators import ALLOCATORS, Allocator, allocator
from portfoliod.allocation.outcome import Allocation, allocate, inputs_hash
from portfoliod.allocation.rules import Group, Rules
from portfoliod.allocation.slope_std import Optimum, optimum, score
from portfoliod.allocation.volatility import VolatilityEstimate, annual_volatility, leverage
from portfoliod.allocation.weighing import Weighed, weigh
from portfoliod.allocation.window import Window, window

__all__ = [
    "ALLOCATORS",
    "Allocation",
    "Allocator",
    "Group",
    "Optimum",
    "Rules",
    "VolatilityEstimate",
    "Weighed",
    "Window",
    "allocate",
    "allocator",
    "annual_volatility",
    "inputs_hash",
    "leverage",
    "optimum",
    "score",
    "weigh",
    "window",
]
