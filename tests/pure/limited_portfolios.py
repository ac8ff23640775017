"""Portfolios under random limits, and by how much a direction within them would improve one: by linear programs."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import linprog

from portfoliod.allocation import Group, Rules, Weighed, Window, weigh
from tests.pure.allocation_data import Floats, rising


class Case(NamedTuple):
    """Returns, rules that some portfolio keeps, and weights in force."""

    returns: Floats
    names: tuple[str, ...]
    rules: Rules
    held: Floats


def case(seed: int, most: int = 25, **choices: object) -> Case:
    """Return random limits around a random portfolio, so that one keeps them all."""
    random = np.random.default_rng(seed)
    count = int(random.integers(2, most + 1))
    names = tuple(f"{'ab'[number % 2]}{number:03d}" for number in range(count))
    inside = random.dirichlet(np.ones(count))
    bounds = {
        name: (float(random.choice([0.0, share / 2])), float(min(1.0, share * random.choice([1.5, 4.0]) + 0.02)))
        for name, share in zip(names, inside, strict=True)
        if random.random() < 0.4
    }
    groups = {}
    for label, pattern in (("a", "a*"), ("b", "b*"), ("last", "*[02468]")):
        total = sum(share for name, share in zip(names, inside, strict=True) if fnmatchcase(name, pattern))
        if random.random() < 0.4:
            groups[label] = Group(
                (pattern,), min(1.0, float(total) * 1.1 + 1e-3), float(random.choice([0.0, total / 2]))
            )
    cap = float(min(1.0, max(inside.max() * 1.2, random.choice([1.0, 0.4]))))
    rules = Rules(bounds=bounds, groups=groups, max_weight=cap, **choices)  # type: ignore[arg-type]
    returns = rising(count + 20, count, seed, float(random.choice([0.0, 0.5, 2.0])))
    return Case(returns, names, rules, random.dirichlet(np.ones(count)))


def weighed(given: Case, *, held: bool = False) -> Weighed:
    previous = dict(zip(given.names, given.held.tolist(), strict=True)) if held else None
    return weigh(Window(given.names, 0, given.returns, {}), given.rules, previous)


def allowed(given: Case) -> tuple[Floats, Floats, list[tuple[float, float]]]:
    """Return the limits as a linear program takes them: rows @ w <= sides, and bounds."""
    rows, sides = [np.zeros(len(given.names))], [0.0]
    for group in given.rules.groups.values():
        row = np.array([float(fnmatchcase(name, group.members[0])) for name in given.names])
        rows += [row, -row]
        sides += [group.max, -group.min]
    bounds = [given.rules.bounds.get(name, (0.0, 1.0)) for name in given.names]
    return np.array(rows), np.array(sides), [(low, min(high, given.rules.max_weight)) for low, high in bounds]


def best_gain(given: Case, gradient: Floats, cost: float = 0.0) -> float:
    """Return the most that gradient @ w - cost * sum |w - held| reaches within the limits."""
    rows, sides, bounds = allowed(given)
    count = len(given.names)
    # w, and the two parts of w - held = bought - sold
    program = linprog(
        np.concatenate((-gradient, np.full(2 * count, cost))),
        A_ub=np.hstack((rows, np.zeros((len(rows), 2 * count)))),
        b_ub=sides,
        A_eq=np.vstack(
            (
                np.concatenate((np.ones(count), np.zeros(2 * count))),
                np.hstack((np.eye(count), -np.eye(count), np.eye(count))),
            )
        ),
        b_eq=np.concatenate(([1.0], given.held)),
        bounds=[*bounds, *[(0.0, None)] * (2 * count)],
    )
    assert program.fun is not None
    return -float(program.fun)


def slope_days(days: int) -> Floats:
    """Return the weights c with slope(cumsum(r)) = c @ r, by fitting lines."""
    triangle = np.tril(np.ones((days, days)))
    slopes: Floats = np.polyfit(np.arange(days), triangle, 1)[0]
    return slopes


def shrunk(returns: Floats) -> Floats:
    """Return the Ledoit-Wolf covariance (ddof 1 in place of T), as scikit-learn's documentation writes it."""
    centred = returns - returns.mean(axis=0)
    days, count = centred.shape
    sample = centred.T @ centred / days
    mean = np.trace(sample) / count
    distance = ((sample - mean * np.eye(count)) ** 2).sum() / count
    spread = sum(((np.outer(day, day) - sample) ** 2).sum() for day in centred) / count / days**2
    share = min(spread, distance) / distance
    estimate: Floats = ((1.0 - share) * sample + share * mean * np.eye(count)) * days / (days - 1)
    return estimate


def kept(given: Case, weights: Floats) -> None:
    rows, sides, bounds = allowed(given)
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert (rows @ weights <= sides + 1e-9).all()
    assert all(low - 1e-9 <= weight <= high + 1e-9 for weight, (low, high) in zip(weights, bounds, strict=True))


def covariance_of(given: Case) -> Floats:
    if given.rules.covariance == "sample":
        return np.atleast_2d(np.cov(given.returns.T))
    return shrunk(given.returns)


def ascent(given: Case, weights: Floats) -> float:
    """Return the most that a direction within the limits improves the ratio, as a share of it.

    A ratio of a concave and a convex function has no other maxima than those without an ascent.
    """
    rules, held = given.rules, given.held
    days, portfolio = slope_days(len(given.returns)), given.returns @ weights
    fee = rules.turnover_cost * 1e-4 / rules.turnover_days
    risk = covariance_of(given) @ weights
    std = np.sqrt(weights @ risk)
    if rules.objective == "log_equity":
        slope = np.polyfit(np.arange(portfolio.size), np.log(np.cumprod(1.0 + portfolio)), 1)[0]
        gradient = (days / (1.0 + portfolio)) @ given.returns
    else:
        slope, gradient = days @ portfolio, days @ given.returns
    ratio = (slope - fee * np.abs(weights - held).sum()) / std
    here = gradient @ weights - slope
    return float((best_gain(given, gradient - ratio * risk / std, fee) - here) / (ratio * std))
