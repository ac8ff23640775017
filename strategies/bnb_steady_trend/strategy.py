"""Long BNB above its mean of 20 days, with less of it the more it moves, decided once a day.

The position is what makes the annual volatility about 60 percent, in quarters so that it seldom changes, and at most 1.
Its weakness is that it is small after a crash, when the recovery begins.
"""

import numpy as np

from portfoliod import sdk

TARGET_VOLATILITY = 0.6


def position(candles: sdk.Candles) -> sdk.Floats:
    """Return between 0 and 1, in quarters."""
    returns = np.diff(np.log(candles.close), prepend=np.nan)
    per_year = candles.count("365d")
    volatility = sdk.windows(returns, candles.count("10d")).std(axis=1) * np.sqrt(per_year)
    size = np.minimum(1.0, np.round(4 * TARGET_VOLATILITY / volatility) / 4)
    mean = sdk.windows(candles.close, candles.count("20d")).mean(axis=1)
    return sdk.daily(candles, np.where(candles.close > mean, size, 0.0))


strategy = sdk.Strategy(symbol="BNBUSDT", position=position)

if __name__ == "__main__":
    strategy.run()
