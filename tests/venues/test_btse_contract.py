"""The contract of every venue, on an exchange without websockets that finds no finished order."""

from __future__ import annotations

import pytest

from tests.emulators.btse import BtseFutures
from tests.venues.test_ccxt_contract import OnExchange

pytestmark = pytest.mark.slow  # an exchange and its client in each test


class TestBtse(OnExchange):
    """Asked for everything: what became of an order is told by its reply and by the trades."""

    kind = "btse"
    forms = ("ETH-PERP-USDT", "ETHUSDT", "ETH/USDT", "ETH-USDT", "ETH/USDT:USDT")
    make = BtseFutures
