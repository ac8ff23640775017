"""Strategies in time-lapse: what each wants at every candle of a replay, published as the replay gets there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from portfoliod.prices.candles import Candles, Floats, Integers, write_candles
from portfoliod.sdk import Strategy, align, backtest
from portfoliod.venues.paper.feed import ReplayFeed

Wants = Mapping[str, float]
"""Position by symbol."""


class Series:
    """One strategy's positions over all candles."""

    def __init__(self, strategy: Strategy, candles: Mapping[str, Candles]) -> None:
        self.strategy = strategy
        self.closes: Integers = align({symbol: candles[symbol] for symbol in strategy.symbols})[
            strategy.symbols[0]
        ].closes_at
        self.positions: Mapping[str, Floats] = strategy.positions(candles)

    def at(self, moment: float) -> tuple[Wants, int]:
        """Return what the strategy wants at a recorded moment, and when its last candle had closed."""
        index = int(np.searchsorted(self.closes, moment, side="right")) - 1
        wants = {symbol: float(series[index]) for symbol, series in self.positions.items()}
        return wants, int(self.closes[index])


class TimeLapse:
    """Publishes the states of strategies while a replay runs, as if each ran once a candle."""

    def __init__(self, strategies: Sequence[Strategy], candles: Mapping[str, Candles], feed: ReplayFeed) -> None:
        self.feed = feed
        self.published: dict[str, Wants] = {}
        """What each strategy wants according to the last state that was written."""
        self._candles = candles
        self._series: dict[str, Series] = {}
        for strategy in strategies:
            self.add(strategy)

    def add(self, strategy: Strategy) -> None:
        """Let one more strategy publish from now on."""
        self._series[strategy.name] = Series(strategy, self._candles)

    def remove(self, name: str) -> None:
        """Let a strategy fall silent."""
        del self._series[name]

    def publish_again(self, name: str) -> None:
        """Let a strategy write its state at the next occasion even if it is the one that it wrote last."""
        self.published.pop(name, None)

    def publish(self, now: float, *, silent: Sequence[str] = ()) -> list[str]:
        """Write the states that changed by a moment of the wall clock, and return the names of their strategies."""
        moment = self.feed.recorded(now)
        changed = []
        for name, series in self._series.items():
            wants, closed = series.at(moment)
            if name not in silent and self.published.get(name) != wants:
                series.strategy.publish_state(wants, closed)
                self.published[name] = wants
                changed.append(name)
        return changed


def publish_history(strategy: Strategy, candles: Mapping[str, Candles], until: int, cost_bps: float) -> None:
    """Write the stats.json that a strategy would have had at a recorded moment."""
    past = {symbol: candles[symbol].until(until) for symbol in strategy.symbols}
    strategy.publish_stats(backtest(strategy.positions(past), past, fee_bps=cost_bps))


def record(candles: Mapping[str, Candles], since: int, folder: Path) -> None:
    """Write the candles from a moment on as files for a replay."""
    folder.mkdir(parents=True, exist_ok=True)
    for symbol, market in candles.items():
        write_candles(folder / f"{symbol}-1h.csv.gz", market.since(since))
