"""Short bitcoin while it is lower than a day ago: the other half of btc_trend_24h.

A strategy of its own, so that the optimizer can weigh both halves: together they net to one position. Its weakness is
a market that rises for years with sudden recoveries; it earns its place by losing at other times than the long half.
"""

import numpy as np

from portfoliod import sdk

BAND = 0.03


def position(candles: sdk.Candles) -> sdk.Floats:
    """Return -1 from a fall of more than the band until a rise of more than the band, and 0 otherwise."""
    change = candles.close / sdk.lagged(candles.close, candles.count("24h")) - 1
    return sdk.hold(np.where(change < -BAND, -1.0, np.where(change > BAND, 0.0, np.nan)))


strategy = sdk.Strategy(symbol="BTCUSDT", position=position)

if __name__ == "__main__":
    strategy.run()
