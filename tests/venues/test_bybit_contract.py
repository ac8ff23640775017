"""The contract of every venue, on an emulated Bybit."""

from __future__ import annotations

import pytest

from tests.emulators.bybit import BybitLinear
from tests.venues.test_ccxt_contract import OnExchange

pytestmark = pytest.mark.slow  # an exchange and its client in each test


class TestBybit(OnExchange):
    """Bybit's linear contracts, one-way: replies without status, a client order id that is never free again."""

    kind = "bybit"
    forms = ("ETHUSDT", "ETH/USDT", "ETH-USDT", "ETH/USDT:USDT")
    make = BybitLinear


class TestBybitHedged(TestBybit):
    """Bybit's linear contracts in hedge mode, which no endpoint tells."""

    hedged = True
