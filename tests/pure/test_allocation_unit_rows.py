"""Rows that are not written out have the products of those that are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from portfoliod.allocation.standardise import standardise
from tests.pure.allocation_data import SEEDS, noise


@given(SEEDS)
def test_products_sums_and_choices_are_those_of_the_rows_themselves(seed: int) -> None:
    random = np.random.default_rng(seed)
    returns = noise(40, int(random.integers(1, 9)), seed)
    paths = standardise(returns).paths
    centred = returns.T - returns.T.mean(axis=1, keepdims=True)
    rows = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    some = random.permutation(len(rows))[: int(random.integers(1, len(rows) + 1))]
    values, path = random.standard_normal((3, some.size)), random.standard_normal(40)
    assert paths.dense() == pytest.approx(rows, abs=1e-14)
    assert paths.gram() == pytest.approx(rows @ rows.T, abs=1e-13)
    assert paths.products(path) == pytest.approx(rows @ path, abs=1e-13)
    assert paths.chosen(some).dense() == pytest.approx(rows[some], abs=1e-14)
    assert paths.mixed(values[0], some) == pytest.approx(values[0] @ rows[some], abs=1e-13)
    assert paths.mixed(values, some) == pytest.approx(values @ rows[some], abs=1e-13)


def test_means_that_dwarf_the_risk_cost_no_digits() -> None:
    returns = noise(40, 3, 1)
    assert standardise(returns + 1e6).paths.gram() == pytest.approx(standardise(returns).paths.gram(), abs=1e-6)
    assert np.diag(standardise(returns + 1e6).paths.gram()) == pytest.approx(np.ones(3), abs=1e-14)
