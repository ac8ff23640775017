"""The command line that every strategy.py has."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from portfoliod.documents import interval_of
from portfoliod.errors import PortfoliodError, UsageError, VenueError
from portfoliod.prices.candles import MILLISECONDS_FROM, Candles, format_interval, parse_interval
from portfoliod.sdk.returns import align, backtest
from portfoliod.sdk.sources import Source, open_source
from portfoliod.sdk.strategy import Strategy, iso
from portfoliod.sdk.surroundings import workspace_source

_DAY = 86_400
_MOST_DAYS = 20_000
_RETRY_SECONDS = 30.0
"""After an error while it follows; of short candles a tenth of their length."""
_PATIENCE_SECONDS = 60.0
"""For how long after its close a candle is waited for; of short candles a tenth of their length."""


class Job(argparse.Namespace):
    """What one call of a strategy.py is to do."""

    source: Source
    interval: int
    days: float
    at: float | None
    backtest: bool
    live: bool
    follow: bool
    fee_bps: float
    slippage_bps: float


def main(strategy: Strategy, arguments: Sequence[str]) -> int:
    """Do what the arguments ask for, say it in one line, and return the exit code."""
    try:
        job = _job(strategy, arguments)
        closed = _publish(strategy, job)
        if job.follow:
            _follow(strategy, job, closed)
    except PortfoliodError as error:
        _say("error", error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, mend=f"python {self.prog} --help lists the options")


def _job(strategy: Strategy, arguments: Sequence[str]) -> Job:
    parser = _Parser(
        prog=strategy.path.name, description=f"Publish what {strategy.name} wants to hold, and its daily returns."
    )
    parser.add_argument(
        "--source",
        type=lambda text: open_source(text, Path.cwd()),
        help="candles:DIR, ccxt:EXCHANGE[:spot] or simulated[:SEED]; else the workspace's venue says",
    )
    own, said = strategy.interval, "length of a candle for both files, in place of the strategy's own"
    parser.add_argument("--interval", type=parse_interval, default=own, help=said)
    parser.add_argument("--days", type=float, default=500.0, help="how much history to load (default: 500)")
    parser.add_argument("--at", type=_time, help="pretend that it is this time: ISO 8601 or epoch seconds")
    parser.add_argument("--backtest", action="store_true", help="write stats.json only")
    parser.add_argument("--live", action="store_true", help="write state.json only")
    parser.add_argument("--follow", action="store_true", help="with --live: stay, and write state.json at every close")
    parser.add_argument("--fee-bps", type=float, default=5.0, help="fee on what is traded (default: 5)")
    parser.add_argument("--slippage-bps", type=float, default=0.0, help="half the spread and more (default: 0)")
    job = parser.parse_args(arguments, namespace=Job())
    if job.backtest and job.live:
        raise UsageError("--backtest and --live exclude each other", mend="leave both out to write both files")
    if not 0 < job.days < _MOST_DAYS:
        raise UsageError("--days is not a history", found=f"{job.days:g}", mend=f"write at most {_MOST_DAYS} days")
    if job.interval != strategy.interval and (job.live or job.backtest):
        found = format_interval(job.interval)
        raise UsageError(
            "one of the two files cannot be of another interval than the other",
            found=f"--interval {found}; the strategy's is {format_interval(strategy.interval)}",
            mend=f'write sdk.Strategy(…, interval="{found}"), or write both files at once',
        )
    job.source = job.source or workspace_source(strategy.path)
    if job.follow and (not job.live or job.at is not None or job.source.delay is None):
        raise UsageError(
            "there is nothing to follow",
            mend="give --follow with --live, without --at, and with prices that go on: ccxt or simulated",
        )
    return job


def _time(text: str) -> float:
    moment = -1.0
    with contextlib.suppress(ValueError):
        parsed = datetime.fromisoformat(text)
        moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    with contextlib.suppress(ValueError):
        moment = float(text)
    if not 0 <= moment < MILLISECONDS_FROM:
        mend = "write for instance 2024-01-31T12:00:00Z, or epoch seconds"
        raise UsageError("--at is not a time", found=f'"{text}"', mend=mend)
    return moment


def _publish(strategy: Strategy, job: Job) -> float:
    """Evaluate the strategy once, write its files, print one line, and return when the candle that was due closed."""
    if job.live:
        _require_own_interval(strategy)
    candles, due = _candles(strategy, job)
    positions = strategy.positions(candles)
    words = [f"{strategy.name}:"]
    if not job.live:
        strategy.refuse_look_ahead(candles, positions)
        returns = backtest(positions, candles, fee_bps=job.fee_bps, slippage_bps=job.slippage_bps)
        strategy.publish_stats(
            returns,
            {
                "interval": format_interval(job.interval),
                "fee_bps": job.fee_bps,
                "slippage_bps": job.slippage_bps,
                "source": job.source.name,
                "generated_at": iso(int(time.time())),
            },
        )
        words.append(
            f"{len(returns)} days, return {returns.total:+.1%}, Sharpe {returns.sharpe:.2f}, "
            f"max drawdown {returns.max_drawdown:.1%},"
        )
    current = {symbol: float(wanted[-1]) for symbol, wanted in positions.items()}
    if not job.backtest:
        strategy.publish_state(current, _closed(candles), job.interval)
    words.append("position " + ", ".join(f"{symbol} {position:+g}" for symbol, position in current.items()))
    print(*words, flush=True)  # noqa: T201 - the one line that the command is asked for
    return due


def _require_own_interval(strategy: Strategy) -> None:
    """Refuse a state beside statistics of other candles: the weight would be that of another strategy."""
    file = strategy.path.with_name("stats.json")
    found = interval_of(file)
    if found not in {None, format_interval(strategy.interval)}:
        raise PortfoliodError(
            "the statistics are those of other candles",
            where=str(file),
            found=f"interval {found}; the strategy's is {format_interval(strategy.interval)}",
            kept="state.json as it was",
            mend="write them anew with --backtest, or change the strategy's interval",
        )


def _candles(strategy: Strategy, job: Job) -> tuple[dict[str, Candles], float]:
    """Return the candles, and when the last one that should be there closed.

    For a state of now it is waited for, a while: exchanges show it some seconds late, and of a market without trades
    never. That an older one has to do is said.
    """
    at = job.source.latest(strategy.symbols, job.interval) if job.at is None else job.at
    candles = _load(strategy, job, at)
    closed = _closed(candles)
    if job.backtest or job.at is not None or job.source.delay is None:
        return candles, closed
    due = closed + (at - closed) // job.interval * job.interval
    if due == closed:
        return candles, due
    patience = min(_PATIENCE_SECONDS, job.interval / 10)
    while (late := _late(strategy, job, closed, due)) and time.time() < due + patience:
        time.sleep(min(1.0, patience))
    if not late:
        with contextlib.suppress(VenueError):  # what was loaded before will do, and that is said
            candles = _load(strategy, job, at)
    if _closed(candles) < due:
        kept = f"the position is that of {iso(_closed(candles))}"
        mend = "where a market has no trade for so long, take a longer interval"
        what = f"the candle that closed at {iso(due)} is not there"
        _say("warning", PortfoliodError(what, where=" ".join((job.source.name, *late)), kept=kept, mend=mend))
    return candles, due


def _late(strategy: Strategy, job: Job, closed: float, due: float) -> list[str]:
    """Return the markets of which the candle that is due was not seen."""
    try:
        found = {symbol: job.source.candles(symbol, job.interval, closed, due).closes_at for symbol in strategy.symbols}
    except VenueError:
        return list(strategy.symbols)  # it is asked again
    return [symbol for symbol, closes in found.items() if due not in closes[-1:]]


def _closed(candles: Mapping[str, Candles]) -> float:
    return float(next(iter(candles.values())).closes_at[-1])


def _load(strategy: Strategy, job: Job, at: float) -> dict[str, Candles]:
    candles = align(
        {symbol: job.source.candles(symbol, job.interval, at - job.days * _DAY, at) for symbol in strategy.symbols}
    )
    if not all(len(market) for market in candles.values()):
        raise PortfoliodError(
            f"no candles of {' and '.join(strategy.symbols)}",
            where=job.source.name,
            found=f"none in the {job.days:g} days before {iso(at)}",
            mend="choose another --at or --days",
        )
    return candles


def _follow(strategy: Strategy, job: Job, closed: float) -> NoReturn:
    """Publish at every close of a candle; while something is in the way, say so and try again."""
    delay = job.source.delay or 0.0
    wake = closed + job.interval + delay
    while True:
        while (left := wake - time.time()) > 0:
            time.sleep(min(left, _RETRY_SECONDS))  # a machine that was asleep does not count the time
        try:
            wake = _publish(strategy, job) + job.interval + delay
        except PortfoliodError as error:
            _say("error", error)
            wake = time.time() + min(_RETRY_SECONDS, job.interval / 10)


def _say(kind: str, error: PortfoliodError) -> None:
    print(f"{kind}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - a person reads it
