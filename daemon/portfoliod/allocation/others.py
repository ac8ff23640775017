"""The allocators that look for balance instead of an optimum.

Each takes T x N simple daily returns, none of them dead, and returns N weights with sum 1 before any cap.
"""

from __future__ import annotations

import numpy as np

from portfoliod.allocation.arrays import Floats, Indices
from portfoliod.allocation.identical import share_equally
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.standardise import Standardised, standardise


def equal(returns: Floats, _rules: Rules) -> Floats:
    """Return the same weight for every strategy."""
    return np.full(returns.shape[1], 1.0 / returns.shape[1])


def inverse_vol(returns: Floats, _rules: Rules) -> Floats:
    """Return weights in inverse proportion to volatility."""
    standard = standardise(returns)
    calm = standard.risk.min() / standard.risk
    return share_equally(returns, calm / calm.sum(), standard.slopes)


def hrp(returns: Floats, _rules: Rules) -> Floats:
    """Return hierarchical risk parity weights: like strategies share first, unlike groups then by inverse variance.

    Lopez de Prado, Building Diversified Portfolios that Outperform Out of Sample (2016): single linkage on the
    distance sqrt((1 - correlation) / 2), the order of the tree's leaves, and bisection of that order.
    """
    standard = standardise(returns)
    weights = np.ones(returns.shape[1])
    groups = [_leaf_order(standard)]
    while groups:
        group = groups.pop()
        if group.size == 1:
            continue
        left, right = group[: group.size // 2], group[group.size // 2 :]
        left_variance, right_variance = _variance(standard, left), _variance(standard, right)
        share = right_variance / (left_variance + right_variance) if left_variance + right_variance > 0.0 else 0.5
        weights[left] *= share
        weights[right] *= 1.0 - share
        groups += [left, right]
    return share_equally(returns, weights / weights.sum(), standard.slopes)


def _leaf_order(standard: Standardised) -> Indices:
    count = standard.slopes.size
    if count == 1:
        return np.zeros(1, dtype=np.intp)
    from scipy.cluster.hierarchy import leaves_list, linkage

    correlation = standard.paths.gram()
    upper = correlation[np.triu_indices(count, 1)]
    distance = np.sqrt(np.clip((1.0 - upper) / 2.0, 0.0, 1.0))
    return leaves_list(linkage(distance, method="single")).astype(np.intp)


def _variance(standard: Standardised, group: Indices) -> float:
    """Return the variance, up to a common factor, of a group in which weights are inverse to the variances."""
    risk = standard.risk[group] / standard.risk.max()
    weights = (risk.min() / risk) ** 2
    path = standard.paths.mixed(weights / weights.sum() * risk, group)
    return float(path @ path)
