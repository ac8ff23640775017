"""Rows of unit norm that are never written out: most searches look at few of them, and then at their products."""

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
    """N; infinite where a row is zero."""

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
        """Return the sum of k values times the rows with these numbers: T."""
        multiples = values / self.norms[rows]
        path: Floats = multiples @ self.raw[rows]
        path -= multiples @ self.means[rows]
        return path


def unit_rows(rows: Floats, norms: Floats) -> UnitRows:
    """Return rows (N x T) that are centred, or whose means count, and have these N norms, as rows of unit norm."""
    return UnitRows(rows, np.zeros(norms.size), norms)
