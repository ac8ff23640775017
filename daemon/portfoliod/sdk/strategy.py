"""A strategy: a function from candles to positions, and the two files that it publishes."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import overload

import numpy as np

from portfoliod.errors import FileRejected, PortfoliodError, UsageError
from portfoliod.prices.candles import Candles, Floats, format_interval, parse_interval
from portfoliod.sdk.returns import DailyReturns, align, checked
from portfoliod.workspace import STRATEGY_NAME, write_atomically

OneMarket = Callable[[Candles], Floats]
SeveralMarkets = Callable[[Mapping[str, Candles]], Mapping[str, Floats]]
_SAME = 1e-6
"""Positions are published with so many digits; sums of another length differ by less."""
_loading: ContextVar[Path | None] = ContextVar("_loading", default=None)
"""The file that `load` is running."""


class Strategy:
    """One strategy, defined at the top of the strategy.py that it lives in.

    It writes into one folder and nowhere else: that of the strategy.py which runs or is given to `load`, whatever
    module this is called in, or `folder`. In a notebook it has none: all but publishing works there.

    Attributes:
        symbols: the markets that it trades.
        interval: the length of its candles in seconds.
    """

    @overload
    def __init__(
        self, *, symbol: str, position: OneMarket, interval: str = ..., folder: Path | str | None = ...
    ) -> None: ...

    @overload
    def __init__(
        self, *, symbols: Sequence[str], positions: SeveralMarkets, interval: str = ..., folder: Path | str | None = ...
    ) -> None: ...

    def __init__(
        self,
        *,
        symbol: str | None = None,
        position: OneMarket | None = None,
        symbols: Sequence[str] = (),
        positions: SeveralMarkets | None = None,
        interval: str = "1h",
        folder: Path | str | None = None,
    ) -> None:
        """Take one market and its function, or several and theirs.

        Args:
            symbol: the market of `position`.
            position: from that market's candles to one target position a candle.
            symbols: the markets of `positions`.
            positions: from candles by symbol, aligned on common times, to an array of target positions by symbol.
            interval: the length of a candle, such as `15m`, `1h` or `1d`; statistics and state are both of it.
            folder: where it publishes, for scripts that do not lie in a folder of strategies/ themselves.

        Raises:
            TypeError: both are given, or neither, or `symbols` is a single string.
            UsageError: `interval` is none.
        """
        if isinstance(symbols, str):
            raise TypeError(f'symbols is one string: write symbols=["{symbols}"], or symbol= and position=')
        given = (symbol is not None, position is not None, bool(symbols), positions is not None)
        if given not in {(True, True, False, False), (False, False, True, True)}:
            raise TypeError("give symbol and position, or symbols and positions")
        self._one = symbol is not None
        if symbol is not None and position is not None:
            function = position
            self.symbols: tuple[str, ...] = (symbol,)
            self._positions: SeveralMarkets = lambda candles: {symbol: function(candles[symbol])}
        elif positions is not None:
            self.symbols, self._positions = tuple(symbols), positions
        self.interval = parse_interval(interval)
        self._path = (_loading.get() or _script()) if folder is None else Path(folder).absolute() / "strategy.py"

    @property
    def path(self) -> Path:
        """The strategy.py that defined it.

        Raises:
            UsageError: none did.
        """
        if self._path is None:
            raise UsageError(
                "the strategy has no folder to publish into",
                found="it was not made by a strategy.py, nor by a script in a folder of strategies/",
                mend='give it one: sdk.Strategy(…, folder="strategies/NAME")',
            )
        return self._path

    @property
    def name(self) -> str:
        """The strategy's name, which is its folder's."""
        return self.path.parent.name

    def positions(self, candles: Mapping[str, Candles]) -> dict[str, Floats]:
        """Return for each symbol the target position at the close of each candle (of the times that all markets have).

        Raises:
            UsageError: a market has no candles.
            PortfoliodError: the author's function returned something else than one finite number a candle.
        """
        if missing := [symbol for symbol in self.symbols if symbol not in candles]:
            raise UsageError(f"there are no candles of {', '.join(missing)}", mend="give those of each market")
        aligned = align({symbol: candles[symbol] for symbol in self.symbols})
        wanted = self._positions(aligned)
        return {symbol: checked(wanted, symbol, len(aligned[symbol]), str(self._path or "")) for symbol in self.symbols}

    def refuse_look_ahead(self, candles: Mapping[str, Candles], positions: Mapping[str, Floats]) -> None:
        """Evaluate the strategy without the last candles, at three cuts, and compare with what it wanted with them.

        The cuts lie just behind a candle at which the position rose, one at which it fell, and any in the second half:
        a decision that was taken with a later candle is another one without it.

        Raises:
            PortfoliodError: a position depends on a later candle.
        """
        aligned = align({symbol: candles[symbol] for symbol in self.symbols})
        count = len(aligned[self.symbols[0]])
        if count < 2:
            return
        random = np.random.default_rng(count)
        steps = np.diff(np.stack([positions[symbol] for symbol in self.symbols]), axis=1)[:, :-1]
        moves = (np.flatnonzero((steps > 0).any(axis=0)), np.flatnonzero((steps < 0).any(axis=0)))
        cuts = {int(random.choice(move)) + 2 for move in moves if len(move)} | {int(random.integers(count // 2, count))}
        for cut in sorted(cuts):
            without = self.positions({symbol: market[:cut] for symbol, market in aligned.items()})
            for symbol, market in aligned.items():
                differs = np.abs(positions[symbol][:cut] - without[symbol]) > _SAME
                if differs.any():
                    at = int(np.argmax(differs))
                    raise PortfoliodError(
                        f"the positions in {symbol} look ahead",
                        where=str(self._path or ""),
                        found=f"at the candle of {iso(market.time[at])}: {positions[symbol][at]:g} with the "
                        f"candles from {iso(market.time[cut])} on, {without[symbol][at]:g} without them",
                        kept="the files before, if there were some",
                        mend="let a position depend on its candle and earlier ones alone, and on no unseeded chance",
                    )

    def publish_state(self, positions: Mapping[str, float], at: float, interval: int | None = None) -> Path:
        """Write state.json: what the strategy wants to hold since `at` (epoch seconds), when its last candle closed.

        The time is that of the data and not of the call: a state from prices that stand still is seen to grow old, and
        a second call writes the same bytes. `interval` is that of the candles, where it is not the strategy's own.

        Raises:
            FileRejected: the file cannot be written; the one before stays as it was.
        """
        rounded = {symbol: round(float(positions[symbol]), 6) for symbol in self.symbols}
        if self._one:
            symbol = self.symbols[0]
            document: dict[str, object] = {"position": rounded[symbol], "symbol": symbol}
        else:
            document = {"positions": rounded}
        told = {"interval": format_interval(interval or self.interval), "updated_at": iso(at)}
        return self._write("state.json", {**document, **told})

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
                "interval": format_interval(self.interval),
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
    token = _loading.set(path.absolute())
    try:
        spec.loader.exec_module(module)
    finally:
        _loading.reset(token)
    strategy = getattr(module, "strategy", None)
    if not isinstance(strategy, Strategy):
        raise UsageError("the file defines no strategy", where=str(path), mend="add a line: strategy = sdk.Strategy(…)")
    return strategy


def _script() -> Path | None:
    """Return the strategy.py, or other script in a folder of strategies/, that is running; None where none is."""
    program = getattr(sys.modules["__main__"], "__file__", None)
    path = Path(program or "/").absolute()
    lies_there = path.parent.parent.name == "strategies" and STRATEGY_NAME.fullmatch(path.parent.name)
    return path if path.name == "strategy.py" or lies_there else None


def iso(time: float) -> str:
    """Return epoch seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")
