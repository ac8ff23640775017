"""A real daemon and files as they really arrive: bad, half-written, gone, renamed, replaced, back again.

In every scenario a strategy is traded on the paper venue, something happens to its files, and another strategy has to
be traded on as if nothing had.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from portfoliod.prices.markets import MARKETS
from portfoliod.venues import VenueContext, open_venue
from portfoliod.workspace import LARGEST_FILE
from tests.harness.daemon import PATIENCE, Daemon, run_command
from tests.harness.workspace import Files, noisy_returns, replace, write_in_place

SETTINGS = """
[optimizer]
apply = "{apply}"
quiet_ms = 50
[risk]
max_orders_per_minute = 0
state_max_age_seconds = {state_max_age}
"""
OTHER = "other"
COIN = "BTC"
OTHER_COIN = "LTC"
COINS = [base for base in MARKETS if base != OTHER_COIN]


def market(base: str) -> str:
    """Return the unified symbol of a coin."""
    return f"{base}/USDT:USDT"


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that no event tells of."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class World:
    """A workspace with a daemon in it: some strategies under test, and one that has to go on."""

    def __init__(self, root: Path, *, apply: str = "propose", state_max_age: float = 0) -> None:
        self.root = root
        self.files = Files(root)
        self.files.settings(SETTINGS.format(apply=apply, state_max_age=state_max_age))
        self.weights = {OTHER: 0.1}
        self.daemon: Daemon
        self._other_position = 1.0
        self._elsewhere = root / "elsewhere.json"
        self._version = 0

    def folder(self, name: str) -> Path:
        """Return a strategy's folder."""
        return self.root / "strategies" / name

    @property
    def portfolio_file(self) -> Path:
        """The path of portfolio_config.json."""
        return self.root / "config/portfolio_config.json"

    def portfolio(self) -> bytes:
        """Return a portfolio_config.json that differs from all before it in nothing that matters."""
        self._version += 1
        keys = {"account_value": 100_000, "weights": self.weights, "leverage": 1.0, "note": self._version}
        return json.dumps(keys).encode()

    def mend_portfolio(self) -> None:
        """Put a good portfolio_config.json in the place of whatever is there."""
        if self.portfolio_file.is_dir():
            self.portfolio_file.rmdir()
        replace(self.portfolio_file, self.portfolio())

    def start(self, positions: Mapping[str, tuple[float, str]], *, weight: float | None = None) -> Daemon:
        """Start the daemon with strategies at positions in coins, and wait until all are traded."""
        each = 0.8 / max(1, len(positions)) if weight is None else weight
        self.weights |= {name: round(each, 6) for name in positions}
        for name, (position, coin) in positions.items():
            self.files.state(name, position, f"{coin}USDT")
        self.files.state(OTHER, self._other_position, f"{OTHER_COIN}USDT")
        self._elsewhere.write_text(json.dumps({"position": 0, "symbol": "BTCUSDT"}))
        self.folder("linked").mkdir(exist_ok=True)
        (self.folder("linked") / "state.json").symlink_to(self._elsewhere)
        replace(self.portfolio_file, self.portfolio())
        self.daemon = Daemon(self.root)
        for coin in {coin for position, coin in positions.values() if position} | {OTHER_COIN}:
            self.daemon.wait_for("order.filled", symbol=market(coin))
        return self.daemon

    def restart(self) -> Daemon:
        """Start the daemon again in the same workspace."""
        self.daemon = Daemon(self.root)
        return self.daemon

    def held(self) -> dict[str, str]:
        """Return what the account holds on the venue, but for what the other strategy trades."""

        async def look() -> dict[str, str]:
            context = VenueContext("paper", self.root / "var", self.root, read_only=True)
            venue = open_venue(context, {"driver": "paper"})
            await venue.connect()
            quantities = (await venue.positions(time.monotonic())).quantities
            await venue.close()
            return {symbol: str(held) for symbol, held in quantities.items() if symbol != market(OTHER_COIN)}

        return asyncio.run(look())

    def trade_other(self) -> None:
        """Let the other strategy want something else, and wait until that is traded."""
        since = self.daemon.mark()
        self._other_position = 3.0 - self._other_position
        self.files.state(OTHER, self._other_position, f"{OTHER_COIN}USDT")
        self.daemon.wait_for("order.filled", since=since, symbol=market(OTHER_COIN))

    def wait_for_a_scan(self) -> None:
        """Wait until the daemon scanned the whole workspace: only that finds a change behind a linked file."""
        since = self.daemon.mark()
        position = json.loads(self._elsewhere.read_text())["position"]
        self._elsewhere.write_text(json.dumps({"position": position + 1, "symbol": "BTCUSDT"}))
        self.daemon.wait_for("state.accepted", since=since, strategy="linked")

    def problems(self, where: str) -> list[dict[str, str]]:
        """Return what status.json shows of a place."""
        shown: list[dict[str, str]] = self.daemon.status()["problems"]
        return [problem for problem in shown if problem["where"].startswith(where)]

    def wait_until_fine(self, where: str = "") -> None:
        """Wait until status.json shows no problem of a place."""
        until(lambda: not self.problems(where), f"still shown: {where}")

    def wait_until_shown(self, where: str) -> dict[str, str]:
        """Wait until status.json shows a problem of a place, and return it."""
        until(lambda: bool(self.problems(where)), f"never shown: {where}")
        return self.problems(where)[0]


@pytest.fixture
def open_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """What makes a world; its daemon is killed at the end."""
    worlds: list[World] = []

    def make(**options: Any) -> World:
        worlds.append(World(tmp_path, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.daemon.kill()


@pytest.fixture
def world(open_world: Callable[..., World]) -> World:
    """One strategy, `one`, long bitcoin, beside the other one; the daemon runs and both are traded."""
    world = open_world()
    world.start({"one": (1.0, COIN)}, weight=0.5)
    return world


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


@dataclass
class Episode:
    """What happened around a bad file of a strategy."""

    rejected: list[dict[str, Any]] = field(default_factory=list)
    shown: list[dict[str, str]] = field(default_factory=list)
    shown_after: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Episodes:
    """All strategies' files went bad at once, and were mended."""

    of: dict[str, Episode]
    held: list[dict[str, str]]
    """Before, while the files were bad, and after they were mended."""
    events: list[dict[str, Any]]


def case_files(root: Path) -> dict[str, tuple[Bad, Path]]:
    """Return each bad content with the file of its own in which it is put, by the name of the strategy."""
    cases = {}
    for kind, contents in (("state", BAD_STATES), ("stats", BAD_STATS)):
        for number, bad in enumerate(contents):
            name = f"{kind}{number}"
            cases[name] = (bad, root / "strategies" / name / f"{kind}.json")
    return cases


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Episodes]:
    """One daemon, and a strategy with a position for each content that does not fit."""
    world = World(tmp_path_factory.mktemp("bad"))
    cases = case_files(world.root)
    for name in cases:
        world.files.stats(name, noisy_returns(1, days=40))
    daemon = world.start({name: (0.5, COINS[number % len(COINS)]) for number, name in enumerate(cases)})
    with daemon:
        until(lambda: len(world.held()) == len(COINS), "not all were traded")
        world.trade_other()
        found = Episodes({name: Episode() for name in cases}, [world.held()], [])
        since = daemon.mark()
        good = {path: path.read_bytes() for _, path in cases.values()}
        for bad, path in cases.values():
            bad.put(path)
        for name, (_, path) in cases.items():
            daemon.wait_for(f"{path.stem}.rejected", since=since, strategy=name)
        world.trade_other()
        world.wait_for_a_scan()
        world.trade_other()
        until(lambda: len(world.problems("strategies/")) >= len(cases), "not all is shown")
        for name in cases:
            found.of[name].shown = world.problems(f"strategies/{name}/")
        found.held.append(world.held())
        for path, content in good.items():
            if path.is_dir():
                path.rmdir()
            replace(path, content)
        world.wait_until_fine()
        world.trade_other()
        for name in cases:
            found.of[name].rejected = daemon.named("state.rejected", strategy=name)
            found.of[name].rejected += daemon.named("stats.rejected", strategy=name)
            found.of[name].shown_after = world.problems(f"strategies/{name}/")
        found.held.append(world.held())
        found.events = daemon.events[since:]
        yield found


CASES = {name: bad for name, (bad, _) in case_files(Path()).items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES, ids=[f"{name}: {bad.name}" for name, bad in CASES.items()])
def test_a_bad_file_is_told_once_and_shown_until_it_is_mended(episodes: Episodes, name: str) -> None:
    """One event, scans included, with file, place, what was found, what is kept and the mend; the same in status."""
    bad, episode = CASES[name], episodes.of[name]
    shown = f"strategies/{name}/{name.rstrip('0123456789')}.json"
    kept = "0.5" if name.startswith("state") else "40 days"
    assert len(episode.rejected) == 1
    assert bad.told_well(episode.rejected[0], shown, kept), episode.rejected[0]
    assert len(episode.shown) == 1
    assert bad.told_well(episode.shown[0], shown, kept), episode.shown[0]
    assert episode.shown_after == []


@pytest.mark.slow
def test_bad_files_move_nothing(episodes: Episodes) -> None:
    """No position and no target changes while files are bad, nor when they are mended; only the other one trades."""
    before, during, after = episodes.held
    assert during == before
    assert after == before
    traded = {event["symbol"] for event in episodes.events if event["event"] in {"order.sent", "target.decided"}}
    assert traded == {market(OTHER_COIN)}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running world for scenarios that leave it as they found it."""
    world = World(tmp_path_factory.mktemp("shared"))
    world.weights |= dict.fromkeys(ARRIVALS, 0.05)
    world.start({"one": (1.0, COIN)}, weight=0.2)
    yield world
    world.daemon.kill()


@pytest.fixture
def alive(shared: World) -> World:
    """The shared world, put right again where a scenario before left it otherwise."""
    if shared.daemon.process.poll() is not None:
        shared.mend_portfolio()
        shared.restart().wait_for("venue.connected")
        shared.trade_other()
    elif shared.problems("config/"):
        shared.mend_portfolio()
        shared.wait_until_fine("config/")
    return shared


@pytest.mark.slow
@pytest.mark.parametrize("bad", BAD_PORTFOLIOS, ids=[bad.name for bad in BAD_PORTFOLIOS])
def test_a_bad_portfolio_is_told_once_and_changes_nothing(alive: World, bad: Bad) -> None:
    """The last good weights and leverage stay in force until the file is mended, and are traded with."""
    world, before, since = alive, alive.held(), alive.daemon.mark()
    bad.put(world.portfolio_file)
    told = world.daemon.wait_for("config.rejected", since=since)
    world.trade_other()
    world.mend_portfolio()
    world.daemon.wait_for("config.accepted", since=since)
    world.trade_other()
    assert bad.told_well(told, "config/portfolio_config.json", "leverage 1"), told
    assert [event["event"] for event in world.daemon.events[since:]].count("config.rejected") == 1
    assert world.held() == before


def test_a_bad_portfolio_is_shown_until_it_is_mended(world: World) -> None:
    """status.json names it with the weights that stay in force, and forgets it once the file is as it was."""
    good = world.portfolio_file.read_bytes()
    replace(world.portfolio_file, settings_with(leverage="2"))
    problem = world.wait_until_shown("config/portfolio_config.json")
    assert problem["where"].endswith("$.leverage")
    assert "1" in problem["kept"]
    replace(world.portfolio_file, good)
    world.wait_until_fine()


@pytest.mark.parametrize("missing", ["weights", "leverage"])
def test_a_portfolio_that_lost_a_key_is_not_flat(world: World, missing: str) -> None:
    """Missing never means flat: without weights or leverage those in force stay."""
    before, since = world.held(), world.daemon.mark()
    keys = json.loads(world.portfolio())
    del keys[missing]
    replace(world.portfolio_file, json.dumps(keys))
    told = ("config.accepted", "config.rejected")
    until(lambda: any(event["event"] in told for event in world.daemon.events[since:]), "nothing came of it")
    world.trade_other()
    assert world.held() == before


def test_the_same_content_again_is_no_event(world: World) -> None:
    """Rewriting, touching and replacing a file by the same content decides nothing and says nothing."""
    since = world.daemon.mark()
    paths = (world.folder("one") / "state.json", world.portfolio_file)
    for path in paths:
        content = path.read_bytes()
        for _ in range(20):
            replace(path, content)
            write_in_place(path, content)
            path.touch()
    world.trade_other()
    events = world.daemon.events[since:]
    assert [event for event in events if event.get("strategy") == "one"] == []
    assert {event["symbol"] for event in events if event["event"] == "target.decided"} == {market(OTHER_COIN)}
    assert not [event for event in events if event["event"].startswith("config.")]


def test_the_same_position_in_other_words_trades_nothing(world: World) -> None:
    """Other blanks, another order of keys, another form of the number: no new target."""
    since, before = world.daemon.mark(), world.held()
    for text in (
        '{"symbol":"BTCUSDT","position":1}',
        '{\n  "position": 1.00,\n  "symbol": "BTC/USDT:USDT"\n}',
        '{"positions": {"BTC-USDT": 1e0}, "extra": [1, 2, 3]}',
    ):
        replace(world.folder("one") / "state.json", text)
        world.trade_other()
    decided = {
        event["symbol"] for event in world.daemon.named("target.decided") if event in world.daemon.events[since:]
    }
    assert decided == {market(OTHER_COIN)}
    assert world.held() == before


def write_in_pieces(path: Path, content: bytes, size: int) -> None:
    """Overwrite a file the worst way: truncate it, then write a few bytes at a time, each flushed to the disk."""
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), size):
            file.write(content[start : start + size])
            os.fsync(file.fileno())


@pytest.mark.parametrize("size", [1, 7])
def test_a_file_written_in_pieces_is_read_once_it_is_whole(world: World, size: int) -> None:
    """While somebody writes nothing is rejected and nothing changes; the whole content is taken in once."""
    since = world.daemon.mark()
    write_in_pieces(world.folder("one") / "state.json", b'{"position": 2.5, "symbol": "BTCUSDT"}', size)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN))
    world.trade_other()
    events = [event for event in world.daemon.events[since:] if event.get("strategy") == "one"]
    assert [event["event"] for event in events] == ["state.accepted"]
    decided = [event["symbol"] for event in world.daemon.events[since:] if event["event"] == "target.decided"]
    assert decided.count(market(COIN)) == 1


@pytest.mark.slow
def test_a_state_file_that_disappears_freezes_its_strategy(world: World) -> None:
    """The position stays, one warning names the file and both ways out, and the file's return goes on from there."""
    before, since = world.held(), world.daemon.mark()
    (world.folder("one") / "state.json").rename(world.root / "away.json")
    problem = world.wait_until_shown("strategies/one")
    assert "retire one" in problem["mend"]
    world.trade_other()
    assert world.held() == before
    world.files.state("one", 2.0)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN))
    world.wait_until_fine()
    told = [event for event in world.daemon.events[since:] if event["level"] in {"warning", "error"}]
    assert len(told) == 1, told


@pytest.mark.slow
def test_a_folder_that_disappears_freezes_its_strategy(world: World) -> None:
    """strategy.removed once, shown in status, the position kept; the folder's return goes on from there."""
    before, since = world.held(), world.daemon.mark()
    shutil.rmtree(world.folder("one"))
    removed = world.daemon.wait_for("strategy.removed", since=since, strategy="one")
    assert removed["level"] == "warning"
    assert "retire one" in removed["mend"]
    assert "retire one" in world.wait_until_shown("strategies/one")["mend"]
    world.trade_other()
    assert world.held() == before
    world.files.state("one", -1.0)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")
    world.wait_until_fine()
    told = [event for event in world.daemon.events[since:] if event["level"] in {"warning", "error"}]
    assert told == [removed]


def test_a_renamed_folder_freezes_the_old_name_and_gives_the_new_one_nothing(world: World) -> None:
    """The old name keeps what it held, the new one has no weight; renamed back, it goes on."""
    before, since = world.held(), world.daemon.mark()
    world.folder("one").rename(world.folder("uno"))
    world.daemon.wait_for("strategy.removed", since=since, strategy="one")
    world.daemon.wait_for("strategy.added", since=since, strategy="uno")
    world.trade_other()
    assert world.held() == before
    world.folder("uno").rename(world.folder("one"))
    world.daemon.wait_for("strategy.removed", since=since, strategy="uno")
    world.files.state("one", 2.0)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN))


def make_new(source: Path, target: Path) -> None:
    """A strategy that makes its folder and writes."""
    target.mkdir()
    (target / "state.json").write_bytes((source / "state.json").read_bytes())


def move(source: Path, target: Path) -> None:
    """`mv`."""
    source.rename(target)


def copy(source: Path, target: Path) -> None:
    """`cp -r`."""
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)


def link(source: Path, target: Path) -> None:
    """`ln -s`."""
    target.symlink_to(source)


def like_rsync(source: Path, target: Path) -> None:
    """A temporary name in the new folder, then a rename, as rsync does it."""
    target.mkdir()
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=_through_a_temporary_name)


def _through_a_temporary_name(source: str, target: str) -> None:
    temporary = Path(target).with_name(f".{Path(target).name}.Xq3fT1")
    temporary.write_bytes(Path(source).read_bytes())
    temporary.rename(target)


def from_git(source: Path, target: Path) -> None:
    """`git checkout` of a branch that has it."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    repository = source.parent / "repository"
    repository.mkdir()
    git = [
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        f"--git-dir={repository}",
        f"--work-tree={source.parent}",
    ]

    def run(*arguments: str) -> None:
        subprocess.run([*git, *arguments], check=True, capture_output=True, cwd=source.parent)

    source.rename(source.parent / target.name)
    run("init", "--quiet")
    run("add", target.name)
    run("commit", "--quiet", "--message", "a strategy")
    git[-1] = f"--work-tree={target.parent}"
    run("checkout", "--force", "HEAD", "--", target.name)


ARRIVALS = {"new": make_new, "mv": move, "cp": copy, "link": link, "rsync": like_rsync, "git": from_git}


@pytest.mark.slow
@pytest.mark.parametrize("way", ARRIVALS)
def test_a_folder_is_picked_up_however_it_arrives(alive: World, tmp_path: Path, way: str) -> None:
    """A strategy with a weight is traded as soon as its folder is there, and follows its file from then on."""
    world, coin = alive, COINS[list(ARRIVALS).index(way) + 1]
    source = tmp_path / "strategies" / way
    Files(tmp_path).state(way, 0.5, f"{coin}USDT")
    since = world.daemon.mark()
    ARRIVALS[way](source, world.folder(way))
    world.daemon.wait_for("strategy.added", since=since, strategy=way)
    world.daemon.wait_for("order.filled", since=since, symbol=market(coin))
    since = world.daemon.mark()
    world.files.state(way, 1.0, f"{coin}USDT")
    world.daemon.wait_for("order.filled", since=since, symbol=market(coin))
    assert world.daemon.named("state.rejected", strategy=way) == []


@pytest.mark.slow
def test_folders_that_are_not_strategies_are_left_alone(world: World) -> None:
    """Hidden ones and `_` ones in silence, a misnamed one with one warning until it is renamed, files never."""
    since = world.daemon.mark()
    for name in (".hidden", "_shared", "__pycache__", "no good name"):
        world.files.state(name, 1.0, "ETHUSDT")
    (world.root / "strategies/state.json").write_text('{"position": 1, "symbol": "ETHUSDT"}')
    world.wait_for_a_scan()
    world.files.state("no good name", 2.0, "ETHUSDT")
    world.wait_for_a_scan()
    world.trade_other()
    events = world.daemon.events[since:]
    assert [event["where"] for event in events if event["event"] == "strategy.rejected"] == ["strategies/no good name"]
    assert not [event for event in events if event["event"] == "strategy.added"]
    assert set(world.daemon.status()["strategies"]) == {"one", OTHER, "linked"}
    assert "rename" in world.wait_until_shown("strategies/no good name")["mend"]
    world.folder("no good name").rename(world.folder("a-good-name"))
    world.daemon.wait_for("strategy.added", since=since, strategy="a-good-name")
    world.wait_until_fine()


@pytest.mark.slow
def test_a_name_that_is_no_text_blinds_nobody(world: World) -> None:
    """A folder whose name is not UTF-8 is reported, and what changes afterwards is found all the same."""
    since = world.daemon.mark()
    os.mkdir(os.fsencode(world.root / "strategies") + b"/caf\xe9")
    world.daemon.wait_for("strategy.rejected", since=since)
    world.files.state("one", 2.0)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN))


@pytest.mark.slow
def test_a_restart_beside_corrupt_files_changes_nothing(open_world: Callable[..., World]) -> None:
    """Kill -9, every file corrupt, start: the same targets and positions, each file shown, and mended goes on."""
    world = open_world()
    world.files.stats("one", noisy_returns(1))
    world.start({"one": (1.0, COIN)}, weight=0.5)
    world.trade_other()
    before = world.held(), targets(world)
    world.daemon.kill()
    files = [*(world.folder("one") / name for name in ("state.json", "stats.json")), world.portfolio_file]
    good = {path: path.read_bytes() for path in files}
    for path, content in good.items():
        path.write_bytes(content[: len(content) // 2])
    world.restart()
    for kind in ("state", "stats", "config"):
        world.daemon.wait_for(f"{kind}.rejected")
    until(lambda: len(world.problems("")) == 3, "all three are shown")
    world.trade_other()
    assert (world.held(), targets(world)) == before
    for path, content in good.items():
        replace(path, content)
    world.wait_until_fine()
    world.trade_other()
    assert (world.held(), targets(world)) == before
    sent = {event["symbol"] for event in world.daemon.named("order.sent")}
    assert sent == {market(OTHER_COIN)}


@pytest.mark.slow
def test_a_restart_beside_missing_files_changes_nothing(world: World) -> None:
    """Files and folders that vanish while the daemon is down are as frozen as those that vanish while it runs."""
    before = world.held()
    world.daemon.kill()
    shutil.rmtree(world.folder("one"))
    world.portfolio_file.unlink()
    world.restart().wait_for("strategy.removed", strategy="one")
    world.trade_other()
    assert world.held() == before
    world.wait_until_shown("strategies/one")
    world.wait_until_shown("config/portfolio_config.json")


def targets(world: World) -> dict[str, str]:
    """Return the targets that status.json shows once all is in step, but for the other strategy's."""

    def in_step() -> bool:
        status = world.daemon.status()
        return status["pid"] == world.daemon.process.pid and {row["status"] for row in status["markets"]} == {"in_step"}

    until(in_step, "never in step")
    shown = {row["symbol"]: row["target"] for row in world.daemon.status()["markets"]}
    del shown[market(OTHER_COIN)]
    return shown


@pytest.mark.slow
def test_the_optimizer_never_overwrites_a_portfolio_that_does_not_fit(open_world: Callable[..., World]) -> None:
    """New stats beside a bad portfolio_config.json leave it byte for byte; mended, the weights are written."""
    world = open_world(apply="auto")
    world.files.stats("one", noisy_returns(1))
    world.start({"one": (1.0, COIN)})
    world.daemon.wait_for("config.written")
    good = world.portfolio_file.read_bytes()
    for bad in (good.replace(b"leverage", b"leverage\0"), good[:-20], settings_with(weights={"one": -1})):
        since = world.daemon.mark()
        replace(world.portfolio_file, bad)
        world.daemon.wait_for("config.rejected", since=since)
        world.files.stats("one", noisy_returns(since))
        world.daemon.wait_for("weights.refused", since=since)
        assert world.portfolio_file.read_bytes() == bad
    since = world.daemon.mark()
    replace(world.portfolio_file, good)
    world.daemon.wait_for("config.written", since=since)


@pytest.mark.slow
def test_the_optimizer_never_overwrites_a_portfolio_that_is_being_written(open_world: Callable[..., World]) -> None:
    """A file that is not whole yet is not overwritten either, though nobody called it bad so far."""
    world = open_world(apply="auto")
    world.files.stats("one", noisy_returns(1))
    world.start({"one": (1.0, COIN)})
    world.daemon.wait_for("config.written")
    since = world.daemon.mark()
    half = world.portfolio_file.read_bytes()[:-20]
    write_in_place(world.portfolio_file, half)
    world.files.stats("one", noisy_returns(2))
    world.daemon.wait_for("stats.accepted", since=since)
    world.daemon.wait_for("config.rejected", since=since)
    assert world.portfolio_file.read_bytes() == half


def test_a_day_in_the_future_takes_no_weight_from_the_others(open_world: Callable[..., World]) -> None:
    """One strategy's wrong clock must not make all others look stale: their weights stay."""
    world = open_world(apply="auto")
    for name in ("one", "two"):
        world.files.stats(name, noisy_returns(len(name) + ord(name[0]), drift=0.002))
    world.start({"one": (1.0, COIN), "two": (1.0, "ETH")})
    world.daemon.wait_for("config.written")
    before, since = json.loads(world.portfolio_file.read_bytes())["weights"], world.daemon.mark()
    assert before["one"] > 0
    world.files.stats("two", noisy_returns(9, drift=0.002), last_day="2999-12-31")
    told = ("stats.rejected", "config.written", "weights.refused", "weights.kept")
    until(lambda: any(event["event"] in told for event in world.daemon.events[since:]), "nothing came of it")
    assert json.loads(world.portfolio_file.read_bytes())["weights"]["one"] > 0


@pytest.mark.parametrize(
    "updated_at",
    [
        pytest.param("2001-01-01T00:00:00Z", id="long ago"),
        pytest.param("2999-01-01T00:00:00Z", id="in the future"),
        pytest.param(4e10, id="seconds in the future"),
    ],
)
def test_a_state_of_another_time_opens_nothing_where_an_age_is_set(
    open_world: Callable[..., World], updated_at: object
) -> None:
    """With `state_max_age_seconds` a stale state adds nothing, and one from the future is not taken for fresh."""
    world = open_world(state_max_age=3600)
    world.start({"one": (1.0, COIN)}, weight=0.5)
    before, since = world.held(), world.daemon.mark()
    world.files.state("one", 2.0, updated_at=updated_at)
    said = ("risk.refused", "state.rejected", "order.sent")
    until(lambda: any(event["event"] in said for event in world.daemon.events[since:]), "nothing came of it")
    world.trade_other()
    assert world.held() == before


def test_a_retired_strategy_is_closed_and_its_name_may_come_back(world: World) -> None:
    """Retiring closes its position and ignores its folder; another folder of that name is a new strategy."""
    since = world.daemon.mark()
    done = run_command(world.root, "retire", "one")
    assert done.returncode == 0, done.stderr
    world.daemon.wait_for("strategy.retired", since=since, strategy="one")
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")
    assert world.held() == {}
    since = world.daemon.mark()
    world.files.state("one", 2.0)
    world.trade_other()
    assert world.held() == {}
    assert (
        world.daemon.named("state.accepted", strategy="one") == world.daemon.named("state.accepted", strategy="one")[:1]
    )
    world.folder("one").rename(world.root / "away")
    world.files.state("one", -1.0)
    world.daemon.wait_for("strategy.added", since=since, strategy="one")
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")


def test_a_retired_folder_that_is_replaced_at_once_is_a_new_strategy(world: World) -> None:
    """Removed and made again within a moment, perhaps with the old folder's inode, it is another folder."""
    since = world.daemon.mark()
    assert run_command(world.root, "retire", "one").returncode == 0
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")
    since = world.daemon.mark()
    shutil.rmtree(world.folder("one"))
    world.files.state("one", -1.0)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")


@pytest.mark.slow
def test_a_retirement_survives_a_restart(world: World) -> None:
    """The retired folder is still ignored by the next process, and what it held stays closed."""
    since = world.daemon.mark()
    assert run_command(world.root, "retire", "one").returncode == 0
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")
    world.daemon.kill()
    world.restart().wait_for("venue.connected")
    world.trade_other()
    world.files.state("one", 2.0)
    world.wait_for_a_scan()
    world.trade_other()
    assert world.held() == {}
    assert "one" not in world.daemon.status()["strategies"]
