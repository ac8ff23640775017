"""How far a portfolio can be from the best slope/std ratio: a bound from the KKT conditions.

Let u be a path and h = Zu. If kappa h'y >= q'y for every allowed portfolio y, then by Cauchy-Schwarz
q'y <= kappa u'(y'Z) <= kappa |u| |y'Z|: no ratio exceeds kappa |u|. With u the optimum's own path, at the length at
which h = q on its support, kappa is 1 and the bound meets the ratio. Any path gives a valid bound, so rounding in the
weights cannot make it too optimistic. What rounding can explain of h and of q is granted to each (`product_rounding`,
`slope_rounding`): where the parts of a mix almost cancel, the bound is no sharper than they are.

Where a difference of almost equal strategies stands in the way of such a kappa, what is missing of it is charged at the
smallest risk that counts (`RISKLESS`): the bound is then large, but still one.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.nonnegative import RISKLESS, product_rounding, slope_rounding

_NOISE = 4.0 * float(np.finfo(np.float64).eps)
"""What rounding in kappa itself leaves, as a share of |u|."""


def certified_gap(slopes: Floats, products: Floats, path: Floats, values: Floats, ratio: float) -> float:
    """Return by what share the best ratio over x >= 0 can exceed `ratio`.

    Args:
        slopes: q, N.
        products: h, N, known to within rounding, which the bound grants it.
        path: u, T.
        values: the multiples of unit rows that the path is the sum of.
        ratio: the portfolio's own, positive.
    """
    norm = sqrt(path @ path)
    granted = products + product_rounding(path, values)
    slopes = slopes - slope_rounding(path.size)
    rising = slopes > 0.0
    offered = granted[rising]
    kappa = float((slopes[rising] / offered).max()) if offered.size and offered.min() > 0.0 else 1.0
    missing = float((slopes - kappa * granted).max())
    bound = kappa * norm
    if missing > _NOISE * norm:
        bound = min(bound + missing / RISKLESS, norm + float((slopes - granted).max()) / RISKLESS)
    return max(bound / ratio - 1.0, 0.0)
