"""What ccxt's unified interface leaves to each exchange: ids, look-ups, where the equity stands.

An exchange that has no row here works by the unified interface alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec


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


class Dialect(msgspec.Struct, frozen=True):
    """How one exchange differs."""

    client_order_id: Callable[[str], str] = _as_it_is
    """From an intent's 28 hexadecimal digits to an id in the form that the exchange takes."""
    look_up: Mapping[str, object] | None = None
    """Parameters of fetch_order that find an order by its client order id, "{}" standing for it; None: it cannot."""
    fetch_order: Mapping[str, object] = {}
    """Parameters that fetch_order always needs."""
    equity: tuple[tuple[str | int, ...], ...] = ()
    """Paths to the account's equity, open profit and loss included, in a raw balance; else the total of the quote."""
    position_margin: tuple[str | int, ...] = ()
    """Path to the margin that positions use, orders not counted, in a raw balance."""
    stream_fee_sign: int = 1
    """-1 where ccxt gives a fee that a stream tells as the exchange writes it: negative when it is paid."""
    priced_market_orders: bool = False
    """A market order must carry a price, from which the exchange's slippage limit is measured."""
    options: Mapping[str, object] = {}
    """Constructor options that it needs."""


BY_ID = {"clientOrderId": "{}"}

DIALECTS: Mapping[str, Dialect] = {
    "binance": Dialect(
        look_up=BY_ID,
        position_margin=("totalPositionInitialMargin",),
        options={"warnOnFetchOpenOrdersWithoutSymbol": False},
    ),
    "okx": Dialect(look_up=BY_ID, stream_fee_sign=-1),
    "myokx": Dialect(look_up=BY_ID, stream_fee_sign=-1),
    "bybit": Dialect(
        look_up={"orderLinkId": "{}", "acknowledged": True},
        fetch_order={"acknowledged": True},
        equity=(("result", "list", 0, "totalEquity"),),
    ),
    "hyperliquid": Dialect(
        client_order_id=_hyperliquid,
        look_up=BY_ID,
        equity=(("marginSummary", "accountValue"),),
        priced_market_orders=True,
    ),
    "bitget": Dialect(look_up=BY_ID),
    "kucoin": Dialect(look_up=BY_ID, equity=(("data", "accountEquity"),)),
    "mexc": Dialect(look_up=BY_ID),
    "phemex": Dialect(look_up=BY_ID),
    "htx": Dialect(look_up=BY_ID),
    "paradex": Dialect(look_up=BY_ID),
    "bingx": Dialect(look_up=BY_ID),
    "kraken": Dialect(client_order_id=_thirty_two),
    "bitvavo": Dialect(client_order_id=_uuid, look_up=BY_ID),
    "woo": Dialect(client_order_id=_number(62), look_up=BY_ID),
    "bitfinex": Dialect(client_order_id=_number(45)),
}
"""By the beginning of the exchange's id; the longest that fits."""


def dialect_of(exchange: str) -> Dialect:
    """Return how an exchange differs from ccxt's unified interface."""
    fitting = [prefix for prefix in DIALECTS if exchange.startswith(prefix)]
    return DIALECTS[max(fitting, key=len)] if fitting else Dialect()


def filled_in(parameters: Mapping[str, object], client_order_id: str) -> dict[str, object]:
    """Return look-up parameters for an order."""
    return {name: client_order_id if value == "{}" else value for name, value in parameters.items()}


def at_path(reply: Any, path: tuple[str | int, ...]) -> object:
    """Return what stands at a path in a raw reply, None where there is nothing."""
    for step in path:
        if isinstance(step, int) and isinstance(reply, list) and len(reply) > step:
            reply = reply[step]
        elif isinstance(reply, dict):
            reply = reply.get(step)
        else:
            return None
    found: object = reply
    return found
