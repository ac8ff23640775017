"""Candles, and the files that hold them: `SYMBOL-INTERVAL.csv` or `.csv.gz`, for instance `BTCUSDT-1h.csv.gz`."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from portfoliod.errors import FileRejected, UsageError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

COLUMNS = ("time", "open", "high", "low", "close", "volume")
MILLISECONDS_FROM = 100_000_000_000
"""Epoch numbers from here on are milliseconds: as seconds they would lie beyond the year 5100."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_INTERVAL = re.compile(r"([1-9]\d{0,5})([smhdw])")
_FILE = re.compile(r"(?P<symbol>.+)-(?P<interval>[1-9]\d{0,5}[smhdw])\.csv(\.gz)?")


@dataclass(frozen=True, eq=False, slots=True)
class Candles:
    """Consecutive candles of one market; the arrays all have the same length and cannot be written to.

    Attributes:
        symbol: the exchange's own id of the market, for instance `BTCUSDT`.
        interval: the length of one candle in seconds.
        time: opening times in epoch seconds, strictly increasing; candles may be missing in between.
        open: the first price of each candle.
        high: the highest price.
        low: the lowest price.
        close: the last price, known at `time + interval`.
        volume: what was traded, in the base currency.
    """

    symbol: str
    interval: int
    time: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __post_init__(self) -> None:
        for name in COLUMNS:
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, rows: slice | NDArray[np.bool_] | Integers) -> Candles:
        """Return the candles of these rows: a slice, a mask or increasing indices."""
        columns = {name: getattr(self, name)[rows] for name in COLUMNS}
        return Candles(symbol=self.symbol, interval=self.interval, **columns)

    @property
    def closes_at(self) -> Integers:
        """The times at which the candles closed, in epoch seconds: what is in a candle is known from then on."""
        return self.time + self.interval

    def until(self, time: float) -> Candles:
        """Return the candles that are closed at `time` (epoch seconds)."""
        return self[: int(np.searchsorted(self.closes_at, time, side="right"))]

    def since(self, time: float) -> Candles:
        """Return the candles that open at `time` (epoch seconds) or later."""
        return self[int(np.searchsorted(self.time, time, side="left")) :]

    def count(self, duration: str) -> int:
        """Return how many of these candles make a duration such as `24h` or `20d`.

        Raises:
            UsageError: it is no whole number of them.
        """
        count, rest = divmod(parse_interval(duration), self.interval)
        if rest:
            each = format_interval(self.interval)
            found = f'"{duration}", with candles of {each}'
            raise UsageError("not a whole number of candles", found=found, mend=f"write a multiple of {each}")
        return count


def parse_interval(text: str) -> int:
    """Return the seconds of an interval such as `15m`, `1h` or `1d`.

    Raises:
        UsageError: the text is none.
    """
    match = _INTERVAL.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            "not an interval", found=f'"{text}"', mend="write a number and one of s, m, h, d, w, for instance 1h"
        )
    return int(match[1]) * _UNITS[match[2]]


def format_interval(seconds: int) -> str:
    """Return the shortest name of an interval: 3600 is `1h`, 5400 is `90m`."""
    unit = max((unit for unit in _UNITS if seconds % _UNITS[unit] == 0), key=lambda unit: _UNITS[unit])
    return f"{seconds // _UNITS[unit]}{unit}"


def find_candles(directory: Path, interval: int | None = None) -> dict[str, Path]:
    """Return the candle file of each symbol in a folder, sorted by symbol.

    Args:
        directory: the folder; its sub-folders are not searched.
        interval: only files of this interval, in seconds; else the finest one of each symbol.

    Raises:
        FileRejected: there is no such folder.
    """
    if not directory.is_dir():
        raise FileRejected("there is no such folder of candles", where=str(directory), mend="correct the path")
    found: dict[str, tuple[int, Path]] = {}
    for path in sorted(directory.iterdir()):
        match = _FILE.fullmatch(path.name)
        if match is None:
            continue
        symbol, seconds = match["symbol"], parse_interval(match["interval"])
        if interval in {None, seconds} and (symbol not in found or seconds < found[symbol][0]):
            found[symbol] = (seconds, path)
    return {symbol: path for symbol, (_, path) in sorted(found.items())}


def read_candles(path: Path) -> Candles:
    """Return the candles of one file, at least one.

    The first line names the columns: at least time, open, high, low, close and volume, in any order. Times are
    ISO 8601 (UTC unless they say otherwise) or epoch numbers in seconds or milliseconds.

    Raises:
        FileRejected: the file cannot be read or a line does not fit; `where` is `path:line`.
    """
    name = _FILE.fullmatch(path.name)
    if name is None:
        raise FileRejected(
            "the name of a candle file does not fit", where=str(path), mend="name it SYMBOL-INTERVAL.csv or .csv.gz"
        )
    header, *lines = _read_text(path).splitlines() or [""]
    places = _column_places(header, path)
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise FileRejected("the candle file is empty", where=str(path), mend="replace the file by a good copy")
    time, values = _parse(lines, places, path)
    candles = Candles(name["symbol"], parse_interval(name["interval"]), time, *values)
    _check(candles, path)
    return candles


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise FileRejected(
            "the candle file cannot be read", where=str(path), found=str(error), mend="replace the file by a good copy"
        ) from error


def _column_places(header: str, path: Path) -> list[int]:
    names = [name.strip().lower() for name in header.split(",")]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise FileRejected(
            "a column of the candle file is missing",
            where=f"{path}:1",
            found=f'"{header}", without {", ".join(missing)}',
            mend=f"let the first line be {','.join(COLUMNS)}",
        )
    return [names.index(name) for name in COLUMNS]


def _parse(lines: Sequence[str], places: Sequence[int], path: Path) -> tuple[Integers, list[Floats]]:
    """Return the times and the five columns of numbers; by columns, which is several times faster than by lines."""
    try:
        columns = list(zip(*(line.split(",") for line in lines), strict=True))
        time = np.fromiter(map(_epoch_seconds, columns[places[0]]), np.int64, len(lines))
        return time, [np.fromiter(map(float, columns[place]), np.float64, len(lines)) for place in places[1:]]
    except (ValueError, IndexError):
        raise _first_unreadable(lines, places, path) from None


def _epoch_seconds(text: str) -> int:
    if text.isdigit():
        number = int(text)
        return number if number < MILLISECONDS_FROM else number // 1000
    time = datetime.fromisoformat(text.strip())
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


def _first_unreadable(lines: Sequence[str], places: Sequence[int], path: Path) -> FileRejected:
    width = len(lines[0].split(","))
    for number, line in enumerate(lines, start=2):
        cells = line.split(",")
        try:
            if len(cells) == width:
                _epoch_seconds(cells[places[0]])
                for place in places[1:]:
                    float(cells[place])
                continue
        except (ValueError, IndexError):
            pass
        return _rejected_line(path, number, f'"{line[:120]}"')
    return FileRejected("the candle file does not fit", where=str(path), mend="replace the file by a good copy")


def _check(candles: Candles, path: Path) -> None:
    """Raise FileRejected for the first candle that cannot be one."""
    prices = np.stack([candles.open, candles.high, candles.low, candles.close])
    faults = {
        "a price that is not a positive number": ~(np.isfinite(prices) & (prices > 0)).all(axis=0),
        "a volume that is not a number of at least 0": ~(np.isfinite(candles.volume) & (candles.volume >= 0)),
        "a high below or a low above another price": (prices.max(axis=0) > candles.high)
        | (prices.min(axis=0) < candles.low),
        "a time less than one interval after the line before": np.diff(
            candles.time, prepend=candles.time[:1] - candles.interval
        )
        < candles.interval,
    }
    for found, rows in faults.items():
        if rows.any():
            raise _rejected_line(path, int(np.argmax(rows)) + 2, found)


def _rejected_line(path: Path, number: int, found: str) -> FileRejected:
    return FileRejected(
        "a line of the candle file does not fit",
        where=f"{path}:{number}",
        found=found,
        mend="correct or remove the line",
    )


def write_candles(path: Path, candles: Candles) -> None:
    """Write a candle file that `read_candles` reads; gzipped where the name ends in .gz."""
    lines = ["time,open,high,low,close,volume"]
    moments = candles.time.astype("datetime64[s]").astype(str).tolist()
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    for moment, *row in zip(moments, *(column.tolist() for column in columns), strict=True):
        lines.append(",".join([f"{moment}Z", *map(repr, row)]))
    content = "\n".join([*lines, ""]).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
