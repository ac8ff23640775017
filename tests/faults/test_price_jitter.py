"""Prices that jitter around a step, the no-trade band or a minimum: nothing is traded, so no fee is paid for noise."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.faults.world import World, both_exchanges, symbol, unhurried
from tests.harness.daemon import Daemon
from tests.harness.workspace import Files
from tests.tasks.evidence import BTC, ETH, intents, journal, market, positions, until

OFTEN = "capital = {capital!r}\n[reconciler]\nresync_seconds = 0.1\n\n[risk]\nmax_orders_per_minute = 0\n"
ABOUT_A_STEP = ["0.9999", "1.0001", "0.9993", "1.0007", "1"]
"""Shares of the price that push a quantity over the edge between two steps and back."""
ABOUT_THE_BAND = ["0.951", "0.949", "1.049", "1.053", "0.9", "1.1", "1"]
"""Shares of the price that push a notional out of the no-trade band and back into it."""
HOURS = 36_000
START = 1_700_000_000 // 3600 * 3600


def equities(root: Path) -> int:
    """Return how many different figures the account was worth, as the daemon saw it: it follows the price."""
    ((figures,),) = journal(root, "SELECT count(DISTINCT equity) FROM equity")
    return int(figures)


def decisions(root: Path) -> list[tuple[str, str, str]]:
    """Return symbol, price and quantity of all decisions."""
    return [
        (name, price, quantity)
        for name, price, quantity in journal(root, "SELECT symbol, price, quantity FROM decisions ORDER BY number")
    ]


def let_jitter(world: World, bases: Iterable[str], shares: Iterable[str]) -> None:
    """Move the prices of markets to each share of what they are now, and let the daemon look at each."""
    markets = [world.market(base) for base in bases]
    now = {each.id: world.account.prices[each.id] for each in markets}
    for share in shares:
        for each in markets:
            world.account.set_price(each.id, (now[each.id] * Decimal(share)).quantize(each.tick))
        looks = world.exchange.count("mode") + 2
        world.exchange.wait_for(lambda looks=looks: world.exchange.count("mode") >= looks)  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "capital"), [("binanceusdm", "file"), ("okx", "equity")])
def test_fault_34_a_price_that_jitters_trades_nothing(files: Files, kind: str, capital: str) -> None:
    """Whether it is around the edge of a step or of the band, short or long, after a restart too."""
    with World(files, kind) as world:
        edges = {"ETH": Decimal("1.0005"), "BTC": Decimal("-0.1005"), "SOL": Decimal("10.005")}
        for base, quantity in edges.items():
            world.want(base, quantity)
        settings = OFTEN.format(capital=capital)
        daemon = world.start(settings=settings, venue=unhurried(world))
        for base in edges:
            world.until_row(base, status="in_step")
            assert world.held(base) != 0
        held, decided = {base: world.held(base) for base in edges}, decisions(files.root)
        let_jitter(world, edges, ABOUT_A_STEP)
        let_jitter(world, edges, ABOUT_THE_BAND)
        assert daemon.terminate() == 0
        world.start(settings=settings, venue=unhurried(world))
        let_jitter(world, edges, ABOUT_A_STEP[:3])
        assert {base: world.held(base) for base in edges} == held
        assert decisions(files.root) == decided
        assert len(world.account.trades) == len(intents(files.root)) == len(edges)
        assert equities(files.root) > len(ABOUT_THE_BAND)
        world.assert_sound()


@pytest.mark.slow
@pytest.mark.parametrize("capital", ["file", "equity"])
def test_fault_34_a_strategy_that_says_the_same_again_at_another_price_trades_nothing(
    files: Files, capital: str
) -> None:
    """It publishes at each tick, with a new time: that is no new wish, and the target keeps its price."""
    with World(files, "binanceusdm") as world:
        daemon = world.start(settings=OFTEN.format(capital=capital), venue=unhurried(world))
        files.state("eth", 0.025, symbol=symbol("ETH"), updated_at=time.time() - HOURS)
        daemon.wait_for("order.filled")
        world.until_row("ETH", status="in_step")
        decided = decisions(files.root)
        for share in [*ABOUT_A_STEP, *ABOUT_THE_BAND]:
            files.state("eth", 0.025, symbol=symbol("ETH"), updated_at=time.time(), share=share)
            let_jitter(world, ["ETH"], [share])
        until(lambda: daemon.status()["strategies"]["eth"]["state_age_s"] < HOURS / 2)
        assert decisions(files.root) == decided
        assert len(world.account.orders) == 1
        world.assert_sound()


@pytest.mark.slow
@both_exchanges
def test_fault_34_a_price_that_jitters_around_a_minimum_trades_once(files: Files, kind: str) -> None:
    """What is worth enough at one tick is opened then, and not closed, opened or topped up at the ticks after it."""
    with World(files, kind) as world:
        eth = world.market("ETH")
        price = world.account.prices[eth.id]
        world.want("ETH", Decimal("0.1"))
        settings = OFTEN.format(capital="file").replace("[risk]", f"min_order_notional = {price / 10}\n\n[risk]")
        world.account.set_price(eth.id, price * Decimal("0.9995"))
        world.start(settings=settings, venue=unhurried(world))
        row = world.until_row("ETH", status="in_step")
        assert "below min_order_notional" in row["reason"]
        for _ in range(3):
            let_jitter(world, ["ETH"], ["0.9999", "1.0001", "1.001", "0.999", "1"])
        assert world.held("ETH") == Decimal("0.1")
        assert len(world.account.orders) == 1
        world.assert_sound()


@pytest.mark.slow
@pytest.mark.parametrize("swing", [0.0003, 0.05, 0.06], ids=["a step", "the band", "more"])
def test_fault_34_candles_that_jitter_leave_a_paper_account_alone(files: Files, swing: float) -> None:
    """The price is another one at each look, and the account keeps its two trades."""
    folder = files.root / "recorded"
    folder.mkdir()
    for base, price in (("BTC", 50_000), ("ETH", 2_500)):
        chance = random.Random(base)
        prices = [price * (1 + swing * chance.choice((-1, 1)) * chance.uniform(0.9, 1)) for _ in range(5000)]
        rows = [f"{START + number * 60},{p:.2f},{p:.2f},{p:.2f},{p:.2f},1" for number, p in enumerate(prices)]
        (folder / f"{base}USDT-1m.csv").write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")
    replay = '[venues.paper]\ndriver = "paper"\nprices = "candles:recorded"\nspeed = 400\n'
    files.settings(f"[reconciler]\nresync_seconds = 0.1\n{replay}")
    files.portfolio({"long": 0.5, "short": 0.5})
    files.state("long", 0.01005 * 5)
    files.state("short", -0.5, symbol="ETHUSDT")
    with Daemon(files.root) as daemon:
        until(lambda: len(positions(files.root)) == 2)
        held = positions(files.root)
        seen = equities(files.root) + 4
        until(lambda: equities(files.root) >= seen)
        until(lambda: {market(files.root, each)["status"] for each in (BTC, ETH)} == {"in_step"})
        assert positions(files.root) == held
        assert len(intents(files.root)) == 2
        assert len(decisions(files.root)) == 2
        assert daemon.terminate() == 0
