"""Rows of unit norm, scaled where they are read: most searches look at few of them, and else at their products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portfoliod.allocation.arrays import Floats, Indices


@dataclass(frozen=True)
class UnitRows:
    """N x T rows (raw - means) / norms."""

    raw: Floats
    """N x T."""
    means: Floats
    """N: none larger than the standard deviation of its row, so that taking them away loses no digits."""
    norms: Floats
    """N."""

    def dense(self) -> Floats:
        """Return all of them, N x T."""
        rows = self.raw - self.means[:, None]
        rows /= self.norms[:, None]
        return rows

    def chosen(self, rows: Indices) -> UnitRows:
        """Return some of them."""
        return UnitRows(self.raw[rows], self.means[rows], self.norms[rows])

    def products(self, path: Floats) -> Floats:
        """Return the N products of the rows with a path of T numbers."""
        found: Floats = self.raw @ path
        found -= self.means * path.sum()
        found /= self.norms
        return found

    def gram(self) -> Floats:
        """Return the products of all pairs, N x N."""
        found: Floats = self.raw @ self.raw.T
        found -= (self.raw.shape[1] * self.means)[:, None] * self.means
        found /= self.norms
        found /= self.norms[:, None]
        return found

    def mixed(self, values: Floats, rows: Indices) -> Floats:
        """Return k values times the k rows with these numbers, summed: T. With m x k values: m such sums, m x T."""
        multiples = values / self.norms[rows]
        path: Floats = multiples @ self.raw[rows]
        path -= (multiples @ self.means[rows])[..., None]
        return path


def unit_rows(rows: Floats, norms: Floats) -> UnitRows:
    """Return rows (N x T) with these N norms as rows of unit norm, zero where a norm is infinite; their means stay."""
    return UnitRows(rows / norms[:, None], np.zeros(norms.size), np.ones(norms.size))
