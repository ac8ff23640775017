"""The table of a venue with driver = "ccxt"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from portfoliod.settings import Positive
from portfoliod.venues.protocol import PositionMode


class CcxtSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator says of an account on an exchange."""

    exchange: str
    """ccxt's id: binanceusdm, okx, bybit, hyperliquid…"""
    driver: str = "ccxt"
    market_type: Literal["swap", "future", "spot"] = "swap"
    """Preferred where a strategy's symbol fits several markets; spot: positions are balances."""
    quote: str = "USDT"
    """Preferred quote currency, and the currency of equity."""
    options: Mapping[str, object] = {}
    """Handed verbatim to ccxt's constructor, merged deeply over what the venue sets itself."""
    sandbox: bool = False
    """The exchange's test network."""
    timeout_seconds: Positive = 10.0
    """Of one request."""
    absence_grace_seconds: Positive = 10.0
    """For how long after an order without an answer the exchange may still not know it: only then is it proven that it
    never arrived."""
    position_mode: PositionMode | None = None
    """Unset: asked of the exchange."""
    margin_mode: Literal["cross", "isolated"] | None = None
    """Applied to each managed market at start; unset: never touched."""
    set_leverage: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The exchange's leverage setting, applied likewise. It changes the margin that is needed, no position's size."""
