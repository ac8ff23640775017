"""A strategy: a function from candles to positions, and the two files that it publishes."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import overload

import numpy as np

from portfoliod.errors import FileRejected, PortfoliodError, UsageError
from portfoliod.prices.candles import Candles, Floats
from portfoliod.sdk.returns import DailyReturns, align
from portfoliod.workspace import STRATEGY_NAME, write_atomically

OneMarket = Callable[[Candles], Floats]
SeveralMarkets = Callable[[Mapping[str, Candles]], Mapping[str, Floats]]


class Strategy:
    """One strategy, defined at the top of the strategy.py that it lives in.

    It writes into the folder of that file and nowhere else.

    Attributes:
        symbols: the markets that it trades.
    """

    @overload
    def __init__(self, *, symbol: str, position: OneMarket) -> None: ...

    @overload
    def __init__(self, *, symbols: Sequence[str], positions: SeveralMarkets) -> None: ...

    def __init__(
        self,
        *,
        symbol: str | None = None,
        position: OneMarket | None = None,
        symbols: Sequence[str] = (),
        positions: SeveralMarkets | None = None,
    ) -> None:
        """Take one market and its function, or several and theirs.

        Args:
            symbol: the market of `position`.
            position: from that market's candles to one target position a candle.
            symbols: the markets of `positions`.
            positions: from candles by symbol, aligned on common times, to an array of target positions by symbol.
        """
        self._one = symbol is not None
        if symbol is not None and position is not None:
            function = position
            self.symbols: tuple[str, ...] = (symbol,)
            self._positions: SeveralMarkets = lambda candles: {symbol: function(candles[symbol])}
        elif symbols and positions is not None:
            self.symbols, self._positions = tuple(symbols), positions
        else:
            raise TypeError("give symbol and position, or symbols and positions")
        self._path = Path(sys._getframe(1).f_globals["__file__"]).absolute()

    @property
    def path(self) -> Path:
        """The strategy.py that defined it."""
        return self._path

    @property
    def name(self) -> str:
        """The strategy's name, which is its folder's."""
        return self.path.parent.name

    def positions(self, candles: Mapping[str, Candles]) -> dict[str, Floats]:
        """Return for each symbol the target position at the close of each candle (of the times that all markets have).

        Raises:
            PortfoliodError: the author's function returned something else than one finite number a candle.
        """
        aligned = align({symbol: candles[symbol] for symbol in self.symbols})
        wanted = self._positions(aligned)
        return {symbol: self._checked(wanted, symbol, len(aligned[symbol])) for symbol in self.symbols}

    def _checked(self, wanted: Mapping[str, Floats], symbol: str, count: int) -> Floats:
        found = ""
        if symbol not in wanted:
            found = "nothing"
        else:
            values = np.asarray(wanted[symbol], dtype=np.float64)
            if values.shape != (count,):
                found = f"shape {values.shape} for {count} candles"
            elif not np.isfinite(values).all():
                found = f"{values[~np.isfinite(values)][0]} at candle {int(np.argmin(np.isfinite(values)))}"
        if found:
            raise PortfoliodError(
                f"the positions in {symbol} do not fit",
                where=str(self.path),
                found=found,
                mend="return one finite number a candle; 0 while there is not enough history",
            )
        return values + 0.0  # turns -0.0 into 0.0

    def publish_state(self, positions: Mapping[str, float], at: float) -> Path:
        """Write state.json: what the strategy wants to hold since `at` (epoch seconds), when its last candle closed.

        The time is that of the data and not of the call: a state from prices that stand still is seen to grow old, and
        a second call writes the same bytes.

        Raises:
            FileRejected: the file cannot be written; the one before stays as it was.
        """
        rounded = {symbol: round(float(positions[symbol]), 6) for symbol in self.symbols}
        if self._one:
            symbol = self.symbols[0]
            document: dict[str, object] = {"position": rounded[symbol], "symbol": symbol}
        else:
            document = {"positions": rounded}
        return self._write("state.json", {**document, "updated_at": _iso(at)})

    def publish_stats(self, returns: DailyReturns, facts: Mapping[str, object] | None = None) -> Path:
        """Write stats.json: the daily returns, their summary, and more facts that the daemon does not read.

        Raises:
            FileRejected: the file cannot be written; the one before stays as it was.
        """
        return self._write(
            "stats.json",
            {
                "daily_dates": returns.dates,
                "daily_returns": [round(value, 10) for value in returns.values.tolist()],
                "symbols": list(self.symbols),
                "total_return": round(returns.total, 6),
                "sharpe": round(returns.sharpe, 4),
                "max_drawdown": round(returns.max_drawdown, 6),
                **(facts or {}),
            },
        )

    def _write(self, name: str, document: Mapping[str, object]) -> Path:
        target = self._own_folder() / name
        if target.is_symlink():
            raise _not_its_own(target, f"a link to {target.readlink()}", "remove the link")
        try:
            write_atomically(target, json.dumps(document, allow_nan=False).encode() + b"\n")
        except OSError as error:
            raise FileRejected(
                f"{name} cannot be written",
                where=str(target),
                found=error.strerror or str(error),
                kept="the file before, if there was one",
                mend="let the user that runs the strategy write to its folder, and have room on the disk",
            ) from error
        return target

    def _own_folder(self) -> Path:
        """Return the folder that it may write into.

        Raises:
            FileRejected: it is another strategy's.
        """
        folder = self.path.parent.resolve()
        if folder.name != self.name and folder.parent == self.path.parent.parent.resolve():
            raise _not_its_own(self.path.parent, f"a link to the folder of {folder.name}", "link to a folder elsewhere")
        program = getattr(sys.modules["__main__"], "__file__", None)
        running = folder if program is None else Path(program).absolute().parent.resolve()
        if running != folder and running.parent == folder.parent and STRATEGY_NAME.fullmatch(running.name):
            found = f"{running.name} is running, {self.name} would be written"
            raise _not_its_own(folder, found, "import the function, and define a strategy of its own with it")
        return folder

    def run(self, arguments: Sequence[str] | None = None) -> None:
        """Do what the command line asks for (`--help` lists it) and leave the process with an exit code."""
        from portfoliod.sdk.command import main

        sys.exit(main(self, sys.argv[1:] if arguments is None else arguments))


def _not_its_own(where: Path, found: str, mend: str) -> FileRejected:
    return FileRejected("a strategy writes into its own folder only", where=str(where), found=found, mend=mend)


def load(path: Path) -> Strategy:
    """Return the `strategy` that a strategy.py defines, without running its command line.

    Raises:
        UsageError: there is no such file, or it defines none.
    """
    name = f"portfoliod_strategy_{path.absolute().parent.name}"
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError("there is no such strategy", where=str(path), mend="name a strategy.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass of the author looks itself up there
    spec.loader.exec_module(module)
    strategy = getattr(module, "strategy", None)
    if not isinstance(strategy, Strategy):
        raise UsageError("the file defines no strategy", where=str(path), mend="add a line: strategy = sdk.Strategy(…)")
    return strategy


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")
