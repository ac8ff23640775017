"""What the certificates claim holds for any path, not only for the optimum's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from portfoliod.allocation.allowed import Allowed, Problem
from portfoliod.allocation.capped import _bound
from portfoliod.allocation.certificate import certified_gap
from portfoliod.allocation.nonnegative import nonnegative
from portfoliod.allocation.unit_rows import UnitRows, unit_rows
from tests.pure.allocation_data import SEEDS, Floats

SCALES = st.sampled_from([1e-40, 1e-12, 1e-3, 1.0, 1e3, 1e12])


class Drawn:
    """Rows of unit norm, slopes, and a path that has to do with the optimum, or nothing."""

    def __init__(self, seed: int, scale: float, share: float) -> None:
        random = np.random.default_rng(seed)
        count, days = int(random.integers(2, 9)), int(random.integers(10, 60))
        rows = random.standard_normal((count, days))
        rows -= rows.mean(axis=1)[:, None]
        self.rows: Floats = rows / np.linalg.norm(rows, axis=1)[:, None]
        self.slopes: Floats = random.uniform(-0.05, 0.2, count)
        self.slopes[0] = 0.1
        self.paths: UnitRows = unit_rows(self.rows, np.ones(count))
        self.optimum = nonnegative(self.paths, self.slopes)
        self.values = np.abs(random.standard_normal(count)) * scale
        self.path: Floats = share * scale * self.optimum.path + (1.0 - share) * (self.values @ self.rows)

    def best(self) -> float:
        """Return the best ratio, from the distance of (Z; q) to a mix: |Z'x|^2 + (1 - q'x)^2 is least at it."""
        system = np.vstack((self.rows.T, self.slopes))
        mix = nnls(system, np.append(np.zeros(self.rows.shape[1]), 1.0))[0]
        return float(self.slopes @ mix / np.linalg.norm(mix @ self.rows))


@settings(max_examples=60, deadline=None)
@given(SEEDS, SCALES, st.sampled_from([0.0, 0.5, 1.0]))
def test_no_path_makes_the_bound_too_small(seed: int, scale: float, share: float) -> None:
    drawn = Drawn(seed, scale, share)
    best = drawn.best()
    for ratio in (best, best / 3.0):
        gap = certified_gap(drawn.slopes, drawn.paths.products(drawn.path), drawn.path, drawn.values, ratio)
        assert ratio * (1.0 + gap) >= best * (1.0 - 1e-11)


@settings(max_examples=60, deadline=None)
@given(SEEDS, SCALES, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.1]))
def test_no_path_and_no_price_make_the_bound_under_caps_too_small(
    seed: int, scale: float, share: float, price: float
) -> None:
    drawn = Drawn(seed, scale, share)
    count = drawn.slopes.size
    members = np.zeros((1, count))
    members[0, : count // 2] = 1.0
    allowed = Allowed(np.ones(count), members, np.ones(1))
    problem = Problem(drawn.paths, drawn.slopes, np.ones(count), allowed, nonnegative)
    products = drawn.paths.products(drawn.path)
    bound = _bound(problem, products, drawn.path, drawn.values, np.array([price]))
    assert bound >= drawn.best() * (1.0 - 1e-11)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_the_optimums_own_path_proves_it(seed: int) -> None:
    drawn = Drawn(seed, 1.0, 1.0)
    mix, path = drawn.optimum
    ratio = float(mix.values @ drawn.slopes[mix.support]) / float(np.linalg.norm(path))
    assert ratio == pytest.approx(drawn.best(), rel=1e-9)
    assert certified_gap(drawn.slopes, drawn.paths.products(path), path, mix.values, ratio) <= 1e-12
