"""How far a portfolio can be from the best slope/std ratio: a bound from the KKT conditions.

Let z = x'Z be a portfolio's path and h = Zz. If kappa h'y >= q'y for every allowed portfolio y, then by Cauchy-Schwarz
q'y <= kappa z'(y'Z) <= kappa |z| |y'Z|: no ratio exceeds kappa |z|. Scaled to |z| = its own ratio, as it is at the
optimum, the portfolio misses by at most kappa - 1. Any path z gives a valid bound, so rounding in the weights cannot
make it too optimistic.

Where a difference of almost equal strategies stands in the way of such a kappa, what is missing of it is charged at the
smallest risk that counts (`RISKLESS`): the bound is then large, but still one.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.nonnegative import RISKLESS

_ROUNDING = 8.0 * float(np.finfo(np.float64).eps)


def certified_gap(slopes: Floats, products: Floats, ratio: float, days: int) -> float:
    """Return by what share the best ratio over x >= 0 can exceed `ratio`.

    Args:
        slopes: q, N.
        products: h, N, of the path with |z| = ratio; known to within rounding, which the bound grants it.
        ratio: the portfolio's own, positive.
        days: T.
    """
    granted = products + rounding(ratio, days)
    rising = slopes > 0.0
    gaps = [_charged(slopes, granted, 1.0, ratio)]
    if granted[rising].min() > 0.0:
        gaps.append(_charged(slopes, granted, max(float((slopes[rising] / granted[rising]).max()), 1.0), ratio))
    return min(gaps)


def _charged(slopes: Floats, products: Floats, kappa: float, ratio: float) -> float:
    missing = float((slopes - kappa * products).max())
    if missing <= _ROUNDING * ratio:
        missing = 0.0
    return kappa - 1.0 + missing / (RISKLESS * ratio)


def rounding(norm: float, days: int) -> float:
    """Return how far the product of a unit row and a path of this norm may be off by rounding."""
    return _ROUNDING * sqrt(days) * norm
