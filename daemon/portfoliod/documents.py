"""state.json, stats.json and portfolio_config.json: bytes in, frozen values or a rejection with a place out."""

from __future__ import annotations

import contextlib
import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec

from portfoliod.errors import FileRejected
from portfoliod.jsontext import decode, printable, shortened
from portfoliod.model import History, PortfolioConfig, State
from portfoliod.workspace import read_settled

LARGEST_STATS = 8 * 1024 * 1024
"""How many bytes dates and returns may take; other keys come on top."""
LARGEST_PORTFOLIO = 8 * 1024 * 1024
"""Of the whole file: unlike the others it is kept whole, and written again with every key that it has."""
MOST_DAYS = 100_000
MOST_POSITIONS = 10_000
LARGEST_RETURN = 1e6
LARGEST_ACCOUNT = 1e15
"""Beyond these a number is a mistake, and arithmetic with it overflows."""
ABOVE_ZERO = math.ulp(0.0)
"""The least number that is not 0."""

STATE_EXAMPLE = '{"position": 1.0, "symbol": "BTCUSDT"}'
PORTFOLIO_EXAMPLE = '{"account_value": 10000, "weights": {"NAME": 1.0}, "leverage": 1.0}'
STATS_EXAMPLE = '{"daily_dates": ["2024-01-01"], "daily_returns": [0.0012]}'


class _StateFile(msgspec.Struct):
    position: float | None = None
    symbol: str | None = None
    positions: dict[str, float] | None = None
    updated_at: str | float | None = None


class _StatsFile(msgspec.Struct):
    daily_returns: list[float] | dict[str, float]
    daily_dates: list[str] | None = None


class _Published(msgspec.Struct):
    interval: str | None = None


class _PortfolioFile(msgspec.Struct):
    account_value: float | None = None
    weights: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    leverage: float | msgspec.UnsetType = msgspec.UNSET
    target_vol_pct: float | None = None
    lookback_days: int | None = None
    exchanges: dict[str, str] = {}
    inputs_hash: str | None = None


def parse_state(raw: bytes, shown: str, modified: float, max_position: float) -> State:
    """Return a state.json's content.

    Args:
        raw: the file.
        shown: its path, for errors.
        modified: its modification time in epoch seconds, in force where it has no `updated_at`.
        max_position: the largest |position| allowed.

    Raises:
        Unsettled: not JSON; a writer may be at work.
        FileRejected: it does not fit.
    """
    file = decode(raw, _StateFile, shown, STATE_EXAMPLE)
    if file.positions is not None:
        if file.position is not None:
            raise _misfit("both position and positions", shown, "$.positions", mend="keep one of the two")
        if len(file.positions) > MOST_POSITIONS:
            mend = f"write at most {MOST_POSITIONS} markets"
            raise _misfit("too many positions", shown, "$.positions", found=str(len(file.positions)), mend=mend)
        positions = {f"$.positions[{json.dumps(symbol)}]": (symbol, value) for symbol, value in file.positions.items()}
    elif file.position is None:
        raise _misfit("no position", shown, "$.position", mend=f"write, for example, {STATE_EXAMPLE}")
    elif not file.symbol:
        raise _misfit("no symbol", shown, "$.symbol", mend=f"write, for example, {STATE_EXAMPLE}")
    else:
        positions = {"$.position": (file.symbol, file.position)}
    for place, (symbol, value) in positions.items():
        if not symbol.strip() or len(symbol) > 64 or not symbol.isprintable():
            raise _misfit("not a symbol", shown, place, found=repr(symbol[:80]), mend='write, for example, "BTCUSDT"')
        if not math.isfinite(value) or abs(value) > max_position:
            found = f"{value:g}, at most {max_position:g} is allowed"
            mend = "publish a smaller position, or raise risk.max_position in portfoliod.toml"
            raise _misfit("the position is out of range", shown, place, found=found, mend=mend)
    return State(
        positions={symbol: Decimal(str(value)) for symbol, value in positions.values()},
        updated_at=modified if file.updated_at is None else _moment(file.updated_at, shown),
    )


def parse_stats(raw: bytes, shown: str, modified: float) -> tuple[History, str]:
    """Return a stats.json's daily returns, and a warning (or an empty string).

    Args:
        raw: the file.
        shown: its path, for errors.
        modified: its modification time in epoch seconds: the last day of returns without dates.

    Raises:
        Unsettled: not JSON; a writer may be at work.
        FileRejected: it does not fit.
    """
    file = decode(raw, _StatsFile, shown, STATS_EXAMPLE, LARGEST_STATS)
    if len(file.daily_returns) > MOST_DAYS:
        mend = f"write at most {MOST_DAYS} days"
        raise _misfit("too many days", shown, "$.daily_returns", found=str(len(file.daily_returns)), mend=mend)
    warning = ""
    texts = file.daily_dates
    if isinstance(file.daily_returns, dict):
        texts, returns = list(file.daily_returns), list(file.daily_returns.values())
        places = day_places = [f"$.daily_returns[{json.dumps(text)}]" for text in texts]
    else:
        returns = file.daily_returns
        places = [f"$.daily_returns[{index}]" for index in range(len(returns))]
        day_places = [f"$.daily_dates[{index}]" for index in range(len(returns))]
    if texts is None:
        last = _day_of(modified, shown)
        days = list(range(last - len(returns) + 1, last + 1))
        warning = f"no daily_dates: the last value is taken for {date.fromordinal(last)}, the day of the file"
    elif len(texts) != len(returns):
        found = f"{len(texts)} dates, {len(returns)} returns"
        mend = "write one return a date"
        raise _misfit("dates and returns differ in number", shown, "$.daily_dates", found=found, mend=mend)
    else:
        days = [_day(text, shown, place) for text, place in zip(texts, day_places, strict=True)]
    for index in range(1, len(days)):
        if days[index] <= days[index - 1]:
            found = f"{date.fromordinal(days[index])} after {date.fromordinal(days[index - 1])}"
            mend = "sort the days and write each once"
            raise _misfit("dates are not strictly increasing", shown, day_places[index], found=found, mend=mend)
    tomorrow = datetime.now(UTC).date().toordinal() + 1
    if days and days[-1] > tomorrow:
        # It would end the window of everybody, and make all others look stale.
        found = str(date.fromordinal(days[-1]))
        mend = "write the returns of days that are over"
        raise _misfit("a day lies in the future", shown, day_places[-1], found=found, mend=mend)
    for place, value in zip(places, returns, strict=True):
        if not -1 < value < LARGEST_RETURN:
            mend = "write fractions above -1: 0.0012 for 0.12 %"
            raise _misfit("not a simple daily return", shown, place, found=f"{value:g}", mend=mend)
    return History(days=tuple(days), returns=tuple(returns)), warning


def parse_portfolio(raw: bytes, shown: str) -> PortfolioConfig:
    """Return what the daemon reads of a portfolio_config.json.

    Raises:
        Unsettled: not JSON; a writer may be at work.
        FileRejected: it does not fit.
    """
    if len(raw) > LARGEST_PORTFOLIO:
        mend = f"write at most {LARGEST_PORTFOLIO} bytes"
        raise FileRejected("the file is too large", where=shown, found=f"{len(raw)} bytes", mend=mend)
    file = decode(raw, _PortfolioFile, shown, PORTFOLIO_EXAMPLE, LARGEST_PORTFOLIO)
    weights = {} if file.weights is msgspec.UNSET else file.weights
    if file.leverage is msgspec.UNSET and weights:
        raise _misfit("no leverage", shown, "$.leverage", mend='weights need one: write, for example, "leverage": 1.0')
    leverage = 0.0 if file.leverage is msgspec.UNSET else file.leverage
    capital = "write the capital, in the quote currency, that the portfolio is sized for"
    for key, value, least, most, mend in (
        ("account_value", file.account_value, ABOVE_ZERO, LARGEST_ACCOUNT, capital),
        ("leverage", leverage, 0, 1000, "write 0 to 1000"),
        ("target_vol_pct", file.target_vol_pct, ABOVE_ZERO, 1000, "write percent a year: 30.0"),
        ("lookback_days", file.lookback_days, 3, 100_000, "write 3 or more days"),
    ):
        if value is not None and not least <= value <= most:
            found = f"{value:g}" if isinstance(value, float) else shortened(str(value))
            raise _misfit(f"{key} is out of range", shown, f"$.{key}", found=found, mend=mend)
    for name, weight in weights.items():
        if not math.isfinite(weight) or weight < 0:
            found = f"{weight:g}"
            mend = "write a share from 0 to 1; a strategy goes short by its position"
            raise _misfit("a weight is negative", shown, f"$.weights[{json.dumps(name)}]", found=found, mend=mend)
    total = math.fsum(weights.values())
    if total > 1 + 1e-6:
        mend = "scale them down; leverage scales the whole"
        raise _misfit("weights sum to more than 1", shown, "$.weights", found=f"{total:.6g}", mend=mend)
    return PortfolioConfig(
        account_value=None if file.account_value is None else Decimal(str(file.account_value)),
        weights={name: Decimal(str(weight)) for name, weight in weights.items()},
        weighted=file.weights is not msgspec.UNSET,
        leverage=Decimal(str(leverage)),
        target_vol_pct=file.target_vol_pct,
        lookback_days=file.lookback_days,
        exchanges=file.exchanges,
        inputs_hash=file.inputs_hash,
    )


def interval_of(file: Path) -> str | None:
    """Return the length of candles that a state.json or stats.json names; None where it does not, or cannot be read."""
    with contextlib.suppress(OSError, FileRejected, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(read_settled(file, str(file))[0], type=_Published).interval
    return None


def _misfit(what: str, shown: str, place: str, *, found: str = "", mend: str) -> FileRejected:
    return FileRejected(what, where=f"{shown}  {printable(shortened(place))}", found=printable(found), mend=mend)


def _day(text: str, shown: str, place: str) -> int:
    try:
        return date.fromisoformat(text).toordinal()
    except ValueError:
        mend = 'write, for example, "2024-01-31"'
        raise _misfit("not a calendar day", shown, place, found=shortened(json.dumps(text)), mend=mend) from None


def _day_of(moment: float, shown: str) -> int:
    try:
        return datetime.fromtimestamp(moment, UTC).date().toordinal()
    except (ValueError, OverflowError, OSError):
        raise _misfit(
            "the file's time is no date", shown, "$.daily_dates", found=f"{moment:g}", mend="write daily_dates"
        ) from None


def _moment(value: str | float, shown: str) -> float:
    try:
        if isinstance(value, float):
            moment = value
        else:
            parsed = datetime.fromisoformat(value)
            moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        datetime.fromtimestamp(moment, UTC)
    except (ValueError, OverflowError, OSError):
        mend = 'write ISO 8601 ("2024-01-31T12:00:00Z") or epoch seconds'
        raise _misfit("not a moment", shown, "$.updated_at", found=shortened(json.dumps(value)), mend=mend) from None
    return moment
