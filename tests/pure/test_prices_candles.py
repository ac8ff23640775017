"""Candle files: what is read, and what is refused at which line."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfoliod.errors import FileRejected, UsageError
from portfoliod.prices.candles import COLUMNS, Candles, find_candles, format_interval, parse_interval, read_candles

HEADER = ",".join(COLUMNS)
FIRST = "2024-01-01T00:00:00Z,10,12,9,11,5.5"
SECOND = "2024-01-01T01:00:00Z,11,11,10,10.5,0"
MIDNIGHT = 1_704_067_200


def write(folder: Path, *lines: str, name: str = "BTCUSDT-1h.csv") -> Path:
    path = folder / name
    content = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def hours(count: int) -> Candles:
    time = MIDNIGHT + 3600 * np.arange(count, dtype=np.int64)
    price = np.linspace(10.0, 11.0, count)
    return Candles("BTCUSDT", 3600, time, price, price, price, price, price)


@pytest.mark.parametrize("name", ["BTCUSDT-1h.csv", "BTCUSDT-1h.csv.gz"])
def test_a_file_is_read_with_symbol_and_interval_from_its_name(tmp_path: Path, name: str) -> None:
    candles = read_candles(write(tmp_path, HEADER, FIRST, SECOND, "", name=name))
    assert (candles.symbol, candles.interval, len(candles)) == ("BTCUSDT", 3600, 2)
    assert candles.time.tolist() == [MIDNIGHT, MIDNIGHT + 3600]
    assert [getattr(candles, column).tolist() for column in COLUMNS[1:]] == [
        [10, 11],
        [12, 11],
        [9, 10],
        [11, 10.5],
        [5.5, 0],
    ]


@pytest.mark.parametrize(
    "time",
    ["2024-01-01T00:00:00Z", "2024-01-01 00:00:00", "2024-01-01T01:00:00.000+01:00", "1704067200", "1704067200000"],
)
def test_times_are_iso_8601_or_epoch_seconds_or_milliseconds(tmp_path: Path, time: str) -> None:
    candles = read_candles(write(tmp_path, HEADER, f"{time},10,12,9,11,5"))
    assert candles.time.tolist() == [MIDNIGHT]


def test_columns_may_stand_in_any_order_with_others_between(tmp_path: Path) -> None:
    candles = read_candles(write(tmp_path, "volume,Close,low,trades,high,open,time", f"5,11,9,77,12,10,{MIDNIGHT}"))
    assert (candles.open[0], candles.close[0], candles.volume[0]) == (10, 11, 5)


def test_missing_hours_are_no_error(tmp_path: Path) -> None:
    candles = read_candles(write(tmp_path, HEADER, FIRST, "2024-01-01T05:00:00Z,11,11,10,10.5,0"))
    assert len(candles) == 2


@pytest.mark.parametrize(
    "line",
    [
        "2024-01-01T01:00:00Z,11,11,10,10.5",
        "2024-01-01T01:00:00Z,11,11,ten,10.5,0",
        "yesterday,11,11,10,10.5,0",
        "2024-01-01T01:00:00Z,11,11,nan,10.5,0",
        "2024-01-01T01:00:00Z,11,inf,10,10.5,0",
        "2024-01-01T01:00:00Z,11,11,0,10.5,0",
        "2024-01-01T01:00:00Z,11,10,10,10.5,0",
        "2024-01-01T01:00:00Z,11,11,10.7,10.5,0",
        "2024-01-01T01:00:00Z,11,11,10,10.5,-1",
        "2024-01-01T00:00:00Z,11,11,10,10.5,0",
        "2024-01-01T00:59:59Z,11,11,10,10.5,0",
        "",
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, HEADER, FIRST, line, "2024-01-01T02:00:00Z,11,11,10,10.5,0")
    with pytest.raises(FileRejected) as caught:
        read_candles(path)
    assert caught.value.where == f"{path}:3"
    assert caught.value.found
    assert caught.value.mend


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileRejected, match="a column of the candle file is missing") as caught:
        read_candles(write(tmp_path, "time,open,high,low,close", "1,1,1,1,1"))
    assert "volume" in caught.value.found


@pytest.mark.parametrize("content", [b"", HEADER.encode(), b"\x1f\x8b\x08 torn", b"\xff\xfe"])
def test_an_empty_or_garbled_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("BTCUSDT-1h.csv.gz" if content.startswith(b"\x1f") else "BTCUSDT-1h.csv")
    path.write_bytes(content)
    with pytest.raises(FileRejected):
        read_candles(path)


def test_a_torn_gzip_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, FIRST, SECOND, name="BTCUSDT-1h.csv.gz")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(FileRejected, match="cannot be read"):
        read_candles(path)


def test_the_finest_file_of_each_symbol_is_found(tmp_path: Path) -> None:
    for name in ("BTCUSDT-1h.csv.gz", "BTCUSDT-15m.csv", "BTC-USDT-1d.csv", "notes.csv", "README"):
        (tmp_path / name).touch()
    assert find_candles(tmp_path) == {
        "BTC-USDT": tmp_path / "BTC-USDT-1d.csv",
        "BTCUSDT": tmp_path / "BTCUSDT-15m.csv",
    }
    assert find_candles(tmp_path, 3600) == {"BTCUSDT": tmp_path / "BTCUSDT-1h.csv.gz"}


def test_a_missing_folder_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileRejected, match="no such folder"):
        find_candles(tmp_path / "none")


@given(st.integers(0, 50), st.integers(-7200, 60 * 3600))
def test_until_holds_exactly_the_candles_that_are_closed(count: int, offset: int) -> None:
    candles, time = hours(count), MIDNIGHT + offset
    closed = candles.until(time)
    assert len(closed) == sum(opened + 3600 <= time for opened in candles.time.tolist())
    assert len(candles.since(time)) == sum(opened >= time for opened in candles.time.tolist())


def test_candles_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        hours(3).close[0] = 1.0


@given(st.integers(1, 999_999), st.sampled_from("smhdw"))
def test_an_interval_survives_being_written_and_read(number: int, unit: str) -> None:
    seconds = parse_interval(f"{number}{unit}")
    assert parse_interval(format_interval(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "h", "0h", "1.5h", "1y", "-1h"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_interval(text)


def test_a_duration_is_counted_in_candles() -> None:
    assert hours(1).count("20d") == 480
    with pytest.raises(UsageError, match="not a whole number of candles"):
        hours(1).count("5m")
