"""The paper venue: the contract on every kind of market and prices, and what is its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfoliod.errors import OrderRefused, SettingsError, VenueError, VenueUnreachable
from portfoliod.model import ZERO, Intent, Key, Side
from portfoliod.venues import Venue, VenueContext, open_venue
from portfoliod.venues.paper.feed import ReplayFeed, SimulatedFeed
from tests.venues.contract import Stage, StageFactory, VenueContract

HOUR = 3600
FIRST = 1_704_067_200
"""2024-01-01 00:00 UTC."""
NEVER_MOVES = 1e-9
"""The speed of a replay that stays in its first candle."""


def write_candles(folder: Path, symbol: str, candles: Sequence[tuple[int, float, float]]) -> Path:
    """Write hourly candles, each (hours since FIRST, open, close)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{FIRST + hour * HOUR},{opened},{max(opened, closed)},{min(opened, closed)},{closed},1"
        for hour, opened, closed in candles
    ]
    path = folder / f"{symbol}-1h.csv"
    path.write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")
    return path


class Accounts:
    """Opens paper venues in one folder; closes them all at the end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.var = root / "var"
        self._open: list[Venue] = []

    def context(self, *, read_only: bool = False) -> VenueContext:
        """Return the context of the venue `desk`."""
        return VenueContext("desk", self.var, self.root / "config/portfoliod.toml", read_only)

    async def open(self, table: Mapping[str, object], *, read_only: bool = False) -> Venue:
        """Return a connected venue."""
        if not read_only:
            self.var.mkdir(exist_ok=True)
        venue = open_venue(self.context(read_only=read_only), {"driver": "paper", **table})
        await venue.connect()
        self._open.append(venue)
        return venue

    async def close(self) -> None:
        """Close what was opened."""
        for venue in self._open:
            with contextlib.suppress(VenueUnreachable):
                await venue.close()


def on_paper(root: Path, scenario: Callable[[Accounts], Awaitable[None]]) -> None:
    """Run a scenario with accounts in a folder."""

    async def run() -> None:
        accounts = Accounts(root)
        try:
            await scenario(accounts)
        finally:
            await accounts.close()

    asyncio.run(run())


def order(quantity: str, *, reduce_only: bool = False, client_id: str = "one", symbol: str = "ETH/USDT:USDT") -> Intent:
    """Return a market order for a signed quantity."""
    signed = Decimal(quantity)
    side = Side.BUY if signed > 0 else Side.SELL
    return Intent(client_id, Key("desk", symbol), side, abs(signed), reduce_only, 1, time.time(), "test")


class PaperContract(VenueContract):
    """The contract, played on a paper account whose price hardly moves."""

    table: Mapping[str, object] = {}
    symbol = "ETH/USDT:USDT"
    forms: Sequence[str] = ("ETHUSDT", "ETH/USDT", "ETH-USDT", "ETH/USDT:USDT")
    price_noise = Decimal("0.001")

    @pytest.fixture
    def stages(self, tmp_path: Path) -> StageFactory:
        """Open an account in a folder of its own."""
        write_candles(tmp_path / "candles", "ETHUSDT", [(0, 3000.0, 3000.0), (1, 3000.0, 3000.0)])

        @contextlib.asynccontextmanager
        async def open_stage() -> AsyncIterator[Stage]:
            accounts = Accounts(tmp_path)

            async def reopen() -> Venue:
                return await accounts.open(self.table)

            try:
                yield Stage(
                    venue=await reopen(),
                    symbol=self.symbol,
                    forms=self.forms,
                    quote="USDT",
                    quantity=Decimal("0.5"),
                    reopen=reopen,
                    price_noise=self.price_noise,
                )
            finally:
                await accounts.close()

        return open_stage


class TestSwapAtSimulatedPrices(PaperContract):
    """Perpetual swaps, simulated prices."""


class TestSpotAtSimulatedPrices(PaperContract):
    """Spot markets, simulated prices."""

    table: Mapping[str, object] = {"market_type": "spot"}
    symbol = "ETH/USDT"
    forms: Sequence[str] = ("ETHUSDT", "ETH/USDT", "ETH-USDT")


class TestSwapAtRecordedPrices(PaperContract):
    """Perpetual swaps, recorded candles."""

    table: Mapping[str, object] = {"prices": "candles:candles", "speed": NEVER_MOVES}
    price_noise = ZERO


class TestSpotAtRecordedPrices(TestSpotAtSimulatedPrices):
    """Spot markets, recorded candles."""

    table: Mapping[str, object] = {"market_type": "spot", "prices": "candles:candles", "speed": NEVER_MOVES}
    price_noise = ZERO


@settings(deadline=None, max_examples=25)
@given(
    price=st.decimals("0.01", "90000", places=2),
    half_spread=st.integers(0, 50),
    slippage=st.integers(0, 50),
    fee=st.integers(0, 100),
)
def test_a_fill_is_half_a_spread_and_the_slippage_away_and_pays_the_fee(
    tmp_path_factory: pytest.TempPathFactory, price: Decimal, half_spread: int, slippage: int, fee: int
) -> None:
    """A buy pays price x (1 + (half spread + slippage)/1e4), a sale gets as much less; the fee is on what was paid."""
    root = tmp_path_factory.mktemp("paper")
    write_candles(root / "candles", "ETHUSDT", [(0, float(price), float(price))])

    async def scenario(accounts: Accounts) -> None:
        costs = {"half_spread_bps": half_spread, "slippage_bps": slippage, "fee_bps": fee}
        venue = await accounts.open({"prices": "candles:candles", "speed": NEVER_MOVES, **costs})
        for signed in ("600", "-600"):
            report = await venue.place(order(signed, client_id=signed))
            sign = 1 if signed == "600" else -1
            away = Decimal(half_spread + slippage) / 10_000
            (fill,) = report.fills
            assert abs(fill.price - price * (1 + sign * away)) <= Decimal("1e-8")
            assert abs(fill.fee - 600 * fill.price * fee / 10_000) <= Decimal("1e-8")
            assert fill.fee_currency == "USDT"

    on_paper(root, scenario)


def test_equity_is_the_balance_less_what_was_paid(tmp_path: Path) -> None:
    """A round trip at a price that stands still costs two fees and twice the distance from the price, to the cent."""
    write_candles(tmp_path / "candles", "ETHUSDT", [(0, 2000.0, 2000.0)])

    async def scenario(accounts: Accounts) -> None:
        costs = {"half_spread_bps": 3, "slippage_bps": 2, "fee_bps": 10, "balance": 5000}
        venue = await accounts.open({"prices": "candles:candles", "speed": NEVER_MOVES, **costs})
        assert await venue.equity() == 5000
        await venue.place(order("1", client_id="in"))
        assert await venue.equity() == 5000 - Decimal("1.0") - Decimal("2.001")
        await venue.place(order("-1", client_id="out"))
        assert await venue.equity() == 5000 - Decimal("2.0") - Decimal("2.001") - Decimal("1.999")

    on_paper(tmp_path, scenario)


def test_spot_needs_what_it_pays_with(tmp_path: Path) -> None:
    """Spot cannot buy for more cash than there is, fee included, nor sell more than it holds."""
    write_candles(tmp_path / "candles", "ETHUSDT", [(0, 1000.0, 1000.0)])

    async def scenario(accounts: Accounts) -> None:
        free = {"half_spread_bps": 0, "slippage_bps": 0, "fee_bps": 10, "balance": 1000, "market_type": "spot"}
        venue = await accounts.open({"prices": "candles:candles", "speed": NEVER_MOVES, **free})
        for quantity in ("1.000", "7"):
            with pytest.raises(OrderRefused, match="insufficient funds"):
                await venue.place(order(quantity, symbol="ETH/USDT"))
        await venue.place(order("0.999", client_id="fits", symbol="ETH/USDT"))
        for quantity in ("-1", "-7"):
            with pytest.raises(OrderRefused, match="insufficient balance"):
                await venue.place(order(quantity, client_id="sale", symbol="ETH/USDT"))
        assert (await venue.positions(time.monotonic())).quantities == {"ETH/USDT": Decimal("0.999")}
        await venue.place(order("-0.999", client_id="rest", symbol="ETH/USDT"))
        assert (await venue.positions(time.monotonic())).quantities == {}

    on_paper(tmp_path, scenario)


def test_an_order_is_durable_the_moment_place_returned(tmp_path: Path) -> None:
    """SIGKILL right after place returned: a new instance knows the order, the position and the trade."""
    (tmp_path / "var").mkdir()
    script = textwrap.dedent("""
        import asyncio, os, pathlib, signal, sys
        from decimal import Decimal
        from portfoliod.model import Intent, Key, Side
        from portfoliod.venues import VenueContext, open_venue

        async def main():
            root = pathlib.Path(sys.argv[1])
            venue = open_venue(VenueContext("desk", root / "var", root / "none.toml", False), {"driver": "paper"})
            await venue.connect()
            key = Key("desk", venue.resolve("ETHUSDT"))
            report = await venue.place(Intent("killed", key, Side.BUY, Decimal("0.25"), False, 1, 0.0, "test"))
            print(report.fills[0].trade_id, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """)
    process = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr

    async def scenario(accounts: Accounts) -> None:
        venue = await accounts.open({})
        found = await venue.find(order("0.25", client_id="killed"))
        assert found is not None
        assert [fill.trade_id for fill in found.fills] == [process.stdout.strip()]
        assert (await venue.positions(time.monotonic())).quantities == {"ETH/USDT:USDT": Decimal("0.25")}

    on_paper(tmp_path, scenario)


def test_a_look_writes_nothing_where_there_is_no_account(tmp_path: Path) -> None:
    """A read-only venue works before the first start of a daemon: a new account's balance, and no file on disk."""

    async def scenario(accounts: Accounts) -> None:
        venue = await accounts.open({"balance": 777}, read_only=True)
        assert await venue.equity() == 777
        assert (await venue.positions(time.monotonic())).quantities == {}
        assert await venue.find(order("0.25")) is None
        assert (await venue.price("ETH/USDT:USDT")).value > 0
        await venue.close()
        assert list(tmp_path.iterdir()) == []

    on_paper(tmp_path, scenario)


def test_a_look_beside_a_daemon_sees_its_account_and_changes_nothing(tmp_path: Path) -> None:
    """A read-only venue shows what the one that trades holds, while that is open and after it was closed."""

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "var").iterdir() if not path.name.endswith("-shm")}

    async def scenario(accounts: Accounts) -> None:
        trading = await accounts.open({})
        await trading.place(order("0.25"))
        for closed in (False, True):
            if closed:
                await trading.close()
            before = content()
            looking = await accounts.open({}, read_only=True)
            held = await looking.positions(time.monotonic())
            assert held.quantities == {"ETH/USDT:USDT": Decimal("0.25")}
            assert await looking.find(order("0.25")) is not None
            await looking.close()
            assert {name: raw for name, raw in content().items() if raw} == before

    on_paper(tmp_path, scenario)


@pytest.mark.parametrize("exists", [False, True])
def test_a_look_cannot_trade(tmp_path: Path, *, exists: bool) -> None:
    """A read-only venue places nothing, whether the account exists or not."""

    async def scenario(accounts: Accounts) -> None:
        if exists:
            await (await accounts.open({})).close()
        looking = await accounts.open({}, read_only=True)
        with pytest.raises(VenueError):
            await looking.place(order("0.25"))
        assert (await looking.positions(time.monotonic())).quantities == {}

    on_paper(tmp_path, scenario)


def test_an_account_that_is_not_one_is_unreachable_and_left_alone(tmp_path: Path) -> None:
    """A torn account file is told as such: it is neither replaced by a new one nor taken for flat."""
    account = tmp_path / "var/paper-desk.db"
    account.parent.mkdir()
    account.write_bytes(b"not a database, but long enough to be read as one" * 100)
    before = account.read_bytes()

    async def scenario(accounts: Accounts) -> None:
        with pytest.raises(VenueUnreachable, match="paper account"):
            await accounts.open({})

    on_paper(tmp_path, scenario)
    assert account.read_bytes() == before


def test_an_account_that_breaks_later_is_unreachable(tmp_path: Path) -> None:
    """What cannot be read any more is VenueUnreachable from every read, never a flat account or a bare error."""

    async def scenario(accounts: Accounts) -> None:
        venue = await accounts.open({})
        await venue.place(order("0.25"))
        other = sqlite3.connect(tmp_path / "var/paper-desk.db")
        with contextlib.closing(other):
            for table in ("positions", "orders", "trades", "facts"):
                other.execute(f"DROP TABLE {table}")
            other.commit()
        reads: list[Callable[[], Awaitable[object]]] = [
            lambda: venue.positions(time.monotonic()),
            venue.equity,
            lambda: venue.find(order("0.25")),
            lambda: venue.place(order("0.25", client_id="two")),
        ]
        for read in reads:
            with pytest.raises(VenueError):
                await read()

    on_paper(tmp_path, scenario)


def replay(folder: Path, *, speed: float = 1.0) -> ReplayFeed:
    """Return a replay that started at the moment 0."""
    return ReplayFeed(folder, "USDT", speed, 0.0)


def test_a_replay_shows_the_open_of_the_candle_in_which_it_stands(tmp_path: Path) -> None:
    """A candle has one price, its open, from its first second to its last."""
    write_candles(tmp_path, "ETHUSDT", [(0, 10.0, 19.0), (1, 20.0, 29.0), (2, 30.0, 39.0)])
    feed = replay(tmp_path)
    for at, price in ((0, 10), (1, 10), (HOUR - 1, 10), (HOUR, 20), (2 * HOUR - 0.5, 20), (2 * HOUR, 30)):
        assert feed.price("ETH", at) == price, at


def test_a_replay_holds_the_last_close_at_its_end(tmp_path: Path) -> None:
    """After the last candle its close stands, however long after."""
    write_candles(tmp_path, "ETHUSDT", [(0, 10.0, 19.0), (1, 20.0, 29.0)])
    feed = replay(tmp_path)
    for at in (2 * HOUR, 3 * HOUR, 1e12):
        assert feed.price("ETH", at) == 29


def test_missing_hours_keep_the_price_before_them(tmp_path: Path) -> None:
    """Where candles are missing the price of the last one before the gap stands."""
    write_candles(tmp_path, "ETHUSDT", [(0, 10.0, 19.0), (5, 60.0, 69.0)])
    feed = replay(tmp_path)
    for hour in range(5):
        assert feed.price("ETH", hour * HOUR + 30) == 10, hour
    assert feed.price("ETH", 5 * HOUR) == 60


def test_a_replay_runs_at_its_speed_and_not_before_its_start(tmp_path: Path) -> None:
    """`speed` recorded seconds pass in a second; a clock that stands before the start shows the first price."""
    write_candles(tmp_path, "ETHUSDT", [(hour, 10.0 * (hour + 1), 5.0) for hour in range(50)])
    feed = replay(tmp_path, speed=HOUR)
    assert feed.price("ETH", -1000.0) == 10
    for second in range(50):
        assert feed.price("ETH", second + 0.5) == 10 * (second + 1)


def test_a_replay_starts_where_every_recording_has_begun(tmp_path: Path) -> None:
    """With recordings that begin at different times the first price of each exists from the start."""
    write_candles(tmp_path, "ETHUSDT", [(hour, 10.0 + hour, 5.0) for hour in range(10)])
    write_candles(tmp_path, "BTCUSDT", [(hour, 100.0 + hour, 5.0) for hour in range(4, 10)])
    feed = replay(tmp_path)
    assert feed.price("ETH", 0.0) == 14
    assert feed.price("BTC", 0.0) == 104


def test_a_replay_goes_on_where_the_account_left_it(tmp_path: Path) -> None:
    """The replay's clock starts when the account is opened the first time, not at each start of a daemon."""
    write_candles(tmp_path / "candles", "ETHUSDT", [(0, 10.0, 19.0), (1, 20.0, 29.0)])

    async def scenario(accounts: Accounts) -> None:
        ends_at_once = {"prices": "candles:candles", "speed": 1e12}
        await (await accounts.open(ends_at_once)).close()
        again = await accounts.open(ends_at_once)
        assert (await again.price("ETH/USDT:USDT")).value == 29

    on_paper(tmp_path, scenario)


@settings(deadline=None)
@given(seed=st.integers(0, 2**63 - 1), at=st.floats(1.6e9, 2.0e9))
def test_two_instances_with_the_same_seed_agree(seed: int, at: float) -> None:
    """Simulated prices are a function of seed and second: no instance remembers anything that another does not."""
    one, other = SimulatedFeed(seed), SimulatedFeed(seed)
    one.price("ETH", at - 1e6)
    for base in ("ETH", "BTC"):
        assert one.price(base, at) == other.price(base, at)
        assert one.price(base, at) % one.markets()[base].tick == 0


def test_two_venues_with_the_same_seed_show_the_same_price(tmp_path: Path) -> None:
    """Accounts opened at different times, in different folders, are in the same market."""

    async def scenario(accounts: Accounts) -> None:
        other = Accounts(tmp_path / "other")
        other.root.mkdir()
        one, two = await accounts.open({"seed": 5}), await other.open({"seed": 5, "balance": 1})
        try:
            before = seen = after = ZERO
            while not before == after != ZERO:  # until both were read within one second
                before = (await one.price("BTC/USDT:USDT")).value
                seen = (await two.price("BTC/USDT:USDT")).value
                after = (await one.price("BTC/USDT:USDT")).value
            assert seen == before
        finally:
            await other.close()

    on_paper(tmp_path, scenario)


@pytest.mark.parametrize(
    ("prices", "named"),
    [
        ("", ""),
        ("bitcoin", "bitcoin"),
        ("candles", "candles"),
        ("candles:", "candles:"),
        ("candles:nowhere", "nowhere"),
        ("candles:empty", "empty"),
        ("candles:torn", "BTCUSDT-1h.csv"),
        ("candles:other_quote", "USDT"),
    ],
)
def test_prices_that_cannot_be_had_are_an_error_in_the_settings(tmp_path: Path, prices: str, named: str) -> None:
    """A bad `prices` is a SettingsError that names the key, the file and what was found."""
    (tmp_path / "empty").mkdir()
    write_candles(tmp_path / "torn", "BTCUSDT", [(0, 1.0, 1.0)]).write_text("time,open,high,low,close,volume\n1,2\n")
    write_candles(tmp_path / "other_quote", "BTCEUR", [(0, 1.0, 1.0)])

    async def scenario(accounts: Accounts) -> None:
        with pytest.raises(SettingsError) as caught:
            await accounts.open({"prices": prices})
        assert "venues.desk.prices" in caught.value.where
        assert "portfoliod.toml" in caught.value.where
        assert named in caught.value.found
        assert caught.value.mend

    on_paper(tmp_path, scenario)


@pytest.mark.parametrize(
    "table",
    [
        {"sped": 2},
        {"speed": 0},
        {"speed": "fast"},
        {"speed": float("nan")},
        {"speed": float("inf")},
        {"balance": -1},
        {"balance": float("nan")},
        {"fee_bps": -1},
        {"fee_bps": float("inf")},
        {"seed": -1},
        {"seed": 1.5},
        {"market_type": "futures"},
    ],
)
def test_a_table_that_does_not_fit_is_an_error_in_the_settings(tmp_path: Path, table: Mapping[str, object]) -> None:
    """An unknown key or a value out of range is a SettingsError that names the key, before anything is opened."""
    (name,) = table
    with pytest.raises(SettingsError) as caught:
        open_venue(Accounts(tmp_path).context(), {"driver": "paper", **table})
    assert f"venues.desk.{name}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
