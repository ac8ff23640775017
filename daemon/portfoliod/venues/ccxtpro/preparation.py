"""Margin mode and leverage of a market, applied before it is first traded, where the operator set them."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import structlog

from portfoliod.venues.ccxtpro.account import Account
from portfoliod.venues.ccxtpro.exchange import Exchange
from portfoliod.venues.ccxtpro.markets import Market
from portfoliod.venues.ccxtpro.outcomes import Outcome, outcome_of
from portfoliod.venues.ccxtpro.settings import CcxtSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger()

NO_CHANGE = {"NoChange", "MarginModeAlreadySet"}
AGAIN = {Outcome.UNKNOWN, Outcome.LATER, Outcome.CLOCK}
"""What is no answer: the setting is applied again."""


class Preparation:
    """Applies `margin_mode` and `set_leverage`."""

    def __init__(self, exchange: Exchange, settings: CcxtSettings, account: Account) -> None:
        self._exchange = exchange
        self._settings = settings
        self._account = account
        self._prepared: set[str] = set()
        self._preparing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def wanted(self) -> bool:
        """Whether there is anything to apply."""
        return self._settings.margin_mode is not None or self._settings.set_leverage is not None

    async def prepare(self, market: Market) -> bool:
        """Apply the settings to a market, once, and return whether the exchange has answered to all of them."""
        symbol = market.listing.symbol
        if not self.wanted or market.rules.spot or symbol in self._prepared:
            return True
        async with self._preparing[symbol]:
            if symbol not in self._prepared and await self._apply_all(symbol):
                self._prepared.add(symbol)
        return symbol in self._prepared

    async def _apply_all(self, symbol: str) -> bool:
        margin, leverage = self._settings.margin_mode, self._settings.set_leverage
        said_in = self._exchange.dialect.margin_mode_in
        answered = True
        if margin is not None and said_in != "orders" and self._exchange.has("setMarginMode"):
            more = {} if leverage is None or said_in == "market" else {"lever": str(leverage)}
            answered = await self._apply("set_margin_mode", margin, symbol, more)
        if leverage is not None and self._exchange.has("setLeverage"):
            mode = {} if margin is None or said_in == "market" else {"marginMode": margin}
            for leg in self._legs_with_leverage():
                answered = await self._apply("set_leverage", leverage, symbol, mode | leg) and answered
        return answered

    def _legs_with_leverage(self) -> list[dict[str, str]]:
        """Return what names each part of a market that has a leverage of its own."""
        side = self._exchange.dialect.leverage_side
        if side is None or self._settings.margin_mode != "isolated" or self._account.mode != "hedge":
            return [{}]
        return [{side.field: side.long}, {side.field: side.short}]

    async def _apply(self, method: str, *arguments: object) -> bool:
        """Apply a setting, and return whether the exchange answered, be it with a refusal."""
        try:
            await getattr(self._exchange.client, method)(*arguments)
        except Exception as error:  # noqa: BLE001 - the account's own setting stays, and that is said
            if type(error).__name__ in NO_CHANGE:
                return True
            outcome = outcome_of(self._exchange.client.id, error)
            log.warning(
                "venue.setting_refused",
                venue=self._exchange.venue,
                setting=f"{method} {arguments[0]} {arguments[1]}",
                error=self._exchange.said(error),
                kept="the account's own setting" + (", until it is applied again" if outcome in AGAIN else ""),
            )
            return outcome not in AGAIN
        return True
