"""The candle that is due: waited for, said where it does not come, and no close missed. The clock is the test's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from portfoliod import sdk, workspace
from portfoliod.errors import VenueUnreachable
from portfoliod.prices.candles import parse_interval
from portfoliod.sdk import command
from portfoliod.sdk.exchange import ExchangeCandles
from portfoliod.venues.symbols import Directory, Listing

HOUR = 3600
NOON = 1_759_665_600
STRATEGY = """
import numpy as np
from portfoliod import sdk, workspace

strategy = sdk.Strategy(
    symbols=["BTCUSDT", "ETHUSDT"],
    positions=lambda candles: {symbol: np.ones(len(market)) for symbol, market in candles.items()},
    interval="%s",
)
"""
SYMBOLS = {"BTC/USDT:USDT": "BTC", "ETH/USDT:USDT": "ETH"}


class Clock:
    """A clock that sleeping moves, and that ends the test at a time."""

    def __init__(self, now: float, end: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.end = now, end
        self.asleep: list[tuple[float, float]] = []
        """Times at which the machine sleeps, and for how long: sleep() does not count them."""
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        assert seconds > 0
        self.now += seconds
        while self.asleep and self.asleep[0][0] <= self.now:
            self.now += self.asleep.pop(0)[1]
        if self.now >= self.end:
            raise KeyboardInterrupt


class Exchange:
    """A stand-in that shows a candle some time after its close, by the time of the close and the market."""

    def __init__(self, clock: Clock, late: Callable[[str, int], float]) -> None:
        self._clock, self._late = clock, late
        self.asked = 0
        self.down: tuple[float, float] = (0.0, 0.0)

    def load_markets(self) -> Mapping[str, object]:
        """Do nothing: the directory is the test's."""
        return {}

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> Sequence[Sequence[float | None]]:
        """Return what is shown, the candle that is not closed yet included."""
        import ccxt

        self.asked += 1
        if self.down[0] <= self._clock.now < self.down[1]:
            raise ccxt.RequestTimeout("nothing")
        width = {"1h": HOUR, "1m": 60, "1w": 7 * 24 * HOUR}[timeframe]
        offset = 4 * 24 * HOUR if timeframe == "1w" else 0  # weeks begin on Monday, and 1970 did not
        first = -(-(since // 1000 - offset) // width) * width + offset
        opened = range(first, min(int(self._clock.now) + 1, first + limit * width), width)
        closed = [at for at in opened if at + width + self._late(SYMBOLS[symbol], at + width) <= self._clock.now]
        shown = [*closed, *opened[-1:]] if first + limit * width > self._clock.now else closed
        return [[at * 1000, 1.0, 1.0, 1.0, 1.0, 1.0] for at in dict.fromkeys(shown)]


class Stage:
    """A strategy of two markets, run by its command line on that exchange."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, interval: str, begin: float, end: float) -> None:
        self.path = folder / "strategies" / "pair" / "strategy.py"
        self.path.parent.mkdir(parents=True)
        self.path.write_text(STRATEGY % interval)
        self.clock = Clock(begin, end, monkeypatch)
        self.published: list[tuple[float, float]] = []
        """When, and the `updated_at` of the state."""
        self._monkeypatch = monkeypatch

    def run(self, exchange: Exchange, *options: str) -> int:
        """Run the command line, and return its exit code."""
        listings = [Listing(symbol, f"{base}USDT", base, "USDT", "swap") for symbol, base in SYMBOLS.items()]
        source = ExchangeCandles("ccxt:test", exchange, lambda: Directory("test", listings, "swap", "USDT"))
        self._monkeypatch.setattr(command, "workspace_source", lambda _path: source)
        mine = sdk.load(self.path)
        publish = mine.publish_state

        def noted(positions: Mapping[str, float], at: float, interval: int | None = None) -> Path:
            self.published.append((self.clock.now, at))
            return publish(positions, at, interval)

        self._monkeypatch.setattr(mine, "publish_state", noted)
        return command.main(mine, ["--live", "--days", "15", *options])

    def state_time(self) -> float:
        """Return the `updated_at` of the file that is there."""
        told: str = json.loads(self.path.with_name("state.json").read_text())["updated_at"]
        return datetime.fromisoformat(told).timestamp()


@pytest.mark.parametrize("late", [0.0, 2.9, 5.0, 31.0, 59.0])
def test_follow_publishes_from_the_candle_that_is_due_however_late_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], late: float
) -> None:
    stage = Stage(tmp_path, monkeypatch, "1h", NOON + 100, NOON + 5 * HOUR + 100)
    assert stage.run(Exchange(stage.clock, lambda _base, _close: late), "--follow") == 130
    assert [at for _, at in stage.published] == [NOON + hour * HOUR for hour in range(6)]
    assert all(now - at <= max(3.0, late) + 1 for now, at in stage.published[1:])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("begin", [5, 9])
def test_one_run_just_after_the_close_waits_for_the_candle_of_each_market(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: float
) -> None:
    stage = Stage(tmp_path, monkeypatch, "1h", NOON + begin, NOON + HOUR)
    late = {"BTC": 2.0, "ETH": 20.0}
    assert stage.run(Exchange(stage.clock, lambda base, _close: late[base])) == 0
    assert stage.state_time() == NOON
    assert NOON + 20 <= stage.clock.now <= NOON + 21


def test_a_market_without_trades_is_waited_for_a_minute_and_then_said_at_each_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other one goes on; both are cut to what they share, and the close after is published from again."""
    stage = Stage(tmp_path, monkeypatch, "1h", NOON + 100, NOON + 4 * HOUR + 100)

    def late(base: str, close: int) -> float:
        return 1e9 if base == "ETH" and close in {NOON + HOUR, NOON + 2 * HOUR} else 0.0

    exchange = Exchange(stage.clock, late)
    assert stage.run(exchange, "--follow") == 130
    assert [at for _, at in stage.published] == [NOON, NOON, NOON, NOON + 3 * HOUR, NOON + 4 * HOUR]
    assert all((now - NOON) % HOUR <= 61 for now, _ in stage.published[1:])
    said = capsys.readouterr().err
    assert said.count("warning: ") == said.count("ETHUSDT") == 2
    assert "BTCUSDT" not in said
    for words in ("T13:00:00Z is not there", "T14:00:00Z is not there", "that of 2025-10-05T12:00:00Z"):
        assert words in said
    assert exchange.asked < 500


@pytest.mark.parametrize("late", [5.0, 11.0])
def test_an_exchange_that_goes_down_during_the_wait_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], late: float
) -> None:
    """Back before the minute is over, the candle is there; while it is down it counts as late."""
    stage = Stage(tmp_path, monkeypatch, "1h", NOON + 1, NOON + HOUR)
    exchange = Exchange(stage.clock, lambda _base, _close: late)
    exchange.down = (NOON + 2, NOON + 10)
    assert stage.run(exchange) == 0
    assert stage.state_time() == NOON
    assert stage.clock.now >= NOON + 10
    assert capsys.readouterr().err == ""


def test_an_exchange_that_stays_down_during_the_wait_leaves_the_older_candle_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(tmp_path, monkeypatch, "1h", NOON + 1, NOON + HOUR)
    exchange = Exchange(stage.clock, lambda _base, _close: 5.0)
    exchange.down = (NOON + 2, NOON + HOUR)
    assert stage.run(exchange) == 0
    assert stage.state_time() == NOON - HOUR
    assert "is not there" in capsys.readouterr().err


def test_a_run_long_after_the_close_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(tmp_path, monkeypatch, "1h", NOON + 1800, NOON + HOUR)
    assert stage.run(Exchange(stage.clock, lambda _base, close: 1e9 if close > NOON - 5 * HOUR else 0.0)) == 0
    assert (stage.clock.now, stage.state_time()) == (NOON + 1800, NOON - 5 * HOUR)
    assert "BTCUSDT ETHUSDT" in capsys.readouterr().err


@pytest.mark.parametrize("interval", ["1m", "1h"])
@pytest.mark.parametrize("outage", [0.3, 1.2, 3.5])
def test_no_close_after_an_outage_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], interval: str, outage: float
) -> None:
    width = parse_interval(interval)
    stage = Stage(tmp_path, monkeypatch, interval, NOON + 1, NOON + 8 * width + width / 2)
    exchange = Exchange(stage.clock, lambda _base, _close: 1.0)
    exchange.down = (NOON + width, NOON + width + outage * width)
    assert stage.run(exchange, "--follow") == 130
    over = [NOON + k * width for k in range(1, 9) if NOON + k * width + width * 0.9 > exchange.down[1]]
    assert [at for _, at in stage.published] == [NOON, *over]
    assert all(now - at <= 5 for now, at in stage.published if at > exchange.down[1])
    recovered = min(now for now, _ in stage.published if now >= exchange.down[1])
    assert recovered <= exchange.down[1] + min(30.0, width / 10) + 1
    assert "the exchange gives no answer" in capsys.readouterr().err


def test_what_fails_at_one_close_is_no_end_of_following(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A state that cannot be written is tried again, and written once there is room."""
    stage = Stage(tmp_path, monkeypatch, "1h", NOON + 100, NOON + 2 * HOUR + 100)
    write, full = workspace.write_atomically, [NOON + HOUR, NOON + HOUR + 90]

    def write_while_there_is_room(path: Path, content: bytes) -> None:
        if full[0] <= stage.clock.now < full[1]:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr("portfoliod.sdk.strategy.write_atomically", write_while_there_is_room)
    assert stage.run(Exchange(stage.clock, lambda _base, _close: 0.0), "--follow") == 130
    assert stage.state_time() == NOON + 2 * HOUR
    written = [at for now, at in stage.published if not full[0] <= now < full[1]]
    assert written == [NOON, NOON + HOUR, NOON + 2 * HOUR]
    assert capsys.readouterr().err.count("No space left on device") == 3


def test_a_machine_that_slept_publishes_when_it_wakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, monkeypatch, "1h", NOON + 100, NOON + 10 * HOUR + 100)
    stage.clock.asleep = [(NOON + 600, 7 * HOUR)]
    assert stage.run(Exchange(stage.clock, lambda _base, _close: 0.0), "--follow") == 130
    now, at = stage.published[1]
    assert at == NOON + 7 * HOUR
    assert now <= NOON + 7 * HOUR + 600 + 60
    assert [at for _, at in stage.published[2:]] == [NOON + hour * HOUR for hour in (8, 9, 10)]


def test_weeks_close_when_the_exchange_closes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Monday is not a multiple of a week since 1970."""
    monday = 4 * 24 * HOUR + NOON // (7 * 24 * HOUR) * 7 * 24 * HOUR
    week = 7 * 24 * HOUR
    stage = Stage(tmp_path, monkeypatch, "1w", monday + 100, monday + 2 * week + 100)
    assert stage.run(Exchange(stage.clock, lambda _base, _close: 5.0), "--follow") == 130
    assert [at for _, at in stage.published] == [monday, monday + week, monday + 2 * week]
    assert capsys.readouterr().err == ""


def test_an_exchange_that_is_down_at_the_start_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, monkeypatch, "1h", NOON + 100, NOON + HOUR)
    exchange = Exchange(stage.clock, lambda _base, _close: 0.0)
    exchange.down = (NOON, NOON + HOUR)
    assert stage.run(exchange, "--follow") == VenueUnreachable.exit_code
