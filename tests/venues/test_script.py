"""A user's own broker in one file: the contract on three of them, and the daemon with the example."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from portfoliod.errors import OrderRefused, UnknownSymbol
from portfoliod.venues import Venue
from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files
from tests.venues.contract import Stage, StageFactory, VenueContract, on_stage
from tests.venues.scripts import LEAST, PRICED, SYMBOL, Scripts

EXAMPLE = Path(__file__).parents[2] / "config" / "my_broker.example.py"


class ScriptContract(VenueContract):
    """The contract, played on a script whose price stands still."""

    parts: tuple[str, ...] = ()

    @pytest.fixture
    def stages(self, tmp_path: Path) -> StageFactory:
        """Open an account in a workspace of its own."""
        (tmp_path / "config").mkdir()
        shutil.copy(EXAMPLE, tmp_path / "config" / "my_broker.py")

        @contextlib.asynccontextmanager
        async def open_stage() -> AsyncIterator[Stage]:
            scripts = Scripts(tmp_path)

            async def reopen() -> Venue:
                venue = await scripts.open(*self.parts)
                await venue.price(venue.resolve(SYMBOL))
                return venue

            try:
                yield Stage(
                    venue=await reopen(),
                    symbol=SYMBOL,
                    forms=("BTCUSDT", "BTC/USDT", "BTC-USDT", "BTC/USDT:USDT"),
                    quote="USDT",
                    quantity=Decimal("0.2"),
                    reopen=reopen,
                )
            finally:
                await scripts.close()

        return open_stage

    @on_stage
    async def test_an_unknown_symbol_is_said_to_be_unknown(self, stage: Stage) -> None:
        """A script lists no markets: only what cannot be a market is UnknownSymbol, with a way out in it."""
        for text in ("?", "", " ", "BTC\nUSDT", "B" * 65):
            with pytest.raises(UnknownSymbol) as caught:
                stage.venue.resolve(text)
            assert caught.value.what
            assert caught.value.mend


class TestExample(ScriptContract):
    """The example that users start from, as it is."""


class TestLeast(ScriptContract):
    """Two functions and a price: the position shows what became of an order."""

    parts: tuple[str, ...] = (LEAST, PRICED)

    @on_stage
    async def test_equity_falls_by_what_trading_costs(self, stage: Stage) -> None:
        """Without get_equity the equity is not known."""
        await stage.trade(stage.quantity)
        assert await stage.venue.equity() is None

    @on_stage
    async def test_a_new_instance_finds_everything_where_it_was(self, stage: Stage) -> None:
        """Without get_order a new process knows positions and no orders, and the venue says that it cannot look."""
        intent = stage.intent(stage.quantity)
        await stage.venue.place(intent)
        await stage.venue.close()
        again = await stage.reopen()
        assert (await again.positions(time.monotonic())).quantities == {SYMBOL: stage.quantity}
        assert await again.find(intent) is None
        assert not again.finds_orders

    @on_stage
    async def test_what_does_not_fit_the_rules_is_refused(self, stage: Stage) -> None:
        """What the script refuses is OrderRefused with its reason."""
        with pytest.raises(OrderRefused, match="it does not fit"):
            await stage.venue.place(stage.intent(Decimal("0.0005")))


class TestLeastAsync(TestLeast):
    """The same with async functions."""

    parts: tuple[str, ...] = (
        LEAST.replace("def place_order", "async def place_order"),
        PRICED.replace("def", "async def"),
    )


LIVE = 'mode = "live"\ndefault_venue = "mine"\n[venues.mine]\ndriver = "script"\nscript = "config/my_broker.py"\n'


@pytest.fixture
def live(files: Files) -> Files:
    """A workspace in which the example trades for one strategy."""
    files.settings(LIVE)
    files.portfolio({"trend": 1.0})
    shutil.copy(EXAMPLE, files.root / "config" / "my_broker.py")
    return files


def held(root: Path) -> dict[str, str]:
    """Return the positions at the example's broker."""
    path = root / "var" / "my_broker.json"
    found: dict[str, str] = json.loads(path.read_text())["positions"] if path.exists() else {}
    return found


@pytest.mark.slow
def test_the_daemon_trades_through_the_example(live: Files) -> None:
    """A state leads to the position at the broker, a flip and a restart too, and nothing is sent twice."""
    live.state("trend", 0.6)
    with Daemon(live.root, "--live") as daemon:
        assert "get_equity" in daemon.wait_for("venue.script_loaded")["functions"]
        daemon.wait_for("order.filled", side="buy")
        assert held(live.root) == {SYMBOL: "0.1000"}
        live.state("trend", -0.3, "BTC/USDT:USDT")
        daemon.wait_for("order.filled", quantity="0.0500")
        assert held(live.root) == {SYMBOL: "-0.0500"}
        daemon.kill()
    with Daemon(live.root, "--live") as daemon:
        daemon.wait_for("venue.connected")
        live.state("trend", 0.0)
        daemon.wait_for("order.filled", side="buy", quantity="0.0500")
        assert Decimal(held(live.root)[SYMBOL]) == 0
        assert daemon.terminate() == 0
        assert not daemon.named("position.drifted")


@pytest.mark.slow
def test_the_daemon_ends_while_a_call_hangs(live: Files) -> None:
    """A call that never returns keeps neither the daemon from stopping nor the log from saying what hangs."""
    script = live.root / "config" / "my_broker.py"
    script.write_text(script.read_text() + "\n\ndef get_price(symbol):\n    time.sleep(3600)\n")
    live.settings(LIVE + "timeout_seconds = 0.3\n")
    live.state("trend", 0.6)
    with Daemon(live.root, "--live") as daemon:
        daemon.wait_for("venue.connected")
        refused = daemon.wait_for("target.refused")
        assert "get_price" in refused["reason"]
        assert daemon.terminate() == 0
    assert held(live.root) == {}


@pytest.mark.slow
def test_a_plan_with_a_script_is_whole_json(live: Files) -> None:
    """A look at the same workspace prints the plan and nothing else."""
    live.state("trend", 0.6)
    ended = run_command(live.root, "plan", "--json")
    assert ended.returncode == 0, ended.stderr
    (planned,) = json.loads(ended.stdout)["orders"]
    assert (planned["venue"], planned["symbol"], planned["side"]) == ("mine", SYMBOL, "buy")
    assert held(live.root) == {}
