"""Weights cut to the cap, and as they are written: six places that still add up."""

from __future__ import annotations

import numpy as np

from portfoliod.allocation.arrays import Floats

_UNITS = 1_000_000

_DUST = 1e-12
"""Strategies with less than this together have no proportion to keep: they share equally."""


def to_six_places(weights: Floats) -> Floats:
    """Return the weights in millionths that keep the sum of all to within half a millionth (largest remainder).

    What is left after rounding down goes to the largest remainders, one millionth each; ties go to the first.
    """
    exact = weights * _UNITS
    units = np.floor(exact)
    missing = round(float(exact.sum())) - int(units.sum())
    order = np.argsort(units - exact, kind="stable")
    units[order[:missing]] += 1.0
    written: Floats = units / _UNITS
    return written


def water_fill(weights: Floats, max_weight: float) -> Floats:
    """Return the weights cut to `max_weight`, what is cut shared by the others in proportion; sum 1 where it fits."""
    count = weights.size
    if count * max_weight <= 1.0:
        return np.full(count, max_weight)
    weights = weights / weights.sum()
    filled = weights
    full = np.zeros(count, dtype=bool)
    while (filled > max_weight * (1.0 + 1e-12)).any():
        full |= filled >= max_weight
        left = 1.0 - max_weight * np.count_nonzero(full)
        open_sum = float(weights[~full].sum())
        filled = weights * (left / open_sum) if open_sum > _DUST else np.full(count, left / np.count_nonzero(~full))
        filled[full] = max_weight
    return filled
