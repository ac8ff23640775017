"""The markets of an exchange: their names, their rules, and quantities in its units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

import msgspec

from portfoliod.errors import MarketGone
from portfoliod.lean_ccxt import ccxt
from portfoliod.model import ZERO, Intent, MarketRules
from portfoliod.venues.ccxtpro.dialects import Dialect, at_path, dialect_of
from portfoliod.venues.ccxtpro.exchange import decimal
from portfoliod.venues.protocol import refused
from portfoliod.venues.symbols import Directory, Listing

ONE = Decimal(1)


class Market(msgspec.Struct, frozen=True):
    """One market, and what one unit of an order's amount is."""

    listing: Listing
    rules: MarketRules
    unit: Decimal
    """The quantity of one unit of amount: a linear contract's size in the base currency; else 1."""
    active: bool = True
    """Whether it trades now. What is held in one that does not is held all the same."""

    def quantity(self, amount: Decimal) -> Decimal:
        """Return an amount in the exchange's units as a quantity."""
        return amount * self.unit

    def amount(self, intent: Intent) -> str:
        """Return an order's quantity in the exchange's units.

        Raises:
            OrderRefused: it does not lie on the exchange's step, or is below its minimum.
        """
        if intent.quantity <= 0 or intent.quantity % self.rules.step != 0:
            raise refused(intent, "the quantity is not on the step", f"{intent.quantity}, step {self.rules.step}")
        if intent.quantity < self.rules.min_quantity:
            raise refused(intent, "below the minimum quantity", f"{intent.quantity} of {self.rules.min_quantity}")
        return f"{(intent.quantity / self.unit).normalize():f}"


class Markets:
    """All markets that an exchange lists now, the suspended ones too."""

    def __init__(self, venue: str, client: Any, market_type: str, quote: str) -> None:
        self.venue = venue
        self._market_type, self._quote = market_type, quote
        listed = list(_markets(client, market_type, quote))
        self._by_symbol = {market.listing.symbol: market for market in listed}
        active = [market.listing for market in listed if market.active]
        suspended = [market.listing for market in listed if not market.active]
        self.directory = Directory(venue, active, market_type, quote, suspended)

    def __getitem__(self, symbol: str) -> Market:
        """Return a market by its unified symbol, a suspended one too.

        Raises:
            MarketGone: it is not listed any more.
        """
        if symbol not in self._by_symbol:
            raise MarketGone("the market is not listed any more", where=f"venue {self.venue}", found=symbol)
        return self._by_symbol[symbol]

    def __len__(self) -> int:
        return len(self.directory.listings)

    def get(self, symbol: str) -> Market | None:
        """Return a market, suspended ones too; None where it is not listed."""
        return self._by_symbol.get(symbol)

    def spot(self, quote: str) -> Mapping[str, Market]:
        """Return the spot markets against a quote currency by their base currency."""
        return {
            market.listing.base: market
            for market in self._by_symbol.values()
            if market.listing.kind == "spot" and market.listing.quote == quote
        }

    @property
    def linear(self) -> Directory:
        """The markets whose cash is the quote currency, as paper accounts have them."""
        listed = [market.listing for market in self._by_symbol.values() if not market.rules.inverse]
        return Directory(self.venue, listed, self._market_type, self._quote)

    def inverse(self) -> Mapping[str, Market]:
        """Return the inverse perpetuals by the currency that they settle in."""
        return {
            market.listing.base: market
            for market in self._by_symbol.values()
            if market.rules.inverse and market.listing.kind == "swap"
        }

    def changes_since(self, before: Markets) -> Iterator[tuple[str, MarketRules, MarketRules]]:
        """Yield symbol, old and new rules of the markets whose rules are not what they were."""
        for symbol, market in self._by_symbol.items():
            old = before.get(symbol)
            if old is not None and old.rules != market.rules:
                yield symbol, old.rules, market.rules


def _markets(client: Any, market_type: str, quote: str) -> Iterator[Market]:
    """Yield the markets whose positions the account's snapshots show; what these miss would look flat for ever."""
    dialect = dialect_of(client.id)
    for raw in client.markets.values():
        if not _is_seen(raw, dialect, spot=market_type == "spot", quote=quote):
            continue
        listing = listing_of(raw)
        step = _step(raw["precision"].get("amount"), client.precisionMode)
        if listing is None or step is None:
            continue
        kind = listing.kind
        size = decimal(raw.get("contractSize")) or ONE
        inverse = bool(raw.get("inverse")) and kind != "spot"
        unit = ONE if kind == "spot" or inverse else size
        told = decimal(at_path(raw.get("info"), dialect.market_maximum)) if dialect.market_maximum else None
        rules = _rules(raw, step, size, unit, inverse=inverse, maximum=told)
        yield Market(listing, rules, unit, active=raw.get("active") is not False)


def listing_of(raw: Mapping[str, Any]) -> Listing | None:
    """Return the names of a market of ccxt; None of an option, or of what has no base currency."""
    kind = next((kind for kind in ("swap", "future", "spot") if raw.get(kind)), None)
    if kind is None or not raw.get("base"):
        return None
    return Listing(raw["symbol"], str(raw["id"]), raw["base"], raw["quote"], kind)


def _is_seen(raw: Mapping[str, Any], dialect: Dialect, *, spot: bool, quote: str) -> bool:
    if spot or raw.get("spot"):
        return spot and bool(raw.get("spot"))
    inverse = quote == "USD"
    if dialect.sees == "everything" or bool(raw.get("inverse")) is not inverse:
        return dialect.sees == "everything"
    return dialect.sees == "subtype" or inverse or raw.get("settle") == quote


def _rules(
    raw: Mapping[str, Any], step: Decimal, size: Decimal, unit: Decimal, *, inverse: bool, maximum: Decimal | None
) -> MarketRules:
    limits = raw.get("limits") or {}
    least = _limit(limits, "amount", "min") or ZERO
    most = [limit for name in ("amount", "market") if (limit := _limit(limits, name, "max"))]
    most += [maximum] if maximum else []
    spot = bool(raw.get("spot"))
    return MarketRules(
        step=step * unit,
        min_quantity=(max(least, _limit(limits, "market", "min") or ZERO) / step).to_integral_value(ROUND_CEILING)
        * step
        * unit,
        min_notional=_limit(limits, "cost", "min") or ZERO,
        max_quantity=min(most) * unit if most else None,
        contract_size=size if inverse else ONE,
        spot=spot,
        inverse=inverse,
        reduce_only_exempt=not spot,
    )


def _limit(limits: Mapping[str, Any], name: str, end: str) -> Decimal | None:
    return decimal((limits.get(name) or {}).get(end))


def _step(precision: object, mode: int) -> Decimal | None:
    """Return the step of amounts, None where ccxt does not know it. Significant digits are for prices only."""
    number = decimal(precision)
    if number is None:
        return None
    step = number if mode == ccxt.TICK_SIZE else ONE.scaleb(-int(number))
    return step if step > 0 else None
