"""The figures of a walk-forward for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from portfoliod.allocation.walk_forward import Performance
from portfoliod.commands.backtest.report import Report
from portfoliod.commands.render import plain_table

MOST_ROWS = 40
"""Strategies of a backtest that its table has room for; the file has all."""


def table(result: Report) -> RenderableType:
    """Return the figures side by side, what they say, and which days each strategy had."""
    period = result.period
    every = "daily" if result.every_days == 1 else f"every {result.every_days} days"
    title = (
        f"{result.allocator}, decided {every} from the {result.lookback_days} days before; "
        f"costs {result.cost_bps:g} bps\n{period.first_day} to {period.last_day}: {_days(period.days)} evaluated"
    )
    return Group(
        Text(title),
        Text(""),
        _figures(result),
        Text(""),
        *map(Text, _verdict(result)),
        Text(""),
        _coverage(result),
        *(Text(f"note: {note}", style="yellow") for note in result.notes),
        *(Text(f"written: {path}", style="bold") for path in result.written),
    )


def _figures(result: Report) -> Table:
    rows = plain_table("", ">total", ">CAGR", ">vol", ">Sharpe", ">Sortino", ">max DD", ">Calmar", ">traded")
    for levered in (True, False):
        rows.add_row(Text("leverage" if levered else "without", style="italic"))
        for name, row in ((result.allocator, result.optimum), ("equal weight", result.equal)):
            rows.add_row(f"  {name}", *_cells(row.levered if levered else row.unlevered))
        if result.random is not None:
            random = result.random.levered if levered else result.random.unlevered
            for share, found in random.items():
                rows.add_row(f"  random {share}", *_cells(found))
    return rows


def _cells(found: Performance) -> list[str]:
    percents = (found.total_return, found.cagr, found.volatility)
    ratios = (found.sharpe, found.sortino)
    return [
        *("-" if value is None else f"{value:,.1%}" for value in percents),
        *("-" if value is None else f"{value:.2f}" for value in ratios),
        "-" if found.max_drawdown is None else f"{found.max_drawdown:.1%}",
        *("-" if value is None else f"{value:.2f}" for value in (found.calmar, found.turnover)),
    ]


def _verdict(result: Report) -> list[str]:
    lines = []
    if result.rank is not None and result.random is not None:
        sharpe, total = result.rank.levered["sharpe"], result.rank.levered["total_return"]
        if sharpe is not None and total is not None:
            lines.append(
                f"{result.allocator} beats {sharpe:.0f} % of {result.random.count:,} random portfolios by Sharpe, "
                f"{total:.0f} % by total return"
            )
    if result.in_sample_sharpe is not None and result.optimum.unlevered.sharpe is not None:
        lines.append(
            f"its Sharpe in the windows that it comes from: {result.in_sample_sharpe:.2f}; "
            f"on the days after: {result.optimum.unlevered.sharpe:.2f}"
        )
    leverage = result.leverage
    if leverage.mean is not None and leverage.realised_volatility is not None:
        limited = f", at its limit on {_days(leverage.limited_days)}" if leverage.limited_days else ""
        lines.append(
            f"its volatility: {leverage.realised_volatility:.1%}, target {leverage.target_volatility:.1%}; "
            f"leverage {leverage.least:.2f} to {leverage.most:.2f}, mean {leverage.mean:.2f}{limited}"
        )
    return lines


def _coverage(result: Report) -> Table:
    rows = plain_table("strategy", ">weight", "first day", "last day", ">gaps", ">days", ">included")
    ranked = sorted(result.strategies.items(), key=lambda item: (-item[1].mean_weight, item[0]))
    for name, row in ranked[:MOST_ROWS]:
        days = (row.missing_days, row.evaluated_days, row.included_days)
        rows.add_row(name, f"{row.mean_weight:.4f}", row.first_day, row.last_day, *map(str, days))
    if len(ranked) > MOST_ROWS:
        rows.add_row(f"and {len(ranked) - MOST_ROWS} more")
    return rows


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"
