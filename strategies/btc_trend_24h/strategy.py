"""Long bitcoin while it is higher than a day ago.

A rise goes on more often than it should. The band, about what a day moves anyway, keeps the position where it is while
the price goes nowhere, which saves fees. Its weakness is a market that swings by a few percent a day: each swing is
bought high and sold low.
"""

import numpy as np

from portfoliod import sdk

BAND = 0.03


def position(candles: sdk.Candles) -> sdk.Floats:
    """Return 1 from a rise of more than the band until a fall of more than the band, and 0 otherwise."""
    change = candles.close / sdk.lagged(candles.close, candles.count("24h")) - 1
    return sdk.hold(np.where(change > BAND, 1.0, np.where(change < -BAND, 0.0, np.nan)))


strategy = sdk.Strategy(symbol="BTCUSDT", position=position)

if __name__ == "__main__":
    strategy.run()
