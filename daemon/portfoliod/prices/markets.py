"""The markets that exist in simulation: well-known coins with prices, ticks and steps of a familiar size."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

import msgspec


class SimulatedMarket(msgspec.Struct, frozen=True):
    """One coin against a dollar."""

    base: str
    reference: float
    """The price around which the simulated one moves, in the quote currency."""
    volatility: float
    """Annualized standard deviation of daily log returns."""
    tick: Decimal
    """Prices are multiples of it; a power of ten."""
    step: Decimal
    """Quantities are multiples of it, in the base currency."""
    min_quantity: Decimal


def _market(base: str, reference: float, volatility: float, tick: str, step: str) -> tuple[str, SimulatedMarket]:
    return base, SimulatedMarket(base, reference, volatility, Decimal(tick), Decimal(step), Decimal(step))


MARKETS: Mapping[str, SimulatedMarket] = MappingProxyType(
    dict(
        [
            _market("BTC", 60_000.0, 0.50, "0.1", "0.001"),
            _market("ETH", 3_000.0, 0.62, "0.01", "0.001"),
            _market("BNB", 550.0, 0.55, "0.01", "0.01"),
            _market("SOL", 150.0, 0.80, "0.01", "0.01"),
            _market("XRP", 0.60, 0.70, "0.0001", "0.1"),
            _market("ADA", 0.50, 0.75, "0.0001", "1"),
            _market("DOGE", 0.15, 0.85, "0.00001", "1"),
            _market("LTC", 80.0, 0.65, "0.01", "0.001"),
            _market("DOT", 6.5, 0.75, "0.001", "0.1"),
            _market("LINK", 15.0, 0.75, "0.001", "0.01"),
            _market("AVAX", 30.0, 0.85, "0.001", "0.1"),
            _market("TRX", 0.12, 0.50, "0.00001", "1"),
            _market("BCH", 400.0, 0.75, "0.01", "0.001"),
            _market("NEAR", 5.0, 0.90, "0.001", "1"),
            _market("ATOM", 8.0, 0.70, "0.001", "0.01"),
            _market("UNI", 8.0, 0.85, "0.001", "0.1"),
            _market("ETC", 25.0, 0.70, "0.001", "0.01"),
            _market("XLM", 0.12, 0.70, "0.00001", "1"),
            _market("FIL", 5.5, 0.80, "0.001", "0.1"),
            _market("APT", 9.0, 0.85, "0.001", "0.1"),
            _market("ARB", 0.90, 0.85, "0.0001", "0.1"),
            _market("OP", 2.0, 0.90, "0.0001", "0.1"),
            _market("SUI", 1.2, 0.95, "0.0001", "0.1"),
            _market("INJ", 25.0, 0.95, "0.001", "0.1"),
            _market("AAVE", 120.0, 0.80, "0.01", "0.1"),
            _market("MKR", 2_500.0, 0.70, "0.1", "0.001"),
            _market("ALGO", 0.18, 0.75, "0.0001", "0.1"),
            _market("HBAR", 0.08, 0.80, "0.00001", "1"),
            _market("ICP", 10.0, 0.85, "0.001", "1"),
            _market("VET", 0.03, 0.75, "0.00001", "1"),
            _market("SAND", 0.40, 0.85, "0.0001", "1"),
            _market("GRT", 0.20, 0.90, "0.00001", "1"),
            _market("EOS", 0.70, 0.65, "0.0001", "0.1"),
            _market("XTZ", 0.90, 0.70, "0.0001", "0.1"),
            _market("RUNE", 5.0, 0.95, "0.001", "1"),
        ]
    )
)
"""The simulated markets by their base currency."""
