"""From histories to what the optimizer writes: weights, leverage, and every sentence a person should read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from hashlib import sha256
from math import inf, sqrt
from typing import TypeAlias

import msgspec
import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.candidate import Riskless
from portfoliod.allocation.others import equal, hrp, inverse_vol
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.slope_std import ENOUGH, has_edge, optimum, score, slope_std
from portfoliod.allocation.standardise import MIN_DAYS, standardise
from portfoliod.allocation.weights import to_six_places, water_fill
from portfoliod.allocation.window import Window, window
from portfoliod.errors import AllocationError
from portfoliod.model import History

Allocator: TypeAlias = Callable[[Floats, Rules], Floats]
"""(returns T x N, rules) -> N weights, >= 0, sum 1; all zero: nothing is worth holding."""

ALLOCATORS: Mapping[str, Allocator] = {"slope_std": slope_std, "equal": equal, "inverse_vol": inverse_vol, "hrp": hrp}

_SUM_TOLERANCE = 1e-6
_SHOWN = 8


class Allocation(msgspec.Struct, frozen=True):
    """One optimization's result. Volatility and leverage are those of the weights as written, not of the exact ones."""

    weights: dict[str, float]
    """Every strategy of the histories, excluded ones 0.0; six places, sum 1 (see `notes` when less)."""
    ann_volatility: float
    """std(R w) * sqrt(periods_per_year), a fraction."""
    leverage: float
    """Four places."""
    score: float
    """slope(cumsum(R w)) / std(R w) of the exact weights."""
    optimality_gap: float
    """Upper bound on the relative miss of the best score; 0.0 for allocators that do not look for it."""
    excluded: dict[str, str]
    """Why a strategy is left out, one sentence each."""
    notes: tuple[str, ...]
    """Sentences for a person: what was cut, and by which setting."""
    edge: bool
    """False: no allocation has a positive score, weights and leverage are 0."""


def allocator(name: str) -> Allocator:
    """Return the built-in allocator of that name.

    Raises:
        AllocationError: there is none; it names the nearest.
    """
    if name in ALLOCATORS:
        return ALLOCATORS[name]
    nearest = get_close_matches(name, ALLOCATORS, n=1, cutoff=0.0)[0]
    raise AllocationError(
        f'no allocator is called "{name}"',
        where="optimizer.allocator",
        found=f'"{name}", the nearest is "{nearest}"',
        mend=f"choose one of {', '.join(ALLOCATORS)}, or install the package that registers it",
    )


def allocate(histories: Mapping[str, History], rules: Rules, solve: Allocator | None = None) -> Allocation:
    """Return weights and leverage for all strategies.

    No edge means that no allocation under the rules has a positive score, whichever allocator is chosen: then holding
    cash beats all of them.

    Args:
        histories: daily returns by strategy; their order does not matter.
        rules: the settings.
        solve: an allocator that an installed package brings; without it the built-in that `rules.allocator` names.

    Raises:
        AllocationError: no strategy is left, a return is not finite, the score has no bound, or `solve` returns what
            are no weights.
    """
    chosen = solve or allocator(rules.allocator)
    included = _included(histories, rules)
    returns = included.returns
    standard = standardise(returns)
    if not has_edge(standard, rules.max_weight):
        return _cash(histories, included)
    weights, gap = _weigh(included, rules, chosen)
    if not weights.any():
        return _cash(histories, included)
    written = to_six_places(weights)
    volatility = _volatility(returns @ written) * sqrt(rules.periods_per_year)
    leverage, notes = _leverage(volatility, rules)
    return Allocation(
        weights=dict.fromkeys(sorted(histories), 0.0) | dict(zip(included.names, written.tolist(), strict=True)),
        ann_volatility=volatility,
        leverage=leverage,
        score=score(returns, weights),
        optimality_gap=gap,
        excluded=included.excluded,
        notes=(*_cap_notes(included.names, written, rules.max_weight), *notes, *_gap_notes(gap)),
        edge=True,
    )


def _included(histories: Mapping[str, History], rules: Rules) -> Window:
    """Return the window without the strategies that have no risk in it."""
    if rules.lookback_days < MIN_DAYS:
        raise AllocationError(
            "the window is too short for a slope and a volatility",
            where="optimizer.lookback_days",
            found=f"{rules.lookback_days} days",
            mend=f"set lookback_days to at least {MIN_DAYS}",
        )
    frame = window(
        histories,
        lookback_days=rules.lookback_days,
        min_history_days=rules.min_history_days,
        stale_after_days=rules.stale_after_days,
    )
    broken = [name for name, column in zip(frame.names, frame.returns.T, strict=True) if not np.isfinite(column).all()]
    if broken:
        raise AllocationError(
            "a daily return is not a finite number",
            found=f"in the returns of {', '.join(broken)}",
            mend="correct daily_returns in the stats.json of each",
        )
    excluded = dict(frame.excluded)
    alive = standardise(frame.returns).risk > 0.0 if frame.names else np.zeros(0, dtype=bool)
    for name, lives in zip(frame.names, alive.tolist(), strict=True):
        if not lives:
            excluded[name] = f"no risk: all its returns in the last {rules.lookback_days} days are the same"
    if not alive.any():
        raise AllocationError(
            "no strategy can be included in the allocation",
            found="; ".join(f"{name}: {reason}" for name, reason in sorted(excluded.items())),
            mend="bring the strategies' stats.json up to date, or change min_history_days, stale_after_days or "
            "lookback_days",
        )
    names = tuple(name for name in frame.names if name not in excluded)
    returns = frame.returns if alive.all() else frame.returns.T[alive].T
    return Window(names, frame.last_day, returns, dict(sorted(excluded.items())))


def _weigh(included: Window, rules: Rules, solve: Allocator) -> tuple[Floats, float]:
    """Return the exact weights under the cap, and what is proven of them."""
    if solve is slope_std:
        try:
            best = optimum(included.returns, rules.max_weight)
        except Riskless as error:
            raise AllocationError(error.what, found=_cancelling(included.names, error), mend=error.mend) from error
        return best.weights, best.gap
    ours = solve in ALLOCATORS.values()
    weights = solve(included.returns, rules) if ours else _foreign(included, rules, solve)
    return water_fill(weights, rules.max_weight) if weights.any() else weights, 0.0


def _cancelling(names: tuple[str, ...], error: Riskless) -> str:
    shown = [names[column] for column in sorted(error.columns)]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return f"{', '.join(shown[:_SHOWN])}{more} cancel each other's risk"


def _foreign(included: Window, rules: Rules, solve: Allocator) -> Floats:
    """Return the weights of an allocator that is not ours, once they are seen to be weights."""
    try:
        weights = np.asarray(solve(included.returns.copy(), rules), dtype=np.float64)
    except (Exception, SystemExit) as error:
        raise AllocationError(
            f'the allocator "{rules.allocator}" failed',
            found=f"{type(error).__name__}: {error}",
            mend="mend the package that registers it, or choose another allocator",
        ) from error
    fits = weights.shape == (len(included.names),) and bool(np.isfinite(weights).all() and (weights >= 0.0).all())
    if not fits or (weights.any() and abs(float(weights.sum()) - 1.0) > _SUM_TOLERANCE):
        raise AllocationError(
            f'the allocator "{rules.allocator}" returned what are no weights',
            found=np.array2string(weights, threshold=_SHOWN),
            mend=f"it must return {len(included.names)} finite numbers >= 0 with sum 1, or all 0 for cash",
        )
    return weights


def _cash(histories: Mapping[str, History], included: Window) -> Allocation:
    return Allocation(
        weights=dict.fromkeys(sorted(histories), 0.0),
        ann_volatility=0.0,
        leverage=0.0,
        score=0.0,
        optimality_gap=0.0,
        excluded=included.excluded,
        notes=("no allocation has a positive score",),
        edge=False,
    )


def _volatility(portfolio: Floats) -> float:
    largest = float(np.abs(portfolio).max())
    return float((portfolio / largest).std(ddof=1)) * largest if largest > 0.0 else 0.0


def _leverage(volatility: float, rules: Rules) -> tuple[float, list[str]]:
    notes = []
    floored = max(volatility, rules.vol_floor)
    if floored > volatility:
        notes.append(
            f"the annual volatility of {volatility:.2%} is below vol_floor: leverage is computed from {floored:.2%}"
        )
    wanted = rules.target_vol / floored if floored > 0.0 else inf
    if wanted > rules.max_leverage:
        notes.append(
            f"max_leverage {rules.max_leverage:g} bites: the target of {rules.target_vol:.2%} a year would take "
            f"a leverage of {wanted:.4f}"
        )
    return round(min(rules.max_leverage, wanted), 4), notes


def _cap_notes(names: tuple[str, ...], written: Floats, max_weight: float) -> list[str]:
    if max_weight >= 1.0:
        return []
    total = float(written.sum())
    if len(names) * max_weight < 1.0 - _SUM_TOLERANCE:
        return [
            f"max_weight {max_weight:g} leaves {1.0 - total:.2%} of the portfolio in cash: "
            f"{len(names)} strategies at that cap do not fill it"
        ]
    capped = [name for name, weight in zip(names, written.tolist(), strict=True) if weight >= max_weight - 1e-6]
    return [f"max_weight {max_weight:g} bites: {', '.join(capped)}"] if capped else []


def _gap_notes(gap: float) -> list[str]:
    if gap <= ENOUGH:
        return []
    return [f"the score is proven only to within {gap:.2e} of the best: some strategies almost cancel each other"]


def inputs_hash(histories: Mapping[str, History], rules: Rules) -> str:
    """Return a SHA-256 in hex of all that `allocate` reads; the order of the mapping does not matter."""
    digest = sha256(
        msgspec.json.encode([float(value) if isinstance(value, int) else value for value in _fields(rules)])
    )
    for name in sorted(histories):
        history = histories[name]
        digest.update(msgspec.json.encode([name, len(history.days)]))
        digest.update(np.array(history.days, dtype="<i8").tobytes())
        digest.update(np.array(history.returns, dtype="<f8").tobytes())
    return digest.hexdigest()


def _fields(rules: Rules) -> tuple[float | str, ...]:
    fields: tuple[float | str, ...] = msgspec.structs.astuple(rules)
    return fields
