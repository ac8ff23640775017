"""Strategies with the same returns get the same weight."""

from __future__ import annotations

import numpy as np

from portfoliod.allocation.arrays import Bools, Floats

_CLOSE = 1e-12


def share_equally(returns: Floats, weights: Floats, key: Floats) -> Floats:
    """Return the weights with each group of identical columns sharing its sum equally: the same portfolio.

    Args:
        returns: T x N.
        weights: N.
        key: N finite numbers that are equal to within rounding for identical columns: columns with different
            ones are not compared.
    """
    if not _close(np.sort(key)).any():
        return weights
    order = np.argsort(key, kind="stable")
    close = _close(key[order])
    shared = weights.copy()
    runs = np.split(order, np.flatnonzero(~close) + 1)
    for run in runs:
        for group in _identical(returns, run.tolist()):
            shared[group] = weights[group].sum() / len(group)
    return shared


def _close(ranked: Floats) -> Bools:
    """Return which of the sorted numbers are equal, but for rounding, to the one before: one less than there are."""
    close: Bools = ranked[1:] - ranked[:-1] <= _CLOSE * (1.0 + np.abs(ranked[1:]))
    return close


def _identical(returns: Floats, columns: list[int]) -> list[list[int]]:
    if len(columns) == 1:
        return []
    groups: dict[bytes, list[int]] = {}
    for column in sorted(columns):
        content = (returns[:, column] + 0.0).tobytes()  # turns -0.0, which equals 0.0, into it
        groups.setdefault(content, []).append(column)
    return [group for group in groups.values() if len(group) > 1]
