"""From the arrays of a walk-forward to its report."""

from __future__ import annotations

from datetime import date

import msgspec
import numpy as np

from portfoliod.allocation import Rules
from portfoliod.allocation.arrays import Bools, Floats
from portfoliod.allocation.walk_forward import (
    FIGURES,
    Paths,
    Performance,
    Walk,
    WalkForward,
    drawdown,
    equity,
    figures,
    percentile,
    performance,
)
from portfoliod.commands.backtest.report import (
    Compared,
    Coverage,
    Curve,
    Leverage,
    Period,
    RandomPortfolios,
    Ranks,
    Report,
    Series,
)

BAND = (5, 50, 95)
"""The percentiles of the random portfolios that are told."""

_SHOWN = 5


def summary(found: WalkForward, rules: Rules, walk: Walk, *, generated_at: str, problems: list[str]) -> Report:
    """Return the report with its series; `problems` of the files become notes."""
    line, year = found.line, rules.periods_per_year
    optimum = _compared(found.optimum, walk, year)
    random, rank = _beside_random(found, optimum, walk, year) if walk.random else (None, None)
    weights = found.weights()
    strategies = _coverage(found, weights)
    held: Bools = np.asarray(weights.any(axis=1))
    return Report(
        version=1,
        generated_at=generated_at,
        allocator=rules.allocator,
        lookback_days=rules.lookback_days,
        every_days=walk.every,
        cost_bps=walk.cost_bps,
        rules=rules,
        period=Period(
            _iso(line.day(int(line.rows[0]))),
            _iso(line.day(int(line.rows[-1]))),
            line.rows.size,
            line.excluded_days,
        ),
        strategies=strategies,
        optimum=optimum,
        equal=_compared(found.equal, walk, year),
        random=random,
        rank=rank,
        leverage=_leverage(found, rules, walk, held),
        in_sample_sharpe=_short(found.in_sample_sharpe(year)),
        cash_days=int(np.count_nonzero(~held)),
        notes=[*_notes(found, rules, walk, strategies, held), *problems],
        written=[],
        series=_series(found, walk, weights),
    )


def _compared(paths: Paths, walk: Walk, year: float) -> Compared:
    return Compared(
        _rounded(performance(paths.net(walk.cost_bps)[:, 0], paths.traded[:, 0], year)),
        _rounded(performance(paths.levered(walk.cost_bps)[:, 0], paths.levered_traded[:, 0], year)),
    )


def _beside_random(found: WalkForward, optimum: Compared, walk: Walk, year: float) -> tuple[RandomPortfolios, Ranks]:
    paths = found.random
    unlevered = figures(paths.net(walk.cost_bps), paths.traded, year)
    levered = figures(paths.levered(walk.cost_bps), paths.levered_traded, year)
    return (
        RandomPortfolios(walk.random, walk.seed, _percentiles(unlevered), _percentiles(levered)),
        Ranks(_ranks(optimum.unlevered, unlevered), _ranks(optimum.levered, levered)),
    )


def _percentiles(rows: Floats) -> dict[str, Performance]:
    columns = np.array([[np.nan] * len(BAND) if np.isnan(row).all() else np.nanpercentile(row, BAND) for row in rows])
    return {
        f"p{share}": _rounded(Performance(*(value if np.isfinite(value) else None for value in column.tolist())))
        for share, column in zip(BAND, columns.T, strict=True)
    }


def _ranks(optimum: Performance, rows: Floats) -> dict[str, float | None]:
    own = msgspec.structs.asdict(optimum)
    return {name: _short(percentile(own[name], row)) for name, row in zip(FIGURES, rows, strict=True)}


def _coverage(found: WalkForward, weights: Floats) -> dict[str, Coverage]:
    line = found.line
    observed = line.observed[line.rows].sum(axis=0).tolist()
    included = found.decisions.on_each_day(line.included[found.decisions.decided], line.rows.size).sum(axis=0).tolist()
    mean = weights.mean(axis=0).tolist()
    return {
        name: Coverage(
            first_day=_iso(line.spans[column].first_day),
            last_day=_iso(line.spans[column].last_day),
            days=line.spans[column].days,
            missing_days=line.spans[column].last_day - line.spans[column].first_day + 1 - line.spans[column].days,
            evaluated_days=observed[column],
            included_days=included[column],
            mean_weight=round(mean[column], 6),
        )
        for column, name in enumerate(line.names)
    }


def _leverage(found: WalkForward, rules: Rules, walk: Walk, held: Bools) -> Leverage:
    leverage = found.optimum.leverage[held, 0]
    earned = found.optimum.levered(walk.cost_bps)[held]
    realised = None
    if leverage.size:
        realised = performance(earned[:, 0], found.optimum.levered_traded[held, 0], rules.periods_per_year).volatility
    return Leverage(
        target_volatility=rules.target_vol,
        realised_volatility=_short(realised),
        mean=_short(float(leverage.mean())) if leverage.size else None,
        least=_short(float(leverage.min())) if leverage.size else None,
        most=_short(float(leverage.max())) if leverage.size else None,
        limited_days=int(np.count_nonzero(leverage >= rules.max_leverage)),
    )


def _notes(found: WalkForward, rules: Rules, walk: Walk, strategies: dict[str, Coverage], held: Bools) -> list[str]:
    line = found.line
    notes = []
    if line.excluded_days:
        notes.append(f"{line.excluded_days} days are not evaluated: fewer than two strategies have a return on them")
    idle = [name for name, coverage in strategies.items() if not coverage.included_days]
    if idle:
        more = f" and {len(idle) - _SHOWN} more" if len(idle) > _SHOWN else ""
        notes.append(
            f"never included: {', '.join(idle[:_SHOWN])}{more}; min_history_days {rules.min_history_days} and "
            f"stale_after_days {rules.stale_after_days} decide that"
        )
    cash = int(np.count_nonzero(~held))
    if cash:
        notes.append(f"nothing is held on {cash} days: no allocation had a positive score, or no strategy was included")
    notes += [f"the weights in force stay at {days} decisions: {why}" for why, days in found.decisions.refused.items()]
    curve = equity(found.optimum.levered(walk.cost_bps)[:, 0])
    if curve[-1] <= 0.0:
        lost = _iso(line.day(int(line.rows[int((curve <= 0.0).argmax())])))
        notes.append(f"with its leverage {rules.allocator} loses the whole account on {lost}")
    return notes


def _series(found: WalkForward, walk: Walk, weights: Floats) -> Series:
    line = found.line
    random = {}
    if walk.random:
        band = np.percentile(equity(found.random.levered(walk.cost_bps)), BAND, axis=1)
        random = {f"p{share}": _significant(row) for share, row in zip(BAND, band, strict=True)}
    return Series(
        dates=[_iso(line.day(row)) for row in line.rows.tolist()],
        optimum=_curve(found.optimum, walk),
        equal=_curve(found.equal, walk),
        random=random,
        weights={name: np.round(column, 6).tolist() for name, column in zip(line.names, weights.T, strict=True)},
    )


def _curve(paths: Paths, walk: Walk) -> Curve:
    levered = equity(paths.levered(walk.cost_bps)[:, 0])
    return Curve(
        equity=_significant(levered),
        drawdown=np.round(drawdown(levered), 6).tolist(),
        unlevered_equity=_significant(equity(paths.net(walk.cost_bps)[:, 0])),
        leverage=np.round(paths.leverage[:, 0], 4).tolist(),
    )


def _iso(day: int) -> str:
    return date.fromordinal(day).isoformat()


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _significant(values: Floats) -> list[float]:
    return [float(f"{value:.7g}") for value in values.tolist()]


def _rounded(found: Performance) -> Performance:
    return Performance(*(_short(value) for value in msgspec.structs.astuple(found)))
