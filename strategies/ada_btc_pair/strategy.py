"""Cardano against bitcoin: long the one that fell behind, short the other, until the gap closes.

Only the ratio of the two prices counts, whatever the market does. Its weakness is a ratio that never comes back.
"""

from collections.abc import Mapping

import numpy as np

from portfoliod import sdk

ENTRY = 2.0


def positions(candles: Mapping[str, sdk.Candles]) -> dict[str, sdk.Floats]:
    """Return half of the weight in each coin, with opposite signs, or nothing."""
    ada, btc = candles["ADAUSDT"], candles["BTCUSDT"]
    ratio = np.log(ada.close / btc.close)
    recent = sdk.windows(ratio, ada.count("10d"))
    distance = (ratio - recent.mean(axis=1)) / recent.std(axis=1)
    entry = np.where(distance < -ENTRY, 0.5, np.where(distance > ENTRY, -0.5, np.nan))
    closed = np.abs(distance) < 0.5
    half = sdk.hold(np.where(closed, 0.0, entry))
    return {"ADAUSDT": half, "BTCUSDT": -half}


strategy = sdk.Strategy(symbols=("ADAUSDT", "BTCUSDT"), positions=positions)

if __name__ == "__main__":
    strategy.run()
