"""Buys litecoin when it fell far below its mean of a day, and sells it when it is back there.

Sharp falls overshoot, because those who are in debt have to sell. It earns a little most of the time. Its weakness is
the fall that goes on: it buys at the beginning of each, and has no stop.
"""

import numpy as np

from portfoliod import sdk

ENTRY = 2.0


def position(candles: sdk.Candles) -> sdk.Floats:
    """Return 1 from `ENTRY` standard deviations below the mean until the mean is reached, and 0 otherwise."""
    recent = sdk.windows(candles.close, candles.count("24h"))
    distance = candles.close - recent.mean(axis=1)
    cheap = distance < -ENTRY * recent.std(axis=1)
    return sdk.hold(np.where(cheap, 1.0, np.where(distance >= 0, 0.0, np.nan)))


strategy = sdk.Strategy(symbol="LTCUSDT", position=position)

if __name__ == "__main__":
    strategy.run()
