"""The contract of every venue, on an exchange without websockets that finds no finished order."""

from __future__ import annotations

from tests.emulators.btse import BtseFutures
from tests.venues.test_ccxt_contract import OnExchange


class TestBtse(OnExchange):
    """Asked for everything: what became of an order is told by its reply and by the trades."""

    kind = "btse"
    forms = ("ETH-PERP-USDT", "ETHUSDT", "ETH/USDT", "ETH-USDT", "ETH/USDT:USDT")
    make = BtseFutures
