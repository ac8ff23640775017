"""Where the paper venue's prices come from, and which markets it has: a simulation, or recorded candles."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import msgspec

from portfoliod.errors import FileRejected, SettingsError, VenueUnreachable
from portfoliod.prices.candles import find_candles, read_candles
from portfoliod.prices.simulated import MARKETS, SimulatedPrices


class Grid(msgspec.Struct, frozen=True):
    """The steps of one market."""

    tick: Decimal
    step: Decimal
    min_quantity: Decimal


class Feed(Protocol):
    """Prices by base currency at a moment of the wall clock (epoch seconds)."""

    def markets(self) -> Mapping[str, Grid]:
        """Return the markets by base currency."""
        ...

    def price(self, base: str, at: float) -> Decimal:
        """Return the price in the quote currency. Raises VenueUnreachable where there is none."""
        ...

    def describe(self) -> str:
        """Return in a few words where the prices come from."""
        ...


class SimulatedFeed:
    """Invented prices, the same in every process that uses the same seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._prices = SimulatedPrices(seed)

    def markets(self) -> Mapping[str, Grid]:
        """Return the simulated markets."""
        return {base: Grid(market.tick, market.step, market.min_quantity) for base, market in MARKETS.items()}

    def price(self, base: str, at: float) -> Decimal:
        """Return the simulated price on the market's tick."""
        tick = MARKETS[base].tick
        return max(round(Decimal(self._prices.price(base, at)) / tick), 1) * tick

    def describe(self) -> str:
        """Return what they are."""
        return f"simulated prices, seed {self._seed}"


class ReplayFeed:
    """Recorded candles, `speed` recorded seconds a second from the moment that the account was opened.

    The clock is the wall's: a replay goes on while the daemon is down, as a market does. A candle has one price, its
    open, for as long as it lasts: anything between would be invented. After the last candle its close stands.
    """

    def __init__(self, folder: Path, quote: str, speed: float, started: float) -> None:
        self._folder = folder
        self._speed = speed
        self._started = started
        self._times: dict[str, list[int]] = {}
        self._prices: dict[str, list[float]] = {}
        for symbol, path in sorted(find_candles(folder).items()):
            if not symbol.endswith(quote):
                continue
            candles = read_candles(path)
            base = symbol.removesuffix(quote)
            times, opens = candles.time.tolist(), candles.open.tolist()
            self._times[base] = [*times, times[-1] + candles.interval]
            self._prices[base] = [*opens, float(candles.close[-1])]
        if not self._times:
            raise FileRejected(
                "no candle files",
                where=str(folder),
                found=f"no SYMBOL-INTERVAL.csv.gz with a symbol in {quote}",
                mend="name the folder that holds them: candles:DIR",
            )
        self._first = max(times[0] for times in self._times.values())

    def recorded(self, at: float) -> float:
        """Return the recorded moment that a moment of the wall clock stands for."""
        return self._first + max(0.0, at - self._started) * self._speed

    def markets(self) -> Mapping[str, Grid]:
        """Return the recorded markets; one that the simulation does not know gets steps that suit its price."""
        return {base: _grid(base, prices[-1]) for base, prices in self._prices.items()}

    def price(self, base: str, at: float) -> Decimal:
        """Return the open of the candle in which the replay stands."""
        index = bisect_right(self._times[base], self.recorded(at)) - 1
        if index < 0:
            raise VenueUnreachable("no price yet", where=base, found="the recording starts later")
        return Decimal(str(self._prices[base][index]))

    def describe(self) -> str:
        """Return what they are."""
        return f"candles of {self._folder.name}, {self._speed:g} recorded seconds a second"


def open_feed(text: str, *, seed: int, speed: float, quote: str, root: Path, started: float, where: str) -> Feed:
    """Return the feed that `prices` of a paper venue names.

    Raises:
        SettingsError: it names none.
    """
    if text == "simulated":
        return SimulatedFeed(seed)
    kind, _, rest = text.partition(":")
    if kind == "candles" and rest:
        try:
            return ReplayFeed(root / Path(rest).expanduser(), quote, speed, started)
        except (FileRejected, OSError) as error:
            raise SettingsError(
                "the candles cannot be used", where=where, found=str(error), mend="mend `prices`"
            ) from error
    raise SettingsError(
        "unknown prices", where=where, found=text, mend='write "simulated", "candles:DIR" or "ccxt:EXCHANGE"'
    )


def _grid(base: str, price: float) -> Grid:
    known = MARKETS.get(base)
    if known is not None:
        return Grid(known.tick, known.step, known.min_quantity)
    magnitude = Decimal(str(price)).adjusted()
    step = Decimal(1).scaleb(-max(magnitude - 1, 0))
    return Grid(tick=Decimal(1).scaleb(magnitude - 5), step=step, min_quantity=step)
