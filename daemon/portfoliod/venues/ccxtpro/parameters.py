"""What an order on an exchange carries besides market, side and amount."""

from __future__ import annotations

from portfoliod.model import Intent, Side
from portfoliod.venues.ccxtpro.dialects import Dialect
from portfoliod.venues.ccxtpro.exchange import Exchange
from portfoliod.venues.ccxtpro.markets import Market
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.protocol import refused


def parameters_of(
    intent: Intent, market: Market, dialect: Dialect, settings: CcxtSettings, *, hedged: bool, ledger: bool
) -> dict[str, object]:
    """Return ccxt's parameters for an order.

    Args:
        intent: the order.
        market: its market.
        dialect: the exchange's.
        settings: the venue's.
        hedged: whether the account keeps long and short apart.
        ledger: whether the account may hold more than is managed: the exchange must not measure reductions then.

    Raises:
        OrderRefused: the market cannot do what is asked.
    """
    parameters: dict[str, object] = {dialect.client_id_field: dialect.client_order_id(intent.client_id)}
    if market.rules.spot:
        if intent.reduce_only and intent.side is Side.BUY:
            raise refused(intent, "a purchase reduces nothing on a spot market")
        return parameters
    if dialect.leverage_in_orders and settings.set_leverage is not None:
        parameters["leverage"] = settings.set_leverage
    if hedged:
        return parameters | _leg(intent, dialect)
    if intent.reduce_only and not ledger:
        parameters["reduceOnly"] = True
    return parameters


def _leg(intent: Intent, dialect: Dialect) -> dict[str, object]:
    """Return how an order names the leg of a hedge; a leg cannot be reduced below nothing."""
    if dialect.hedge_side is not None:
        long = (intent.side is Side.BUY) is not intent.reduce_only
        return {dialect.hedge_side.field: dialect.hedge_side.long if long else dialect.hedge_side.short}
    hedged: dict[str, object] = {} if dialect.hedge_by_reduction else {"hedged": True}
    # ccxt turns the two into the side of the position.
    return hedged | ({"reduceOnly": True} if intent.reduce_only else {})


def must_name_a_price(intent: Intent, market: Market, exchange: Exchange) -> bool:
    """Return whether a market order has to carry a price: to buy by cost, or to measure slippage from."""
    options = exchange.client.options
    required = options.get("createMarketBuyOrderRequiresPrice")
    if required is None:
        required = (options.get("createOrder") or {}).get("createMarketBuyOrderRequiresPrice")
    by_cost = market.rules.spot and intent.side is Side.BUY and required is True
    return by_cost or exchange.dialect.priced_market_orders
