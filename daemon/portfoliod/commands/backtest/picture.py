"""The picture of a walk-forward: equity among random portfolios, drawdown, and the weights over time."""

from __future__ import annotations

import io
from datetime import date, timedelta

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from portfoliod.allocation.arrays import Floats
from portfoliod.commands.backtest.report import Curve, Report, Series

_SIZE = (12.0, 9.2)
_DPI = 100
_INK, _PALE, _GRID = "#22262b", "#6b7280", "#e3e6ea"
_OPTIMUM, _EQUAL, _BAND = "#0b5fa5", "#d9822b", "#c9ced6"
_OTHERS = "#b8bec7"
_COLOURS = (
    "#3f7f93", "#8cc3c7", "#4f9d69", "#a8d49b", "#c9a227", "#ecd98b", "#a8486b", "#e0a3b8", "#6f5fa8", "#b9aedb",
)  # fmt: skip
_NAMED = len(_COLOURS)
"""So many strategies have a colour of their own; the others share one."""

_WIDEST = 22
"""Characters of a name that have room."""

_DECADE = 6.0
"""Equities whose highest is so many times the lowest are drawn on a logarithmic axis."""


def picture(report: Report) -> bytes:
    """Return a PNG of a report that has its series; the same report gives the same bytes."""
    series = report.series
    if not isinstance(series, Series):
        raise TypeError("a picture needs the series of the report")
    figure = Figure(figsize=_SIZE, dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        3, 1, height_ratios=(3.2, 1.2, 2.2), hspace=0.14, left=0.075, right=0.78, top=0.885, bottom=0.055
    )
    top = figure.add_subplot(grid[0])
    middle, bottom = figure.add_subplot(grid[1], sharex=top), figure.add_subplot(grid[2], sharex=top)
    days = _days(series)
    _title(figure, report)
    _equity(top, days, report, series)
    _drawdown(middle, days, series)
    _weights(bottom, days, series)
    for axes in (top, middle, bottom):
        _plain(axes)
    figure.align_ylabels()
    top.tick_params(labelbottom=False)
    middle.tick_params(labelbottom=False)
    _dates(bottom, days)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})
    return content.getvalue()


def _days(series: Series) -> Floats:
    """Return the dates as matplotlib counts them, with the day before the first one: there everything is 1."""
    first = date.fromisoformat(series.dates[0]) - timedelta(days=1)
    days: Floats = np.array([str(first), *series.dates], dtype="datetime64[D]").astype(np.float64)
    return days


def _title(figure: Figure, report: Report) -> None:
    period = report.period
    title = f"Walk-forward of {report.allocator}: does it beat chance?"
    figure.text(0.075, 0.958, title, fontsize=15, weight="bold", color=_INK)
    days = "1 day" if period.days == 1 else f"{period.days:,} days"
    every = "daily" if report.every_days == 1 else f"every {report.every_days} days"
    figure.text(
        0.075,
        0.932,
        f"{period.first_day} to {period.last_day}, {days}; {len(report.strategies)} strategies, decided "
        f"{every} from the {report.lookback_days} days before, costs {report.cost_bps:g} bps",
        fontsize=10,
        color=_PALE,
    )
    figure.text(0.075, 0.908, _verdict(report), fontsize=10, color=_PALE)


def _verdict(report: Report) -> str:
    parts = []
    sharpe, usual = report.optimum.levered.sharpe, report.equal.levered.sharpe
    if sharpe is not None and usual is not None:
        parts.append(f"Sharpe {sharpe:.2f}, equal weight {usual:.2f}")
    if report.rank is not None and report.random is not None and report.rank.levered["sharpe"] is not None:
        parts.append(f"above {report.rank.levered['sharpe']:.0f} % of {report.random.count:,} random portfolios")
    leverage = report.leverage
    if leverage.realised_volatility is not None:
        parts.append(f"volatility {leverage.realised_volatility:.1%}, target {leverage.target_volatility:.0%}")
    return "; ".join(parts)


def _equity(axes: Axes, days: Floats, report: Report, series: Series) -> None:
    curves = [_from_one(series.optimum.equity), _from_one(series.equal.equity)]
    if series.random:
        low, middle, high = (_from_one(values) for values in series.random.values())
        axes.fill_between(days, low, high, color=_BAND, alpha=0.55, linewidth=0, label="random, 5 to 95 %")
        axes.plot(days, middle, color=_PALE, linewidth=1.0, linestyle=(0, (4, 3)), label="random, median")
        curves += [low, high]
    axes.plot(days, curves[1], color=_EQUAL, linewidth=1.6, label="equal weight")
    axes.plot(days, curves[0], color=_OPTIMUM, linewidth=2.0, label=report.allocator)
    axes.axhline(1.0, color=_PALE, linewidth=0.8)
    lowest, highest = min(curve.min() for curve in curves), max(curve.max() for curve in curves)
    if lowest > 0.0 and highest / lowest > _DECADE:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g} x"))
    axes.set_ylabel("equity with leverage", color=_INK)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=9.5)


def _from_one(equity: list[float]) -> Floats:
    return np.array([1.0, *equity])


def _drawdown(axes: Axes, days: Floats, series: Series) -> None:
    def below(curve: Curve) -> Floats:
        return -np.array([0.0, *curve.drawdown])

    axes.fill_between(days, below(series.optimum), 0.0, color=_OPTIMUM, alpha=0.25, linewidth=0)
    axes.plot(days, below(series.optimum), color=_OPTIMUM, linewidth=1.2)
    axes.plot(days, below(series.equal), color=_EQUAL, linewidth=1.2)
    axes.set_ylim(top=0.0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("drawdown", color=_INK)


def _weights(axes: Axes, days: Floats, series: Series) -> None:
    """Stack the weights; the strategies of the largest mean weight have a colour, the rest is one area."""
    means = {name: float(np.mean(values)) for name, values in series.weights.items()}
    held = [name for name in sorted(means, key=lambda name: (-means[name], name)) if means[name] > 0.0]
    named, rest = held[:_NAMED], held[_NAMED:]
    labels = [f"{_shortened(name)}  {means[name]:.0%}" for name in named]
    areas = [np.array(series.weights[name]) for name in named]
    if rest:
        labels.append(f"{len(rest)} others  {sum(means[name] for name in rest):.0%}")
        areas.append(np.sum([series.weights[name] for name in rest], axis=0))
    axes.set_ylim(0.0, 1.0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("weights", color=_INK)
    if not areas:
        return
    # What is held on a day is drawn from the day before to it, as its return is.
    stacked = [np.append(values, values[-1]) for values in areas]
    colours = (*_COLOURS[: len(named)], _OTHERS)
    drawn = axes.stackplot(days, *stacked, colors=colours, step="post", linewidth=0)
    axes.legend(
        drawn[::-1],
        labels[::-1],
        loc="upper left",
        bbox_to_anchor=(1.01, 1.03),
        frameon=False,
        fontsize=9,
        title="mean weight",
        alignment="left",
        labelspacing=0.35,
        handlelength=1.2,
    )


def _shortened(name: str) -> str:
    """Return a name without its middle where it is long: names often differ at the end."""
    return name if len(name) <= _WIDEST else f"{name[:10]}…{name[11 - _WIDEST :]}"


def _plain(axes: Axes) -> None:
    axes.grid(visible=True, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_PALE, labelsize=9, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_OTHERS)


def _dates(axes: Axes, days: Floats) -> None:
    axes.set_xlim(float(days[0]), float(days[-1]))
    locator = AutoDateLocator(minticks=4, maxticks=10)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
