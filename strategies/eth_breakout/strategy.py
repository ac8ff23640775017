"""Long ether from a new 20-day high until a new 10-day low: the channel breakout of Richard Donchian.

It is seldom in the market, and then for weeks. Its weakness is that it gives back the last part of each move, and all
of the moves that are false.
"""

import numpy as np

from portfoliod import sdk


def position(candles: sdk.Candles) -> sdk.Floats:
    """Return 1 from a close above the channel until a close below the shorter channel, and 0 otherwise."""
    high = sdk.windows(candles.high, candles.count("20d")).max(axis=1)
    low = sdk.windows(candles.low, candles.count("10d")).min(axis=1)
    above = candles.close > sdk.lagged(high, 1)
    below = candles.close < sdk.lagged(low, 1)
    return sdk.hold(np.where(above, 1.0, np.where(below, 0.0, np.nan)))


strategy = sdk.Strategy(symbol="ETHUSDT", position=position)

if __name__ == "__main__":
    strategy.run()
