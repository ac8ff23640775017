"""From histories to what the optimizer writes: weights, leverage, and every sentence a person should read."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import msgspec
import numpy as np

from portfoliod.allocation.allocators import Allocator
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.slope_std import score
from portfoliod.allocation.standardise import MIN_DAYS, standardise
from portfoliod.allocation.volatility import VolatilityEstimate, estimates, leverage
from portfoliod.allocation.weighing import weigh
from portfoliod.allocation.weights import to_six_places
from portfoliod.allocation.window import Window, window
from portfoliod.errors import AllocationError
from portfoliod.model import History


class Allocation(msgspec.Struct, frozen=True):
    """One optimization's result. Volatility and leverage are those of the weights as written, not of the exact ones."""

    weights: dict[str, float]
    """Every strategy of the histories, excluded ones 0.0; six places, sum 1 (see `notes` when less)."""
    ann_volatility: float
    """std(R w) * sqrt(periods_per_year), a fraction, by the estimate that the rules choose."""
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
    volatilities: tuple[VolatilityEstimate, ...] = ()
    """The estimate in force first, then others, each with the leverage that it would give."""


def allocate(
    histories: Mapping[str, History],
    rules: Rules,
    solve: Allocator | None = None,
    *,
    previous: Mapping[str, float] | None = None,
) -> Allocation:
    """Return weights and leverage for all strategies.

    Args:
        histories: daily returns by strategy; their order does not matter.
        rules: the settings.
        solve: an allocator that an installed package brings; without it the built-in that `rules.allocator` names.
        previous: the weights in force, if there are any (see `weigh`).

    Raises:
        AllocationError: no strategy is left, a return is not finite, the score has no bound, or `solve` returns what
            are no weights.
    """
    included = _included(histories, rules)
    returns = included.returns
    weights, gap, notes = weigh(included, rules, previous, solve)
    if not weights.any():
        return _cash(histories, included, notes)
    written = to_six_places(weights)
    by_name = dict(zip(included.names, written.tolist(), strict=True))
    chosen, *others = estimates(histories, by_name, included.last_day, rules)
    return Allocation(
        weights=dict.fromkeys(sorted(histories), 0.0) | by_name,
        ann_volatility=chosen.ann_volatility,
        leverage=chosen.leverage,
        score=score(returns, weights),
        optimality_gap=gap,
        excluded=included.excluded,
        notes=(*notes, *leverage(chosen.ann_volatility, rules)[1]),
        edge=True,
        volatilities=(chosen, *others),
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


def _cash(histories: Mapping[str, History], included: Window, notes: tuple[str, ...]) -> Allocation:
    return Allocation(
        weights=dict.fromkeys(sorted(histories), 0.0),
        ann_volatility=0.0,
        leverage=0.0,
        score=0.0,
        optimality_gap=0.0,
        excluded=included.excluded,
        notes=notes,
        edge=False,
    )


def inputs_hash(histories: Mapping[str, History], rules: Rules) -> str:
    """Return a SHA-256 in hex of what `allocate` reads; the order of the mapping does not matter.

    The weights in force are left out: they are the last result, which is no reason for the next optimization.
    """
    digest = sha256(msgspec.json.encode(_fractions(msgspec.to_builtins(rules)), order="deterministic"))
    for name in sorted(histories):
        history = histories[name]
        digest.update(msgspec.json.encode([name, len(history.days)]))
        digest.update(np.array(history.days, dtype="<i8").tobytes())
        digest.update(np.array(history.returns, dtype="<f8").tobytes())
    return digest.hexdigest()


def _fractions(value: object) -> object:
    """Return settings with whole numbers as fractions: 1 and 1.0 are the same setting."""
    match value:
        case dict():
            return {name: _fractions(item) for name, item in value.items()}
        case list() | tuple():
            return [_fractions(item) for item in value]
        case int():
            return float(value)
    return value
