"""`portfoliod new NAME`: a strategy folder that works as it is."""

from __future__ import annotations

from portfoliod.errors import UsageError
from portfoliod.workspace import STRATEGY_NAME, Workspace, write_atomically

TEMPLATE = '''"""Long BTC while it trades above its average of the last DAYS days."""

import numpy as np

from portfoliod import sdk

DAYS = 10


def position(candles: sdk.Candles) -> sdk.Floats:
    """Return the position that is wanted once each candle has closed: 1.0 is this strategy's whole weight, long."""
    window = candles.count(f"{DAYS}d")
    average = sdk.windows(candles.close, window).mean(axis=1)
    above, below = candles.close > average * 1.01, candles.close < average * 0.99
    return sdk.hold(np.where(above, 1.0, np.where(below, 0.0, np.nan)))


strategy = sdk.Strategy(symbol="BTCUSDT", position=position, interval="1h")

if __name__ == "__main__":
    strategy.run()
'''


def create_strategy(workspace: Workspace, name: str) -> str:
    """Create a strategy's folder with a strategy.py, and return what to do next.

    Raises:
        UsageError: the name is not allowed, or taken.
    """
    folder = workspace.strategies / name
    if STRATEGY_NAME.fullmatch(name) is None:
        raise UsageError(
            "not a strategy's name",
            found=repr(name),
            mend="letters, digits, dots, dashes and underscores, at most 64, a letter or digit first",
        )
    if folder.exists():
        raise UsageError(
            "the folder exists already", where=str(folder), kept="nothing was changed", mend="choose another name"
        )
    folder.mkdir(parents=True)
    write_atomically(folder / "strategy.py", TEMPLATE.encode())
    shown = workspace.shown(folder / "strategy.py")
    return f"created {shown}\nbacktest and publish: python {shown}"
