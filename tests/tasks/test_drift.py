"""Positions that our fills do not explain, positions that were there before, and positions that are not ours."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files
from tests.tasks.evidence import (
    BTC,
    ETH,
    QUICK,
    flat_market,
    hold,
    intents,
    journal,
    let_resync,
    market,
    positions,
    trades,
    until,
    until_positions,
)
from tests.tasks.strange_venues import install

pytestmark = pytest.mark.slow


def test_a_position_that_drifts_is_locked_until_it_is_back(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    files.portfolio({"trend": 0.5, "other": 0.5})
    files.state("trend", 1.0)
    files.state("other", 0.5, symbol="ETHUSDT")
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100", ETH="1")
        hold(files.root, BTC, "0.2")
        drifted = daemon.wait_for("position.drifted", symbol=BTC)
        assert (Decimal(drifted["expected"]), Decimal(drifted["actual"])) == (Decimal("0.1"), Decimal("0.2"))
        assert "unlock" in daemon.wait_for("symbol.locked", symbol=BTC)["mend"]
        files.state("trend", -1.0)
        files.state("other", 1.0, symbol="ETHUSDT")
        until_positions(files.root, BTC="0.2", ETH="2")
        let_resync(files.root)
        assert positions(files.root)[BTC] == Decimal("0.2"), "a locked market is not traded"
        until(lambda: market(files.root, BTC)["status"] == "locked")
        assert len(daemon.named("position.drifted")) == 1
        daemon.kill()
    with Daemon(files.root) as daemon:
        let_resync(files.root)
        assert positions(files.root)[BTC] == Decimal("0.2"), "the lock survives a restart"
        assert daemon.named("symbol.locked") == []
        hold(files.root, BTC, "0.1")
        daemon.wait_for("symbol.unlocked", symbol=BTC)
        until_positions(files.root, BTC="-0.100", ETH="2")


def test_unlock_takes_the_position_over_as_it_is_and_trades_on(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        hold(files.root, BTC, "0.3")
        daemon.wait_for("symbol.locked")
        unlocked = run_command(files.root, "unlock", "BTCUSDT")
        assert (unlocked.returncode, BTC in unlocked.stdout) == (0, True)
        until_positions(files.root, BTC="0.100")
        assert intents(files.root)[-1] == (BTC, "sell", Decimal("0.2"), True, "done")
        assert Decimal(daemon.wait_for("position.taken_over", position="0.3")["position"]) == Decimal("0.3")
        assert run_command(files.root, "unlock", "BTCUSDT").returncode == 1


def test_unlock_in_the_middle_of_a_look_is_no_accident(files: Files, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An exchange takes its time to tell positions, so most of the time a look at the locked market is under way."""
    installed = {"PYTHONPATH": install(tmp_path_factory.mktemp("site"))}
    flat_market(files)
    files.settings('mode = "live"\ndefault_venue = "exchange"\n' + QUICK + '[venues.exchange]\ndriver = "slow"\n')
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root, "--live", environment=installed) as daemon:
        until_positions(files.root, "exchange", BTC="0.100")
        for quantity in ("0.2", "0.3", "0.4"):
            since = daemon.mark()
            hold(files.root, BTC, quantity, "exchange")
            daemon.wait_for("symbol.locked", since=since)
            assert run_command(files.root, "unlock", "BTCUSDT").returncode == 0
            until_positions(files.root, "exchange", BTC="0.100")
        assert daemon.terminate() == 0


def test_unlock_works_with_the_daemon_down(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        hold(files.root, BTC, "-0.05")
        daemon.wait_for("symbol.locked")
        daemon.terminate()
    assert run_command(files.root, "unlock", "BTC/USDT:USDT").returncode == 0
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        assert daemon.named("position.drifted") == []


def test_a_position_that_moved_while_the_daemon_was_down_is_drift(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root):
        until_positions(files.root, BTC="0.100")
        until(lambda: journal(files.root, "SELECT 1 FROM intents WHERE status = 'done'"))
    hold(files.root, BTC, "0")
    with Daemon(files.root) as daemon:
        daemon.wait_for("symbol.locked", symbol=BTC)
        let_resync(files.root)
        assert positions(files.root) == {}
        assert len(trades(files.root)) == 1


def test_adopt_trades_drift_away_with_an_event(files: Files) -> None:
    files.settings('[reconciler]\nresync_seconds = 0.2\non_drift = "adopt"\n' + flat_market(files))
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        hold(files.root, BTC, "0.25")
        assert "adopted" in daemon.wait_for("position.drifted")["then"]
        until_positions(files.root, BTC="0.100")
        let_resync(files.root)
        assert len(daemon.named("position.drifted")) == 1
        assert daemon.named("symbol.locked") == []


def test_the_first_look_takes_a_position_over_as_it_is_and_says_so(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    hold(files.root, BTC, "0.06")
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        assert Decimal(daemon.wait_for("position.taken_over", symbol=BTC)["position"]) == Decimal("0.06")
        until_positions(files.root, BTC="0.100")
        assert trades(files.root) == [(BTC, "buy", Decimal("0.04"))]
        assert daemon.named("position.drifted") == []


def test_the_ledger_leaves_what_was_there_to_its_owner(files: Files) -> None:
    files.settings('[reconciler]\nresync_seconds = 0.2\nposition_source = "ledger"\n' + flat_market(files))
    hold(files.root, BTC, "0.5")
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.600")
        hold(files.root, BTC, "0.9")
        let_resync(files.root)
        files.state("trend", 0.0)
        until_positions(files.root, BTC="0.800")
        let_resync(files.root)
        assert daemon.named("position.drifted") == []
        assert len(trades(files.root)) == 2


def test_the_ledger_goes_short_beside_the_owners_long(files: Files) -> None:
    """Reduce-only closes on the venue would shrink the owner's position; the sum is what the account shows."""
    files.settings('[reconciler]\nresync_seconds = 0.2\nposition_source = "ledger"\n' + flat_market(files))
    hold(files.root, BTC, "0.5")
    files.portfolio({"trend": 0.5})
    files.state("trend", -1.0)
    with Daemon(files.root):
        until_positions(files.root, BTC="0.400")
        files.state("trend", 0.0)
        until_positions(files.root, BTC="0.500")


def test_markets_that_no_strategy_named_are_never_touched(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    hold(files.root, ETH, "3")
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100", ETH="3")
        hold(files.root, ETH, "4")
        let_resync(files.root)
        assert run_command(files.root, "flatten", "--yes").returncode == 0
        until_positions(files.root, ETH="4")
        assert all(symbol == BTC for symbol, _, _ in trades(files.root))
        assert {row["symbol"] for row in daemon.status()["markets"]} == {BTC}
