"""The mix with the best ratio among the allowed ones (`allowed`).

Every allowed mix is a non-negative mix of corners of the allowed set. So this is again the problem of `nonnegative`,
with portfolios in the place of strategies. The corner with the steepest gain joins the mix until none improves it. That
makes the search exact. What makes it short: a guess at which limits bind (`pivoting`, and with groups their prices) is
mostly right, and then proven at once; else the best mix with the same members at their limits takes over when it is
better (`face`).
"""

from __future__ import annotations

from math import inf, sqrt
from operator import attrgetter, itemgetter
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.allowed import Allowed, Problem, fill
from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.candidate import ENOUGH, Candidate, Riskless, ratio_of
from portfoliod.allocation.face import Face, best_on_face, stationary
from portfoliod.allocation.nonnegative import NOTHING, RISKLESS, Mix, product_rounding, slope_rounding
from portfoliod.allocation.pivoting import MANY, likely_face
from portfoliod.allocation.unit_rows import unit_rows

_ROUNDS = 300
_PROVEN = 1e-13
_PATIENCE = 20
_JOIN = 24
_PRICE_STEPS = 30
_UNCLEAR = 1e-3
"""With a larger gap a mix does not tell which limits bind."""
_gap = attrgetter("gap")


class Appraisal(NamedTuple):
    """How good an allowed mix is."""

    weights: Floats
    """M, sum 1."""
    ratio: float
    gap: float
    """Upper bound on (best ratio - ratio) / ratio."""
    pull: Floats
    """M: the gradient with respect to the shares; it is 0 along the mix itself."""
    prices: Floats
    """K: what the groups' ceilings cost, >= 0."""


def has_edge(problem: Problem, edge: float) -> bool:
    """Return whether an allowed mix has a positive gain: then the one with the largest gain does."""
    steepest = problem.allowed.corner(problem.gains)
    return bool(steepest @ problem.gains > edge * (steepest @ problem.risk))


def best_allowed_mix(problem: Problem) -> Candidate:
    """Return the allowed mix with the largest ratio (`mix` times its risk), and what is proven of it.

    Some allowed mix must have a positive gain.

    Raises:
        Riskless: the ratio has no bound.
    """
    allowed = problem.allowed
    first = _by_prices(problem) if allowed.ceilings.size else _by_pivoting(problem)
    if first is None:
        weights, path, portfolios = _mix(problem, allowed.corner(problem.gains)[None, :])
        now = best = _appraise(problem, weights, path)
    else:
        now = best = first
        portfolios = first.weights[None, :]
    idle = 0
    for _ in range(_ROUNDS):
        if best.gap <= _PROVEN or idle > _PATIENCE:
            break
        refit = best_on_face(problem, _face(problem, now))
        fitted = now if refit is None else _appraise(problem, *refit)
        reached = min(best, now, fitted, key=_gap)
        if fitted.ratio > now.ratio or (fitted.gap < now.gap and fitted.ratio > now.ratio * (1.0 - ENOUGH)):
            now, portfolios = fitted, fitted.weights[None, :]
        else:
            before = now.ratio
            weights, path, portfolios = _mix(problem, np.vstack((portfolios, allowed.corner(now.pull))))
            now = _appraise(problem, weights, path)
            reached = min(reached, now, key=_gap)
            idle = 0 if reached.gap < best.gap or now.ratio > before * (1.0 + _PROVEN) else idle + 1
        best = reached
    held = np.flatnonzero(best.weights)
    return Candidate(Mix(held, best.weights[held] * problem.risk[held]), best.ratio, best.gap)


def _appraise(problem: Problem, weights: Floats, path: Floats) -> Appraisal:
    """Return how good the mix is and where it should move, seen from `path`, which is its own or more exact."""
    held = np.flatnonzero(weights)
    slopes = problem.gains / problem.risk
    values = weights[held] * problem.risk[held]
    ratio = ratio_of(problem.paths, slopes, Mix(held, values))
    values *= sqrt(path @ path) * ratio / float(weights @ problem.gains)  # the multiples that make up the path
    products = problem.paths.products(path)
    pull = problem.gains - problem.risk * products
    prices = _prices(problem.allowed, weights, pull)
    bound = _bound(problem, products, path, values, prices)
    if prices.size and bound > ratio * (1.0 + _PROVEN):
        others = problem.allowed.priced_corner(pull)[1]
        other = _bound(problem, products, path, values, others)
        bound, prices = min((bound, prices), (other, others), key=itemgetter(0))
    return Appraisal(weights, ratio, max(bound / ratio - 1.0, 0.0), pull, prices)


def _prices(allowed: Allowed, weights: Floats, pull: Floats) -> Floats:
    """Return the groups' multipliers: at the optimum they and a constant explain the pull of all partial shares."""
    prices = np.zeros(allowed.ceilings.size)
    if not prices.size:
        return prices
    tight = allowed.tight(weights)
    partial = (weights > 0.0) & (weights < allowed.caps * (1.0 - 1e-9))
    while tight.size and partial.any():
        system = np.column_stack((np.ones(np.count_nonzero(partial)), allowed.members[tight][:, partial].T))
        found = np.linalg.lstsq(system, pull[partial])[0][1:]
        if found.min() >= 0.0:
            prices[tight] = found
            break
        tight = np.delete(tight, found.argmin())
    return prices


def _bound(problem: Problem, products: Floats, path: Floats, values: Floats, prices: Floats) -> float:
    """Return what no allowed mix's ratio exceeds (see `certificate`).

    The smallest kappa with kappa h'y >= q'y for every mix y under the caps is found by Dinkelbach's method: y is the
    corner that violates it most, and kappa the smallest that it accepts. Groups are relaxed at their prices: for every
    allowed y, prices'(ceilings - members y) >= 0 is added to what it gains.
    """
    allowed, risk = problem.allowed, problem.risk
    gains = _relaxed(problem, prices) - risk * slope_rounding(path.size)
    norm = sqrt(path @ path)
    costs = risk * (products + product_rounding(path, values))
    kappa = 0.0
    while True:
        worst = fill(gains - kappa * costs, allowed.caps)
        gain, cost = float(gains @ worst), float(costs @ worst)
        if cost <= 0.0 < gain - kappa * cost:
            kappa = max(kappa, 1.0)
            missing = gains - kappa * costs
            least = float(fill(-risk, allowed.caps) @ risk)
            return kappa * norm + max(float(fill(missing, allowed.caps) @ missing), 0.0) / (RISKLESS * least)
        if gain <= kappa * cost or gain / cost <= kappa:
            return kappa * norm
        kappa = gain / cost


def _relaxed(problem: Problem, prices: Floats) -> Floats:
    """Return what members gain when ceilings may be broken at these prices, and room under them is paid for."""
    if not prices.any():
        return problem.gains
    allowed = problem.allowed
    gains: Floats = problem.gains + (float(prices @ allowed.ceilings) - prices @ allowed.members)
    return gains


def _by_prices(problem: Problem) -> Appraisal | None:
    """Return the optimum within the groups' ceilings if it is found by way of their prices.

    The best ratio under the caps alone is never below that within the ceilings, is convex in the prices, and at the
    right ones equal to it. The face that it is on gives the next prices (Newton's method); where they turn out to be
    too high, half the way. Mostly that ends after few steps, and sometimes not at all.
    """
    allowed = problem.allowed
    only_caps = Allowed(allowed.caps, allowed.members[:0], allowed.ceilings[:0])
    prices = lowest_prices = np.zeros(allowed.ceilings.size)
    lowest = inf
    best: Appraisal | None = None
    for _ in range(_PRICE_STEPS):
        try:
            found = best_allowed_mix(problem._replace(gains=_relaxed(problem, prices), allowed=only_caps))
        except Riskless:
            return best
        if found.ratio > lowest:
            prices = (prices + lowest_prices) / 2.0
            continue
        if found.gap > _UNCLEAR:
            return best
        lowest, lowest_prices = found.ratio, prices
        mix = np.zeros(allowed.caps.size)
        mix[found.mix.support] = found.mix.values / problem.risk[found.mix.support]
        mix /= mix.sum()
        full = mix >= allowed.caps * (1.0 - 1e-9)
        tight = np.flatnonzero((allowed.members @ mix >= allowed.ceilings - 1e-9) | (prices > 0.0))
        solved = stationary(problem, Face(full, np.flatnonzero((mix > 0.0) & ~full), tight))
        if solved is None:
            return best
        weights, path, found_prices = solved
        if allowed.keeps(weights):
            weights = np.clip(weights, 0.0, allowed.caps)
            weights /= weights.sum()
            now = _appraise(problem, weights, path)
            best = now if best is None or now.gap < best.gap else best
            if best.gap <= _PROVEN:
                return best
        prices = np.zeros(prices.size)
        prices[tight] = np.maximum(found_prices, 0.0)
    return best


def _by_pivoting(problem: Problem) -> Appraisal | None:
    """Return the optimum under the caps if a quick guess finds its face, None where it is not proven to be one."""
    if problem.gains.size > MANY:
        return None
    face = likely_face(problem)
    refit = None if face is None else best_on_face(problem, face)
    if refit is None:
        return None
    found = _appraise(problem, *refit)
    return found if found.gap <= ENOUGH else None


def _mix(problem: Problem, portfolios: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the shares of the best mix of portfolios (k x M), its path, and the portfolios that it needs."""
    used = np.flatnonzero(portfolios.any(axis=0))
    rows = problem.paths.mixed(portfolios[:, used] * problem.risk[used], used)
    lengths = np.sqrt(np.vecdot(rows, rows))
    riskless = lengths <= RISKLESS * (portfolios @ problem.risk)
    if riskless.any():
        raise Riskless(np.flatnonzero(portfolios[riskless][0] > 0.0).tolist())
    mix, path = problem.solver(unit_rows(rows, lengths), portfolios @ problem.gains / lengths, NOTHING)
    needed = portfolios[mix.support]
    weights: Floats = (mix.values / lengths[mix.support]) @ needed
    return weights / weights.sum(), path, needed


def _face(problem: Problem, now: Appraisal) -> Face:
    """Return which members are likely to be at their caps and which between, at the optimum."""
    caps, weights = problem.allowed.caps, now.weights
    pull = now.pull - now.prices @ problem.allowed.members if now.prices.any() else now.pull
    full = weights >= caps * (1.0 - 1e-9)
    partial = (weights > 0.0) & ~full
    # At the optimum all partial shares pull alike, those at the cap more, those at zero less.
    usual = float(pull[partial].mean()) if partial.any() else float(pull[weights > 0.0].min())
    capped = full & (pull >= usual)
    joining = np.flatnonzero((weights == 0.0) & (pull > usual))
    joining = joining[np.argsort(-pull[joining], kind="stable")[: max(_JOIN, np.count_nonzero(partial))]]
    free = np.concatenate((np.flatnonzero((weights > 0.0) & ~capped), joining))
    return Face(capped, free, problem.allowed.tight(weights))
