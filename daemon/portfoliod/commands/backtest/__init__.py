"""`portfoliod backtest`: does the allocation beat chance out of sample? A table, a file and a picture."""

from portfoliod.commands.backtest.command import backtest
from portfoliod.commands.backtest.table import table

__all__ = ["backtest", "table"]
