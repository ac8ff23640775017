"""Contents that do not fit, for each kind of file, and what has to be said of them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from portfoliod.workspace import LARGEST_FILE
from tests.harness.workspace import replace


@dataclass(frozen=True)
class Bad:
    """One content that does not fit."""

    name: str
    content: bytes | Callable[[Path], None]
    place: str = ""
    """What `where` ends with, after the file."""
    found: str = ""
    """What `found` or `what` says."""

    def put(self, path: Path) -> None:
        """Put it in a file's place."""
        if isinstance(self.content, bytes):
            replace(path, self.content)
        else:
            path.unlink(missing_ok=True)
            self.content(path)

    def told_well(self, told: Mapping[str, str], shown: str, kept: str) -> bool:
        """Return whether an event or a problem names file, place, what was found, what is kept and the mend."""
        where = told.get("where", "")
        return (
            where.startswith(shown)
            and where.endswith(self.place)
            and self.found in f"{told.get('found', '')} {told['what']}"
            and kept in told["kept"]
            and bool(told["mend"])
        )


def make_fifo(path: Path) -> None:
    """A pipe that nobody writes into: a careless read would wait for ever."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """A socket's file."""
    with socket.socket(socket.AF_UNIX) as peer:
        here = Path.cwd()
        os.chdir(path.parent)  # the whole path may be longer than a socket's address
        peer.bind(path.name)
        os.chdir(here)


def make_large(path: Path) -> None:
    """One byte more than is read, in a file with holes."""
    temporary = path.with_name(".large")
    with temporary.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    temporary.rename(path)


def make_loop(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path.name)


NO_JSON = [
    Bad("empty", b"", found="empty"),
    Bad("blank", b" \n\n", found="empty"),
    Bad("truncated", b'{"position": 0.5, "sym', place=""),
    Bad("zero bytes", b"\0" * 64, place=":1:1"),
    Bad("html", b"<html>502 Bad Gateway</html>", place=":1:1"),
    Bad("utf-16", '{"position": 0.5}'.encode("utf-16"), place=":1:1"),
    Bad("not utf-8", b"\xff\xfe{}", place=":1:1"),
    Bad("a list", b"[]", place="$", found="list"),
    Bad("a text", b'"flat"', place="$", found="text"),
    Bad("null", b"null", place="$", found="null"),
    Bad("a number", b"0", place="$", found="number"),
    Bad("deep nesting", b"[" * 200_000, place="$"),
    Bad("a deep unknown key", b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", found="nested"),
]
NO_FILE = [
    Bad("a folder", lambda path: path.mkdir(), found="regular file"),
    Bad("a pipe", make_fifo, found="regular file"),
    Bad("a socket", make_socket),
    Bad("a link to itself", make_loop),
    Bad("too large", make_large, found=str(LARGEST_FILE + 1)),
]


def one_position(value: str) -> bytes:
    """Return a state whose position is some JSON."""
    return f'{{"position": {value}, "symbol": "BTCUSDT"}}'.encode()


BAD_STATES = [
    *NO_JSON,
    *NO_FILE,
    Bad("two documents", one_position("0.5") * 2),
    Bad("a symbol that is not utf-8", b'{"position": 0.5, "symbol": "\xff\xfe"}', found="utf-8"),
    Bad("half a surrogate", rb'{"position": 0.5, "symbol": "\ud800"}'),
    Bad("NaN", one_position("NaN")),
    Bad("Infinity", one_position("Infinity")),
    Bad("-Infinity", one_position("-Infinity")),
    Bad("1e308", one_position("1e308"), "$.position", "1e+308"),
    Bad("1e999", one_position("1e999"), "$.position", "out of range"),
    Bad("10.01", one_position("10.01"), "$.position", "10.01"),
    Bad("-10.01", one_position("-10.01"), "$.position", "-10.01"),
    Bad("a number in a text", one_position('"0.5"'), "$.position", '"0.5"'),
    Bad("true", one_position("true"), "$.position", "true"),
    Bad("a list as position", one_position("[0.5]"), "$.position", "[0.5]"),
    Bad("an object as position", one_position('{"value": 0.5}'), "$.position", "object"),
    Bad("null as position", one_position("null"), "$.position", "no position"),
    Bad("a huge whole number", one_position("1" + "0" * 5000), "$.position", "out of range"),
    Bad("a leading zero", one_position("00.5"), found="not JSON"),
    Bad("no position", b'{"symbol": "BTCUSDT"}', "$.position", "no position"),
    Bad("no symbol", b'{"position": 0.5}', "$.symbol", "no symbol"),
    Bad("an empty symbol", b'{"position": 0.5, "symbol": ""}', "$.symbol"),
    Bad("a number as symbol", b'{"position": 0.5, "symbol": 7}', "$.symbol", "7"),
    Bad("a blank symbol", b'{"position": 0.5, "symbol": "  "}', found="symbol"),
    Bad("a symbol of two lines", b'{"position": 0.5, "symbol": "BTC\\nUSDT"}', found="symbol"),
    Bad("a symbol without end", json.dumps({"position": 0.5, "symbol": "B" * 65}).encode(), found="symbol"),
    Bad("both forms", b'{"position": 0, "symbol": "BTCUSDT", "positions": {"BTCUSDT": 1}}', "$.positions", "both"),
    Bad("a list of positions", b'{"positions": [0.5]}', "$.positions", "list"),
    Bad("a text among positions", b'{"positions": {"ETHUSDT": 1, "BTCUSDT": "1"}}', '["BTCUSDT"]', '"1"'),
    Bad("too much among positions", b'{"positions": {"ETHUSDT": 1, "BTCUSDT": 99}}', '["BTCUSDT"]', "99"),
    Bad("a moment that is none", b'{"position": 0, "symbol": "X", "updated_at": "soon"}', "$.updated_at", "soon"),
    Bad("a moment out of time", b'{"position": 0, "symbol": "X", "updated_at": 1e300}', "$.updated_at", "1e+300"),
    Bad("a truth as moment", b'{"position": 0, "symbol": "X", "updated_at": true}', "$.updated_at", "true"),
]


def series(dates: object, returns: str) -> bytes:
    """Return stats with some dates and returns."""
    return f'{{"daily_dates": {json.dumps(dates)}, "daily_returns": {returns}}}'.encode()


BAD_STATS = [
    *NO_JSON,
    *NO_FILE,
    Bad("a date that is not utf-8", b'{"daily_dates": ["\xff"], "daily_returns": [0]}', found="utf-8"),
    Bad(
        "a misfit and bytes that are not utf-8", b'{"daily_returns": "x", "name": "\xff"}', "$.daily_returns", "a text"
    ),
    Bad("no returns", b'{"equity": [1, 2]}', found="daily_returns"),
    Bad("fewer dates", series(["2024-01-01"], "[0.1, 0.2]"), "$.daily_dates", "1 dates, 2 returns"),
    Bad("not increasing", series(["2024-01-02", "2024-01-01"], "[0, 0]"), "$.daily_dates[1]", "2024-01-01"),
    Bad("a day twice", series(["2024-01-02", "2024-01-02"], "[0, 0]"), "$.daily_dates[1]", "2024-01-02"),
    Bad("two documents", series(["2024-01-01"], "[0]") * 2),
    Bad("no such day", series(["2024-02-30"], "[0]"), "$.daily_dates[0]", "2024-02-30"),
    Bad("another calendar", series(["31/12/2024"], "[0]"), "$.daily_dates[0]", "31/12/2024"),
    Bad("a number as date", series([20240101], "[0]"), "$.daily_dates[0]", "20240101"),
    Bad("all is lost", series(["2024-01-01", "2024-01-02"], "[0, -1]"), "$.daily_returns[1]", "-1"),
    Bad("more than all is lost", series(["2024-01-01"], "[-1.5]"), "$.daily_returns[0]", "-1.5"),
    Bad("NaN", series(["2024-01-01"], "[NaN]")),
    Bad("1e999", series(["2024-01-01"], "[1e999]"), "$.daily_returns[0]", "out of range"),
    Bad("a text", series(["2024-01-01"], '["0.1"]'), "$.daily_returns[0]", '"0.1"'),
    Bad("a truth", series(["2024-01-01"], "[true]"), "$.daily_returns[0]", "true"),
    Bad("null", series(["2024-01-01"], "[null]"), "$.daily_returns[0]", "null"),
    Bad("a list in a list", series(["2024-01-01"], "[[0.1]]"), "$.daily_returns[0]", "[0.1]"),
    Bad("a text as returns", series([], '"0.1"'), "$.daily_returns", "0.1"),
    Bad("a date that is none", b'{"daily_returns": {"yesterday": 0.1}}', '["yesterday"]', "yesterday"),
    Bad("a text by date", b'{"daily_returns": {"2024-01-01": "x"}}', '["2024-01-01"]', '"x"'),
    Bad("an order of its own", b'{"daily_returns": {"2024-01-02": 0, "2024-01-01": 0}}', found="2024-01-01"),
]


def settings_with(**keys: object) -> bytes:
    """Return a portfolio_config.json that is right but for some keys."""
    return json.dumps({"account_value": 100_000, "weights": {"one": 0.5}, "leverage": 1.0, **keys}).encode()


BAD_PORTFOLIOS = [
    *NO_JSON,
    *NO_FILE,
    Bad("two documents", settings_with() * 2),
    Bad("a venue that is not utf-8", b'{"account_value": 1, "exchanges": {"one": "\xff"}}', found="utf-8"),
    Bad("weights in a list", settings_with(weights=[0.5]), "$.weights", "list"),
    Bad("null as weights", settings_with(weights=None), "$.weights", "null"),
    Bad("a text as weight", settings_with(weights={"other": 0.1, "one": "0.5"}), '$.weights["one"]', '"0.5"'),
    Bad("a truth as weight", settings_with(weights={"one": True}), '$.weights["one"]', "true"),
    Bad("a negative weight", settings_with(weights={"one": -0.1}), '$.weights["one"]', "-0.1"),
    Bad("more than all", settings_with(weights={"one": 0.6, "other": 0.5}), "$.weights", "1.1"),
    Bad("NaN", settings_with(leverage=float("nan"))),
    Bad("1e999 as weight", b'{"account_value": 1, "leverage": 1, "weights": {"one": 1e999}}', found="out of range"),
    Bad("a negative leverage", settings_with(leverage=-1), "$.leverage", "-1"),
    Bad("1e308 as leverage", settings_with(leverage=1e308), "$.leverage", "1e+308"),
    Bad("a text as leverage", settings_with(leverage="2"), "$.leverage", '"2"'),
    Bad("null as leverage", settings_with(leverage=None), "$.leverage", "null"),
    Bad("no capital", settings_with(account_value=0), "$.account_value", "0"),
    Bad("a debt", settings_with(account_value=-5), "$.account_value", "-5"),
    Bad("a text as capital", settings_with(account_value="10000"), "$.account_value", '"10000"'),
    Bad("no volatility", settings_with(target_vol_pct=0), "$.target_vol_pct", "0"),
    Bad("half a day", settings_with(lookback_days=30.5), "$.lookback_days", "30.5"),
    Bad("two days", settings_with(lookback_days=2), "$.lookback_days", "2"),
    Bad("a number as venue", settings_with(exchanges={"one": 5}), '$.exchanges["one"]', "5"),
    Bad("a number among venues", settings_with(exchanges={"other": "paper", "one": 5}), '$.exchanges["one"]', "5"),
    Bad("a list of venues", settings_with(exchanges=["paper"]), "$.exchanges", "list"),
]
