"""What the account holds: positions, equity and mode, as the exchange's REST interface tells them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import structlog

from portfoliod.errors import VenueStopped, VenueUnreachable
from portfoliod.model import ZERO
from portfoliod.venues.ccxtpro.dialects import at_path
from portfoliod.venues.ccxtpro.exchange import Exchange, decimal
from portfoliod.venues.ccxtpro.markets import Market, Markets
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.protocol import PositionMode, Positions

log: structlog.stdlib.BoundLogger = structlog.get_logger()

DISBELIEF_SECONDS = 0.5
"""Between two reads that must agree that a position vanished."""


class Account:
    """One account on an exchange. Streams only say when to look; what is there is always read."""

    def __init__(self, exchange: Exchange, settings: CcxtSettings) -> None:
        self._exchange = exchange
        self._settings = settings
        self.mode: PositionMode | None = settings.position_mode
        self.stopped: VenueStopped | None = None
        self._last: Positions | None = None
        self._listed = False
        """Whether the last answer listed any position, be it in a market that is not known here."""
        self._unlisted: set[str] = set()
        """In the last answer: what is held in markets that are not known here."""
        self._ids: dict[str, str] = {}
        """The symbols of markets in which something was held, by the exchange's names: ccxt forgets a market."""
        self._reading = asyncio.Lock()
        self._moved: dict[str, float] = {}

    def moved(self, symbol: str) -> None:
        """Note that a position is known to have moved: that it is gone at the next look is no surprise."""
        self._moved[symbol] = time.monotonic()

    async def positions(self, markets: Markets, newer_than: float) -> Positions:
        """Return a snapshot that was asked for after `newer_than`. Those who wait at the same time share one."""
        if self.stopped is not None:
            raise self.stopped
        async with self._reading:
            if self._last is not None and self._last.at >= newer_than:
                return self._last
            asked = time.monotonic()
            quantities = await self._believable(markets)
            self._last = Positions(asked, quantities, frozenset(self._unlisted))
            return self._last

    async def equity(self, markets: Markets) -> Decimal:
        """Return the account's worth in the quote currency, open profit and loss included."""
        balance = await self.balance()
        for path in self._exchange.dialect.equity:
            equity = decimal(at_path(balance.get("info"), path, self._settings.quote))
            if equity is not None:
                return equity
        totals = balance.get("total") or {}
        quote = decimal(totals.get(self._settings.quote))
        if self._settings.market_type == "spot":
            return (quote or ZERO) + await self._worth(totals, markets.spot(self._settings.quote))
        if quote is None and self._settings.quote == "USD":
            return await self._worth(totals, markets.inverse())
        if quote is None:
            raise VenueUnreachable(
                f"the balance has no {self._settings.quote}",
                where=f"venue {self._exchange.venue}",
                found=", ".join(sorted(totals)) or "nothing",
                mend="set `quote` to the currency that the account is kept in",
            )
        path = self._exchange.dialect.open_profit
        profit = decimal(at_path(balance.get("info"), path, self._settings.quote)) if path else None
        return quote + (profit or ZERO)

    async def balance(self) -> Any:
        """Return the balance of the account that is traded on, as ccxt parsed it."""
        more = {} if self._settings.market_type == "spot" else self._exchange.dialect.balance
        return await self._exchange.read("fetch_balance", {**self._parameters(), **more})

    async def check_mode(self, symbol: str | None) -> None:
        """Learn the position mode, or see that it is still what it was.

        Raises:
            VenueStopped: it is another one than when the daemon started.
        """
        found = await self._mode(symbol)
        if found is None or self.mode is None:
            self.mode = self.mode or found
            return
        if found == self.mode:
            self.stopped = None
            return
        self.stopped = VenueStopped(
            "the position mode changed while the daemon runs",
            where=f"venue {self._exchange.venue}",
            found=f"{found}, it was {self.mode}",
            kept="nothing is sent there: a side would be a guess",
            mend=f"set it back to {self.mode}, or restart portfoliod to work in {found}",
        )
        raise self.stopped

    async def _mode(self, symbol: str | None) -> PositionMode | None:
        if self._settings.market_type == "spot":
            return None
        if not self._exchange.has("fetchPositionMode"):
            return self._settings.position_mode or await self._told_mode(symbol) or self.mode or "one_way"
        answer = await self._exchange.read("fetch_position_mode", symbol)
        hedged = answer.get("hedged")
        return None if hedged is None else "hedge" if hedged else "one_way"

    async def _told_mode(self, symbol: str | None) -> PositionMode | None:
        """Return the mode from where an exchange happens to tell it, None where it does not."""
        question = self._exchange.dialect.mode
        if question is None or (question.of_market and symbol is None):
            return None
        about: dict[str, tuple[object, ...]] = {"": (), "symbol": (symbol,), "list": ([symbol],)}
        parameters = () if question.of_market else (self._parameters(),)
        try:
            answer = await self._exchange.read(question.method, *about[question.of_market], *parameters)
        except VenueUnreachable as error:
            log.debug("mode.not_told", venue=self._exchange.venue, error=str(error))
            return None
        told = at_path(answer, question.path)
        return None if told is None else "hedge" if told in question.hedge else "one_way"

    def _parameters(self) -> Mapping[str, str]:
        """Return what names the account to the exchange."""
        return {} if self._settings.market_type == "spot" else self._exchange.dialect.account(self._settings.quote)

    async def _believable(self, markets: Markets) -> dict[str, Decimal]:
        """Return the positions; one that vanished for no known reason must be gone from a second answer too."""
        quantities = await self._read(markets)
        vanished = self._vanished(quantities)
        if vanished:
            await asyncio.sleep(DISBELIEF_SECONDS)
            again = await self._read(markets)
            if any(again.get(symbol) for symbol in vanished):
                raise self._contradiction("two answers in a row differ", vanished)
            quantities = again
        if not self._listed and (vanished or self._last is None) and await self._margin_is_used():
            raise self._contradiction("positions use margin, but none is listed", vanished)
        return quantities

    def _vanished(self, quantities: Mapping[str, Decimal]) -> list[str]:
        if self._last is None:
            return []
        moved = {symbol for symbol, at in self._moved.items() if at >= self._last.at}
        seen = moved | self._unlisted | quantities.keys()
        return [symbol for symbol in self._last.quantities if symbol not in seen]

    async def _margin_is_used(self) -> bool:
        """Return whether the exchange keeps margin for positions, where it tells that apart from margin for orders."""
        paths = self._exchange.dialect.position_margin
        if not paths or self._settings.market_type == "spot":
            return False
        balance = await self.balance()
        used = (decimal(at_path(balance.get("info"), path, self._settings.quote)) for path in paths)
        return any(margin is not None and margin > 0 for margin in used)

    def _contradiction(self, what: str, symbols: list[str]) -> VenueUnreachable:
        return VenueUnreachable(
            f"the positions cannot be right: {what}",
            where=f"venue {self._exchange.venue}",
            found=f"{', '.join(symbols) or 'everything'} gone",
            kept="nothing is assumed about positions",
        )

    async def _read(self, markets: Markets) -> dict[str, Decimal]:
        if self._settings.market_type == "spot":
            balance = await self.balance()
            held = {code: decimal(total) or ZERO for code, total in (balance.get("total") or {}).items()}
            spot = markets.spot(self._settings.quote)
            return {spot[code].listing.symbol: total for code, total in held.items() if total and code in spot}
        rows = await self._exchange.read("fetch_positions", None, self._parameters())
        if not isinstance(rows, list):
            raise VenueUnreachable(
                "positions: not a list", where=f"venue {self._exchange.venue}", found=repr(rows)[:80]
            )
        self._listed = any(decimal(row.get("contracts")) for row in rows)
        return self._summed(rows, markets)

    def _summed(self, rows: list[Any], markets: Markets) -> dict[str, Decimal]:
        """Return the net quantity of each market; both legs of a hedge count."""
        quantities: dict[str, Decimal] = {}
        self._unlisted.clear()
        for row in rows:
            symbol = str(row.get("symbol"))
            market = markets.get(symbol)
            if market is not None:
                self._ids[market.listing.id] = symbol
                quantities[symbol] = quantities.get(symbol, ZERO) + market.quantity(self._contracts(row))
            elif decimal(row.get("contracts")):
                self._unlisted.add(self._ids.get(symbol, symbol))
        return {symbol: quantity for symbol, quantity in quantities.items() if quantity}

    def _contracts(self, row: Mapping[str, Any]) -> Decimal:
        """Return a row's signed amount.

        Raises:
            VenueUnreachable: it holds something, but not how much or on which side.
        """
        contracts = decimal(row.get("contracts"))
        side = row.get("side")
        if contracts is None and not decimal(row.get("notional")):
            return ZERO
        if contracts == 0:
            return ZERO
        if contracts is None or side not in {"long", "short"}:
            raise VenueUnreachable(
                "a position cannot be read",
                where=f"{row.get('symbol')} on venue {self._exchange.venue}",
                found=f"side {side}, contracts {row.get('contracts')}",
            )
        return abs(contracts) if side == "long" else -abs(contracts)

    async def _worth(self, totals: Mapping[str, object], spot: Mapping[str, Market]) -> Decimal:
        """Return what the coins are worth; one that has no price counts nothing."""
        held = {
            spot[code].listing.symbol: total
            for code, value in totals.items()
            if code in spot and spot[code].active and (total := decimal(value))
        }
        if not held:
            return ZERO
        tickers = await self._exchange.read("fetch_tickers", list(held))
        prices = {symbol: decimal((tickers.get(symbol) or {}).get("last")) for symbol in held}
        return sum((total * price for symbol, total in held.items() if (price := prices[symbol])), ZERO)
