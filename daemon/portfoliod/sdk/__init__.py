"""What a strategy.py imports: from candles to a published position and its daily returns.

    import numpy as np

    from portfoliod import sdk


    def position(candles: sdk.Candles) -> sdk.Floats:
        change = candles.close / sdk.lagged(candles.close, candles.count("24h")) - 1
        return sdk.hold(np.where(change > 0.01, 1.0, np.where(change < -0.01, 0.0, np.nan)))


    strategy = sdk.Strategy(symbol="BTCUSDT", position=position)

    if __name__ == "__main__":
        strategy.run()

The function returns one number a candle: the position that it wants once that candle has closed, where 1.0 is the whole
weight of the strategy long. It may look at that candle and at earlier ones; `backtest` says from when it earns.
"""

from portfoliod.prices.candles import Candles, Floats
from portfoliod.sdk.returns import DailyReturns, align, backtest
from portfoliod.sdk.signals import daily, hold, lagged, windows
from portfoliod.sdk.strategy import Strategy, load

__all__ = [
    "Candles",
    "DailyReturns",
    "Floats",
    "Strategy",
    "align",
    "backtest",
    "daily",
    "hold",
    "lagged",
    "load",
    "windows",
]
