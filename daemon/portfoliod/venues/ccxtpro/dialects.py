"""What ccxt's unified interface leaves to each exchange: ids, look-ups, sides of a hedge, where the equity stands.

An exchange that has no row here works by the unified interface alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

Path = tuple[str | int | tuple[str, str], ...]
"""Into a raw reply: names, places in lists, and (field, value) for the element of a list that has it."""


def _as_it_is(client_id: str) -> str:
    return client_id


def _hyperliquid(client_id: str) -> str:
    return f"0x{client_id:0>32}"


def _thirty_two(client_id: str) -> str:
    return f"{client_id:0>32}"


def _uuid(client_id: str) -> str:
    return str(uuid.UUID(_thirty_two(client_id)))


def _number(bits: int) -> Callable[[str], str]:
    return lambda client_id: str(int(client_id, 16) % 2**bits)


def _nothing(_quote: str) -> Mapping[str, str]:
    return {}


def _gate_settle(quote: str) -> Mapping[str, str]:
    return {"settle": "btc" if quote == "USD" else quote.lower()}


def _bitget_product(quote: str) -> Mapping[str, str]:
    return {"productType": f"{quote}-FUTURES" if quote in {"USDT", "USDC"} else "COIN-FUTURES"}


def _phemex_settle(quote: str) -> Mapping[str, str]:
    coin = "BTC" if quote == "USD" else quote
    return {"settle": coin, "code": coin}


class HedgeSide(msgspec.Struct, frozen=True):
    """The field in which a request names the leg of a hedge that it is about."""

    field: str
    long: str = "LONG"
    short: str = "SHORT"


class ModeQuestion(msgspec.Struct, frozen=True):
    """Where the position mode stands, on exchanges for which ccxt has no fetchPositionMode."""

    method: str
    path: Path
    """Into the parsed answer."""
    hedge: tuple[object, ...]
    """What stands there in hedge mode; something else is one-way, nothing is not known."""
    of_market: Literal["", "symbol", "list"] = ""
    """Whether the method is asked about a market."""


class Dialect(msgspec.Struct, frozen=True):
    """How one exchange differs."""

    client_order_id: Callable[[str], str] = _as_it_is
    """From an intent's 28 hexadecimal digits to an id in the form that the exchange takes."""
    client_id_field: str = "clientOrderId"
    """The parameter that carries it, where ccxt does not translate its own."""
    look_up: Mapping[str, object] | None = None
    """Parameters of fetch_order that find an order by its client order id, "{}" standing for it; None: it cannot."""
    look_up_in: tuple[str, ...] = ("spot", "swap", "future")
    """The kinds of market in which that works."""
    look_up_id: str | None = None
    """What stands for the exchange's id meanwhile."""
    fetch_order: Mapping[str, object] = {}
    """Parameters that fetch_order always needs."""
    number_amounts: bool = False
    """ccxt calculates with an order's amount here, so that it cannot be a text."""
    leverage_in_orders: bool = False
    """An order carries its leverage; ccxt says 1 where nothing else is said."""
    margin_mode_in: Literal["market", "orders", "both"] = "both"
    """Where the margin mode is said: once of a market, in every request, or, where that is not known, in both."""
    leverage_side: HedgeSide | None = None
    """How the leverage of a hedge's leg is set where margin is isolated; None: there is one leverage for both."""
    hedge_side: HedgeSide | None = None
    """How an order says its leg; None: by ccxt's `hedged`."""
    hedge_by_reduction: bool = False
    """An order says its leg by `reduceOnly` alone; `hedged` would name the wrong one, or be an unknown field."""
    mode: ModeQuestion | None = None
    """How the position mode is learnt."""
    sees: Literal["everything", "subtype", "settle"] = "everything"
    """Of which markets one answer of fetch_positions tells: all, the linear or the inverse ones, those of one coin."""
    account: Callable[[str], Mapping[str, str]] = _nothing
    """From the quote currency to the parameters that name the account in fetch_positions and fetch_balance."""
    balance: Mapping[str, str] = {}
    """More parameters of fetch_balance, for derivatives: a class may not heed the client's type of market."""
    equity: tuple[Path, ...] = ()
    """Paths to the account's equity, open profit and loss included, in a raw balance; else the total of the quote."""
    open_profit: Path = ()
    """Path to the open profit and loss, where the total leaves it out."""
    position_margin: tuple[Path, ...] = ()
    """Paths to the margin that positions use, orders not counted, in a raw balance."""
    market_maximum: Path = ()
    """Path to the largest market order in a raw market, where ccxt tells another one."""
    stream_fee_sign: int = 1
    """-1 where ccxt gives a fee that a stream tells as the exchange writes it: negative when it is paid."""
    priced_market_orders: bool = False
    """A market order must carry a price, from which the exchange's slippage limit is measured."""
    options: Mapping[str, object] = {}
    """Constructor options that it needs."""


BY_ID = {"clientOrderId": "{}"}
OKX = Dialect(
    look_up=BY_ID,
    stream_fee_sign=-1,
    market_maximum=("maxMktSz",),
    position_margin=(
        ("data", 0, "details", ("ccy", "{quote}"), "mmr"),
        ("data", 0, "details", ("ccy", "{quote}"), "isoEq"),
    ),
    margin_mode_in="orders",
    leverage_side=HedgeSide("posSide", "long", "short"),
)

DIALECTS: Mapping[str, Dialect] = {
    "apex": Dialect(look_up=BY_ID, priced_market_orders=True),
    "aster": Dialect(
        look_up=BY_ID,
        hedge_side=HedgeSide("positionSide"),
        open_profit=(("asset", "{quote}"), "crossUnPnl"),
    ),
    "backpack": Dialect(client_order_id=_number(32)),
    "binance": Dialect(
        look_up=BY_ID,
        sees="subtype",
        position_margin=(("totalPositionInitialMargin",),),
        margin_mode_in="market",  # in other requests it would mean the margin account
        options={"warnOnFetchOpenOrdersWithoutSymbol": False, "fetchMargins": False},
    ),
    "bingx": Dialect(look_up=BY_ID, sees="subtype", equity=(("data", ("asset", "{quote}"), "equity"),)),
    "bitfinex": Dialect(client_order_id=_number(45)),
    "bitget": Dialect(
        look_up=BY_ID,
        look_up_id="",
        sees="settle",
        account=_bitget_product,
        mode=ModeQuestion("fetch_margin_mode", ("info", "posMode"), ("hedge_mode",), "symbol"),
    ),
    "bitrue": Dialect(look_up=BY_ID),
    "bitstamp": Dialect(look_up=BY_ID),
    "bitvavo": Dialect(client_order_id=_uuid, look_up=BY_ID, options={"operatorId": 1}),
    "btse": Dialect(balance={"type": "swap"}),
    "bybit": Dialect(
        look_up={"orderLinkId": "{}", "acknowledged": True},
        fetch_order={"acknowledged": True},
        sees="settle",
        mode=ModeQuestion("fetch_positions", (0, "hedged"), (True,), "list"),
        equity=(("result", "list", 0, "totalEquity"),),
        market_maximum=("lotSizeFilter", "maxMktOrderQty"),
    ),
    "coinbase": Dialect(client_order_id=_uuid, client_id_field="client_order_id"),
    "coinbaseinternational": Dialect(),  # without it, coinbase's row would fit
    "cryptocom": Dialect(client_id_field="client_oid", look_up={"client_oid": "{}"}),
    "deribit": Dialect(client_id_field="label"),
    "derive": Dialect(priced_market_orders=True),
    "gate": Dialect(
        look_up=BY_ID,
        hedge_by_reduction=True,
        sees="settle",
        account=_gate_settle,
        mode=ModeQuestion("fetch_balance", ("info", 0, "in_dual_mode"), (True,)),
        open_profit=(0, "unrealised_pnl"),
    ),
    "hashkey": Dialect(look_up=BY_ID, look_up_in=("spot",)),
    "htx": Dialect(
        client_order_id=_number(53),
        look_up=BY_ID,
        sees="subtype",
        hedge_side=HedgeSide("position_side", "long", "short"),
    ),
    "hyperliquid": Dialect(
        client_order_id=_hyperliquid,
        look_up=BY_ID,
        equity=(("marginSummary", "accountValue"),),
        priced_market_orders=True,
        options={"refSet": True},  # else a referrer is set
    ),
    "kraken": Dialect(client_order_id=_thirty_two),
    "krakenfutures": Dialect(client_order_id=_thirty_two, equity=(("accounts", "flex", "portfolioValue"),)),
    "kucoin": Dialect(look_up=BY_ID, number_amounts=True, leverage_in_orders=True, equity=(("data", "accountEquity"),)),
    "mexc": Dialect(look_up=BY_ID, look_up_in=("spot",), hedge_by_reduction=True),
    "modetrade": Dialect(look_up=BY_ID),
    "myokx": OKX,
    "okx": OKX,
    "paradex": Dialect(look_up=BY_ID),
    "phemex": Dialect(
        look_up=BY_ID,
        sees="settle",
        account=_phemex_settle,
        mode=ModeQuestion("fetch_positions", (0, "hedged"), (True,), "list"),
    ),
    "poloniex": Dialect(hedge_side=HedgeSide("posSide"), equity=(("data", "eq"),)),
    "whitebit": Dialect(hedge_side=HedgeSide("positionSide")),
    "woo": Dialect(client_order_id=_number(62), look_up=BY_ID, hedge_side=HedgeSide("positionSide")),
    "woofipro": Dialect(look_up=BY_ID),
}
"""By the beginning of the exchange's id; the longest that fits."""


def dialect_of(exchange: str) -> Dialect:
    """Return how an exchange differs from ccxt's unified interface."""
    fitting = [prefix for prefix in DIALECTS if exchange.startswith(prefix)]
    return DIALECTS[max(fitting, key=len)] if fitting else Dialect()


def filled_in(parameters: Mapping[str, object], client_order_id: str) -> dict[str, object]:
    """Return look-up parameters for an order."""
    return {name: client_order_id if value == "{}" else value for name, value in parameters.items()}


def at_path(reply: Any, path: Path, quote: str = "") -> object:
    """Return what stands at a path in a raw reply, None where there is nothing; "{quote}" is the quote currency."""
    for step in path:
        if isinstance(step, int) and isinstance(reply, list) and len(reply) > step:
            reply = reply[step]
        elif isinstance(step, tuple) and isinstance(reply, list):
            wanted = step[1].replace("{quote}", quote)
            reply = next((row for row in reply if isinstance(row, dict) and row.get(step[0]) == wanted), None)
        elif isinstance(step, str) and isinstance(reply, dict):
            reply = reply.get(step)
        else:
            return None
    found: object = reply
    return found
