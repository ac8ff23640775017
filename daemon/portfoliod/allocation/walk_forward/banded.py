"""Weighted sums of the returns in each of many windows, by products with banded matrices."""

from __future__ import annotations

import numpy as np

from portfoliod.allocation.arrays import Floats, Indices

_BLOCK = 64
"""Windows of one product: it reads their rows once, and multiplies with few zeros."""


def windowed(values: Floats, ends: Indices, weights: Floats) -> Floats:
    """Return the k x E x P sums of `values` (D x P) with `weights` (k x T) in the windows that end in rows `ends`.

    Args:
        values: a row a day.
        ends: E rows, rising; each is the last of a window of T rows.
        weights: of a window's rows, the oldest first.
    """
    kinds, length = weights.shape
    sums = np.empty((kinds, ends.size, values.shape[1]))
    for start in range(0, ends.size, _BLOCK):
        block = ends[start : start + _BLOCK]
        first = int(block[0]) - length + 1
        band = np.zeros((kinds, block.size, int(block[-1]) - first + 1))
        for row, end in enumerate(block.tolist()):
            band[:, row, end - length + 1 - first : end + 1 - first] = weights
        sums[:, start : start + _BLOCK] = band @ values[first : int(block[-1]) + 1]
    return sums
