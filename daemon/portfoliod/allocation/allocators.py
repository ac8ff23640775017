"""The allocators by name, and what an allocator of somebody else must return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TypeAlias

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.optimal import min_variance
from portfoliod.allocation.others import equal, hrp, inverse_vol
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.slope_std import slope_std
from portfoliod.errors import AllocationError

Allocator: TypeAlias = Callable[[Floats, Rules], Floats]
"""(returns T x N, rules) -> N weights, >= 0, sum 1; all zero: nothing is worth holding."""

ALLOCATORS: Mapping[str, Allocator] = {
    "slope_std": slope_std,
    "min_variance": min_variance,
    "equal": equal,
    "inverse_vol": inverse_vol,
    "hrp": hrp,
}
"""Under `weigh` all of them keep every limit of the rules; called by themselves, the optimizing ones keep the cap."""

SUM_TOLERANCE = 1e-6
_SHOWN = 8


def allocator(name: str) -> Allocator:
    """Return the built-in allocator of that name.

    Raises:
        AllocationError: there is none; it names the nearest.
    """
    if name in ALLOCATORS:
        return ALLOCATORS[name]
    nearest = get_close_matches(name, ALLOCATORS, n=1, cutoff=0.0)[0]
    raise AllocationError(
        f'no allocator is called "{name}"',
        where="optimizer.allocator",
        found=f'"{name}", the nearest is "{nearest}"',
        mend=f"choose one of {', '.join(ALLOCATORS)}, or install the package that registers it",
    )


def checked(solve: Allocator, returns: Floats, rules: Rules) -> Floats:
    """Return the weights of an allocator that is not ours, once they are seen to be weights.

    Raises:
        AllocationError: it raised, or returned something else.
    """
    try:
        weights = np.asarray(solve(returns.copy(), rules), dtype=np.float64)
    except (Exception, SystemExit) as error:
        raise AllocationError(
            f'the allocator "{rules.allocator}" failed',
            found=f"{type(error).__name__}: {error}",
            mend="mend the package that registers it, or choose another allocator",
        ) from error
    count = returns.shape[1]
    fits = weights.shape == (count,) and bool(np.isfinite(weights).all() and (weights >= 0.0).all())
    if not fits or (weights.any() and abs(float(weights.sum()) - 1.0) > SUM_TOLERANCE):
        raise AllocationError(
            f'the allocator "{rules.allocator}" returned what are no weights',
            found=np.array2string(weights, threshold=_SHOWN),
            mend=f"it must return {count} finite numbers >= 0 with sum 1, or all 0 for cash",
        )
    return weights
