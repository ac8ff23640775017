"""The contract of every venue, on an emulated spot market whose fees are paid in a currency kept for them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.emulators.binance_spot import BinanceSpot
from tests.emulators.server import Exchange
from tests.venues.test_ccxt_contract import OnExchange

pytestmark = pytest.mark.slow  # an exchange and its client in each test


def with_fees_in_bnb() -> Exchange:
    """Return an account whose buys yield what was ordered, to the last digit."""
    return BinanceSpot(fee_currency="BNB")


class TestBinanceSpot(OnExchange):
    """Binance's spot market: positions are balances, orders are filled in the reply."""

    kind = "binance"
    symbol = "ETH/USDT"
    forms = ("ETHUSDT", "ETH/USDT", "ETH-USDT")
    table: Mapping[str, object] = {"market_type": "spot"}
    make = staticmethod(with_fees_in_bnb)
