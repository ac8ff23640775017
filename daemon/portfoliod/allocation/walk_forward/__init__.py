"""Does the allocation beat chance out of sample? Each day's weights come from the days before it."""

from portfoliod.allocation.walk_forward.decisions import Progress, unseen
from portfoliod.allocation.walk_forward.paths import Paths
from portfoliod.allocation.walk_forward.performance import (
    FIGURES,
    Performance,
    drawdown,
    equity,
    figures,
    percentile,
    performance,
)
from portfoliod.allocation.walk_forward.walk import Walk, WalkForward, walk_forward

__all__ = [
    "FIGURES",
    "Paths",
    "Performance",
    "Progress",
    "Walk",
    "WalkForward",
    "drawdown",
    "equity",
    "figures",
    "percentile",
    "performance",
    "unseen",
    "walk_forward",
]
