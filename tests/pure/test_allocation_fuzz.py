"""Twenty thousand windows that no file should hold: a proven optimum, cash, or a reason; never a wrong number."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from portfoliod.allocation import Group, Optimum, Rules, Window, optimum, score, weigh
from portfoliod.errors import AllocationError
from tests.pure.allocation_data import SPOIL, Floats, noise, rising

pytestmark = pytest.mark.slow

PARTS = 8
WINDOWS = 20_000 // PARTS
WIDE = 800 // PARTS
UNDER_RULES = 800 // PARTS
PROVEN = 1e-8


def spoilt(random: np.random.Generator, least: int = 1, most: int = 15) -> Floats:
    days, strategies = int(random.integers(3, 60)), int(random.integers(least, most + 1))
    returns: Floats = 0.01 * random.standard_normal((days, strategies)) + 0.001 * random.standard_normal(strategies)
    for kind in random.choice(sorted(SPOIL), random.integers(1, 4), replace=False):
        returns = SPOIL[kind](returns, random)
    return returns


def checked(returns: Floats, cap: float, best: Optimum) -> None:
    assert np.isfinite(best.weights).all()
    assert best.weights.min() >= 0.0
    assert best.weights.max() <= cap + 1e-12
    if best.weights.any():
        alive = np.count_nonzero(np.ptp(returns, axis=0) > 0.0)
        assert abs(best.weights.sum() - min(1.0, cap * alive)) <= 1e-9
        assert best.score > 0.0
        assert abs(score(returns, best.weights) / best.score - 1.0) <= 1e-5
    else:
        assert (best.score, best.gap) == (0.0, 0.0)


@pytest.mark.parametrize("part", range(PARTS))
def test_spoilt_windows_have_a_proven_optimum_or_none(part: int) -> None:
    random = np.random.default_rng(part)
    kinds: Counter[str] = Counter()
    for _ in range(WINDOWS):
        returns, cap = spoilt(random), float(random.choice([1.0, 1.0, 0.5, 0.3]))
        try:
            best = optimum(returns, cap)
        except AllocationError as error:
            kinds["refused" if error.found and error.mend else "silent"] += 1
            continue
        checked(returns, cap, best)
        assert best.gap <= PROVEN
        kinds["weighed"] += 1
    assert kinds["refused"] <= 0.06 * WINDOWS
    assert not kinds["silent"]


@pytest.mark.parametrize("part", range(PARTS))
def test_spoilt_windows_of_many_strategies_have_a_proven_optimum_or_none(part: int) -> None:
    random = np.random.default_rng(200 + part)
    weighed = 0
    for _ in range(WIDE):
        returns = spoilt(random, 41, 130)
        try:
            best = optimum(returns)
        except AllocationError:
            continue
        checked(returns, 1.0, best)
        assert best.gap <= PROVEN
        weighed += 1
    assert weighed >= WIDE // 5  # the others have more strategies than days, and mixes without risk


def ruled(random: np.random.Generator, names: tuple[str, ...]) -> Rules:
    count = len(names)
    bounds = {
        name: (float(random.choice([0.0, 0.3 / count])), float(random.choice([1.0, 0.4, max(2.0 / count, 0.1)])))
        for name in names
        if random.random() < 0.3
    }
    groups = {
        label: Group(members, float(random.choice([0.3, 0.6, 0.8])), float(random.choice([0.0, 0.0, 0.2])))
        for label, members in {"a": ("a*",), "b": ("b*",), "both": ("a*1", "b*0")}.items()
        if random.random() < 0.4
    }
    return Rules(
        bounds=bounds,
        groups=groups,
        max_weight=float(random.choice([1.0, 0.5])),
        turnover_cost=float(random.choice([0.0, 5.0])),
        covariance=str(random.choice(["sample", "ledoit_wolf"])),
        objective=str(random.choice(["cumsum", "log_equity"])),
        allocator=str(random.choice(["slope_std", "slope_std", "min_variance", "hrp"])),
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_under_every_rule_weights_are_proven_or_refused(part: int) -> None:
    random = np.random.default_rng(100 + part)
    for number in range(UNDER_RULES):
        ordinary = (rising if number % 2 else noise)(40, int(random.integers(2, 16)), int(random.integers(1 << 30)))
        returns = spoilt(random) if number % 4 == 0 else ordinary
        names = tuple(f"{'ab'[column % 2]}{column:03d}" for column in range(returns.shape[1]))
        held = dict(zip(names, random.dirichlet(np.ones(len(names))).tolist(), strict=True))
        rules = ruled(random, names)
        try:
            weights, gap, _ = weigh(Window(names, 0, returns, {}), rules, held)
        except AllocationError:
            continue
        assert gap <= PROVEN
        if weights.any() and rules.max_weight * len(names) >= 1.0:
            assert abs(weights.sum() - 1.0) <= 1e-7
            assert weights.max() <= rules.max_weight + 1e-7
