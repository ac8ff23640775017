"""Returns for the allocation tests, and references that share no code with what they check."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from portfoliod.model import History

Floats = NDArray[np.float64]

FIRST_DAY = 738_000
SEEDS = st.integers(0, 2**32 - 1)


def noise(days: int, strategies: int, seed: int, common: float = 0.5) -> Floats:
    """Return days x strategies returns with three common factors and a drift for each strategy."""
    random = np.random.default_rng(seed)
    factors = random.standard_normal((days, 3)) @ random.standard_normal((3, strategies))
    own = random.standard_normal((days, strategies))
    returns: Floats = 0.01 * (own + common * factors) * random.uniform(0.3, 3.0, strategies)
    return returns + 0.001 * random.standard_normal(strategies)


def rising(days: int, strategies: int, seed: int, common: float = 0.5) -> Floats:
    """Return days x strategies returns, each with a positive slope: there is an edge under any cap."""
    returns = noise(days, strategies, seed, common)
    slopes = np.array([np.polyfit(np.arange(days), np.cumsum(column), 1)[0] for column in returns.T])
    wanted: Floats = np.random.default_rng(seed).uniform(0.0002, 0.002, strategies)
    lifted: Floats = returns - slopes + wanted
    return lifted


@st.composite
def ordinary(draw: st.DrawFn, *, most: int = 12) -> Floats:
    """Draw returns without linear dependencies: more days than strategies."""
    strategies = draw(st.integers(1, most))
    return noise(
        draw(st.integers(strategies + 10, 120)), strategies, draw(SEEDS), draw(st.sampled_from([0.0, 0.5, 3.0]))
    )


@st.composite
def degenerate(draw: st.DrawFn) -> Floats:
    """Draw returns as files never should be and sometimes are: copies, mirrors, spikes, few days, extreme scales."""
    days, strategies = draw(st.sampled_from([3, 4, 10, 30, 120])), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(SEEDS))
    returns: Floats = 0.01 * random.standard_normal((days, strategies)) + 0.001 * random.standard_normal(strategies)
    for kind in draw(st.lists(st.sampled_from(sorted(SPOIL)), max_size=3, unique=True)):
        returns = SPOIL[kind](returns, random)
    return returns


def _copy(returns: Floats, random: np.random.Generator) -> Floats:
    one, other = random.integers(0, returns.shape[1], 2)
    returns[:, one] = returns[:, other]
    return returns


def _mirror(returns: Floats, random: np.random.Generator) -> Floats:
    one, other = random.integers(0, returns.shape[1], 2)
    returns[:, one] = -returns[:, other]
    return returns


def _blend(returns: Floats, random: np.random.Generator) -> Floats:
    one, other, third = random.integers(0, returns.shape[1], 3)
    returns[:, one] = 0.5 * returns[:, other] + 0.5 * returns[:, third]
    return returns


def _constant(returns: Floats, random: np.random.Generator) -> Floats:
    returns[:, random.integers(returns.shape[1])] = random.choice([0.0, 0.01, -0.01])
    return returns


def _spike(returns: Floats, random: np.random.Generator) -> Floats:
    one = random.integers(returns.shape[1])
    returns[:, one] = 0.0
    returns[random.integers(returns.shape[0]), one] = random.choice([0.1, -0.5, 3.0])
    return returns


def _scales(returns: Floats, random: np.random.Generator) -> Floats:
    return returns * 10.0 ** random.integers(-5, 2, returns.shape[1])


def _tiny(returns: Floats, _random: np.random.Generator) -> Floats:
    return returns * 1e-200


def _huge(returns: Floats, _random: np.random.Generator) -> Floats:
    return returns * 1e150


def _rounded(returns: Floats, _random: np.random.Generator) -> Floats:
    return np.round(returns, 3)


def _low_rank(returns: Floats, random: np.random.Generator) -> Floats:
    rank = int(random.integers(1, 6))
    days, strategies = returns.shape
    low: Floats = 0.01 * random.standard_normal((days, rank)) @ random.standard_normal((rank, strategies))
    return low


SPOIL = {
    "copy": _copy,
    "mirror": _mirror,
    "blend": _blend,
    "constant": _constant,
    "spike": _spike,
    "scales": _scales,
    "tiny": _tiny,
    "huge": _huge,
    "rounded": _rounded,
    "low_rank": _low_rank,
}


def fitted_score(returns: Floats, weights: Floats) -> float:
    """Return slope/std as the specification words it, with a fitted line."""
    portfolio = returns @ weights
    slope = np.polyfit(np.arange(len(portfolio)), np.cumsum(portfolio), 1)[0]
    return float(slope / np.std(portfolio, ddof=1))


def best_by_enumeration(returns: Floats, max_weight: float = 1.0) -> float:
    """Return the best score over all portfolios, by trying every way to be at zero, at the cap or in between.

    With the strategies at the cap fixed, the ratio over the others without limits is a linear system; the best
    portfolio is the one among these solutions that keeps the limits.
    """
    best = -np.inf
    for weights in _stationary(returns, max_weight):
        if weights.min() >= -1e-9 and weights.max() <= max_weight + 1e-9:
            best = max(best, fitted_score(returns, weights))
    return best


def _stationary(returns: Floats, max_weight: float) -> Iterator[Floats]:
    count = returns.shape[1]
    slopes = np.array([np.polyfit(np.arange(len(column)), np.cumsum(column), 1)[0] for column in returns.T])
    states = (0, 1) if max_weight >= 1.0 else (0, 1, 2)
    for state in product(states, repeat=count):
        free, capped = np.array(state) == 1, np.array(state) == 2
        room = 1.0 - max_weight * capped.sum()
        if not free.any():
            if abs(room) < 1e-12:
                yield np.where(capped, max_weight, 0.0)
            continue
        if room <= 1e-12:
            continue
        portfolios = np.eye(count)[free] + capped * (max_weight / room)
        covariance = np.atleast_2d(np.cov(portfolios @ returns.T))
        amounts = np.linalg.solve(covariance, portfolios @ slopes)
        total = amounts.sum()
        if total > 0.0:
            yield (amounts * room / total) @ portfolios


def histories(returns: Floats, names: list[str] | None = None, first_day: int = FIRST_DAY) -> dict[str, History]:
    """Return each column as the history of a strategy."""
    named = names or [f"s{column:03d}" for column in range(returns.shape[1])]
    days = tuple(range(first_day, first_day + returns.shape[0]))
    return {name: History(days, tuple(column)) for name, column in zip(named, returns.T.tolist(), strict=True)}
