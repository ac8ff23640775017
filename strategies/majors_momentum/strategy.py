"""Long the two strongest of five large coins and short the two weakest, by their last 30 days, decided once a day.

The market as a whole cancels out, so that it earns at other times than the trend followers. Its weakness is a weak coin
that doubles in a day, and that four positions pay fees.
"""

from collections.abc import Mapping

import numpy as np

from portfoliod import sdk

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "ADAUSDT", "LTCUSDT")
SHARES = np.array([-0.25, -0.25, 0.0, 0.25, 0.25])


def positions(candles: Mapping[str, sdk.Candles]) -> dict[str, sdk.Floats]:
    """Return the share of each coin by its rank: all of them together are 1."""
    changes = {
        symbol: market.close / sdk.lagged(market.close, market.count("30d")) for symbol, market in candles.items()
    }
    table = np.stack([changes[symbol] for symbol in SYMBOLS])
    ranks = table.argsort(axis=0).argsort(axis=0)
    shares = np.where(np.isfinite(table).all(axis=0), SHARES[ranks], 0.0)
    return {symbol: sdk.daily(candles[symbol], row) for symbol, row in zip(SYMBOLS, shares, strict=True)}


strategy = sdk.Strategy(symbols=SYMBOLS, positions=positions)

if __name__ == "__main__":
    strategy.run()
