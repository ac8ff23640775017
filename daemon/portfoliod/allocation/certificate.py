"""How far a portfolio can be from the best slope/std ratio: a bound from the KKT conditions.

Let z = x'Z be a portfolio's path and h = Zz. If kappa h'y >= q'y for every allowed portfolio y, then, by Cauchy-Schwarz,
q'y <= kappa z'(y'Z) <= kappa |z| |y'Z|: no ratio exceeds kappa |z|. At the optimum the smallest such kappa meets the
ratio itself. Any path z gives a valid bound, so rounding in the weights cannot make it too optimistic.
"""

from __future__ import annotations

from math import inf, sqrt

import numpy as np

from portfoliod.allocation.arrays import Floats

_ROUNDING = 8.0 * float(np.finfo(np.float64).eps)


def certified_gap(slopes: Floats, products: Floats, norm: float, reached: float, days: int) -> float:
    """Return by what share the best ratio over x >= 0 can exceed `reached`; infinite when nothing is proven.

    Args:
        slopes: q, N.
        products: h, N, known to within rounding, which the bound grants it.
        norm: |z|.
        reached: the portfolio's own ratio, positive.
        days: T.
    """
    granted = products + rounding(norm, days)
    rising = slopes > 0.0
    if granted[rising].min() <= 0.0:
        return inf
    kappa = float((slopes[rising] / granted[rising]).max())
    if (kappa * granted < slopes).any(where=~rising):
        return inf
    return max(kappa * norm / reached - 1.0, 0.0)


def rounding(norm: float, days: int) -> float:
    """Return how far the product of a unit row and a path of this norm may be off by rounding."""
    return _ROUNDING * sqrt(days) * norm
