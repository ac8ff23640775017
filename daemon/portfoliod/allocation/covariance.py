"""Risk estimates: the sample covariance of the returns, or what shrinkage makes of it."""

from __future__ import annotations

from math import sqrt

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.standardise import Standardised
from portfoliod.allocation.unit_rows import unit_rows


def shrinkage(centred: Floats) -> tuple[float, float]:
    """Return how much of the sample covariance S the identity replaces, and the mean variance m: (1 - d) S + d m I.

    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices (2004), section 3.2, with S
    divided by T as there. d = min(b, e) / e, with e the squared distance of S from m I, and b the mean squared
    distance of the days' products x x' from S, divided by T.

    Args:
        centred: N x T returns without their means.
    """
    strategies, days = centred.shape
    products = centred @ centred.T if strategies <= days else centred.T @ centred
    square = float(np.einsum("ij,ij->", products, products)) / days**2
    mean = float(np.einsum("ij,ij->", centred, centred)) / days / strategies
    distance = square - strategies * mean**2
    daily = np.einsum("ij,ij->j", centred, centred)
    spread = (float(daily @ daily) / days - square) / days
    return (min(max(spread / distance, 0.0), 1.0) if distance > 0.0 else 0.0), mean


def ledoit_wolf(standard: Standardised) -> Standardised:
    """Return strategies whose paths have the shrunk covariance: N days more, on each of which one strategy moves."""
    largest = float(standard.risk.max())
    scaled = standard.risk / largest
    centred = scaled[:, None] * standard.paths.dense()
    share, mean = shrinkage(centred)
    own = sqrt(share * mean * centred.shape[1])
    risk = np.sqrt((1.0 - share) * scaled**2 + own**2)
    rows = np.hstack((sqrt(1.0 - share) * centred, own * np.eye(risk.size)))
    return Standardised(unit_rows(rows, risk), standard.slopes * scaled / risk, risk * largest)
