"""The command line that every strategy.py has."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from portfoliod.errors import PortfoliodError, UsageError, VenueUnreachable
from portfoliod.prices.candles import Candles, format_interval, parse_interval
from portfoliod.sdk.returns import align, backtest
from portfoliod.sdk.sources import Source, open_source
from portfoliod.sdk.surroundings import workspace_source

if TYPE_CHECKING:
    from portfoliod.sdk.strategy import Strategy

_DAY = 86_400
_RETRY_SECONDS = 30.0


@dataclass(frozen=True)
class Job:
    """What one call of a strategy.py is to do."""

    source: Source
    interval: int
    days: float
    at: float | None
    stats: bool
    state: bool
    follow: bool
    fee_bps: float
    slippage_bps: float


def main(strategy: Strategy, arguments: Sequence[str]) -> int:
    """Do what the arguments ask for, say it in one line, and return the exit code."""
    try:
        job = _job(strategy, arguments)
        _publish(strategy, job)
        if job.follow:
            _follow(strategy, job)
    except PortfoliodError as error:
        _complain(error)
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
        "--source", help="candles:DIR, ccxt:EXCHANGE or simulated[:SEED]; else the workspace's venue says"
    )
    parser.add_argument("--interval", default="1h", help="length of a candle, for instance 15m, 1h, 1d (default: 1h)")
    parser.add_argument("--days", type=float, default=500.0, help="how much history to load (default: 500)")
    parser.add_argument("--at", help="pretend that it is this time: ISO 8601 or epoch seconds")
    parser.add_argument("--backtest", action="store_true", help="write stats.json only")
    parser.add_argument("--live", action="store_true", help="write state.json only")
    parser.add_argument("--follow", action="store_true", help="with --live: stay, and write state.json at every close")
    parser.add_argument("--fee-bps", type=float, default=5.0, help="fee on what is traded (default: 5)")
    parser.add_argument("--slippage-bps", type=float, default=0.0, help="half the spread and more (default: 0)")
    options = parser.parse_args(arguments)
    if options.backtest and options.live:
        raise UsageError("--backtest and --live exclude each other", mend="leave both out to write both files")
    if not options.days > 0:
        raise UsageError("--days is not positive", found=f"{options.days:g}", mend="write a number of days")
    interval = parse_interval(options.interval)
    source = open_source(options.source, Path.cwd()) if options.source else workspace_source(strategy.path)
    if options.follow and (not options.live or options.at or source.delay is None):
        raise UsageError(
            "there is nothing to follow",
            mend="give --follow with --live, without --at, and with prices that go on: ccxt or simulated",
        )
    return Job(
        source=source,
        interval=interval,
        days=options.days,
        at=None if options.at is None else _time(options.at),
        stats=not options.live,
        state=not options.backtest,
        follow=options.follow,
        fee_bps=options.fee_bps,
        slippage_bps=options.slippage_bps,
    )


def _time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            "--at is not a time", found=f'"{text}"', mend="write for instance 2024-01-31T12:00:00Z"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _publish(strategy: Strategy, job: Job) -> None:
    """Evaluate the strategy once, write its files and print one line."""
    at = job.source.latest(strategy.symbols, job.interval) if job.at is None else job.at
    candles = _load(strategy, job, at)
    positions = strategy.positions(candles)
    words = [f"{strategy.name}:"]
    if job.stats:
        returns = backtest(positions, candles, fee_bps=job.fee_bps, slippage_bps=job.slippage_bps)
        strategy.publish_stats(
            returns,
            {
                "interval": format_interval(job.interval),
                "fee_bps": job.fee_bps,
                "slippage_bps": job.slippage_bps,
                "source": job.source.name,
                "generated_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            },
        )
        words.append(
            f"{len(returns)} days, return {returns.total:+.1%}, Sharpe {returns.sharpe:.2f}, "
            f"max drawdown {returns.max_drawdown:.1%},"
        )
    current = {symbol: float(wanted[-1]) for symbol, wanted in positions.items()}
    if job.state:
        closed_at = float(next(iter(candles.values())).closes_at[-1])
        strategy.publish_state(current, closed_at)
    words.append("position " + ", ".join(f"{symbol} {position:+g}" for symbol, position in current.items()))
    print(*words, flush=True)  # noqa: T201 - the one line that the command is asked for


def _load(strategy: Strategy, job: Job, at: float) -> dict[str, Candles]:
    candles = align(
        {symbol: job.source.candles(symbol, job.interval, at - job.days * _DAY, at) for symbol in strategy.symbols}
    )
    if not all(len(market) for market in candles.values()):
        raise PortfoliodError(
            f"no candles of {' and '.join(strategy.symbols)}",
            where=job.source.name,
            found=f"none in the {job.days:g} days before {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC",
            mend="choose another --at or --days",
        )
    return candles


def _follow(strategy: Strategy, job: Job) -> NoReturn:
    """Publish at every close of a candle; while the exchange gives no answer, say so and ask again."""
    delay = job.source.delay or 0.0
    due = _next_close(job.interval) + delay
    while True:
        time.sleep(max(0.0, due - time.time()))
        try:
            _publish(strategy, job)
            due = _next_close(job.interval) + delay
        except VenueUnreachable as error:
            _complain(error)
            due = time.time() + _RETRY_SECONDS


def _next_close(interval: int) -> float:
    return (time.time() // interval + 1) * interval


def _complain(error: PortfoliodError) -> None:
    print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - a person reads it
