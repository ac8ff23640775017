"""Every limit of [risk] refuses or splits what adds exposure, says so once, and lets reductions through."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest

from tests.harness.daemon import Daemon
from tests.harness.workspace import Files
from tests.tasks.evidence import (
    BTC,
    ETH,
    QUICK,
    flat_market,
    intents,
    let_resync,
    market,
    positions,
    trades,
    until,
    until_positions,
)

pytestmark = pytest.mark.slow


def refusals(daemon: Daemon, limit: str) -> list[dict[str, Any]]:
    return daemon.named("risk.refused", limit=limit)


def test_max_symbol_notional_refuses_additions_beyond_it_and_not_reductions(files: Files) -> None:
    files.settings(QUICK + "[risk]\nmax_symbol_notional = 6000\n" + flat_market(files))
    files.portfolio({"trend": 1.0})
    files.state("trend", 0.5)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        files.state("trend", 0.7)
        refused = daemon.wait_for("risk.refused")
        assert (refused["limit"], refused["value"], refused["quantity"]) == ("max_symbol_notional", "7000.00", "0.040")
        assert refused["symbol"] == BTC
        let_resync(files.root)
        assert positions(files.root) == {BTC: Decimal("0.1")}
        until(lambda: market(files.root, BTC)["status"] == "refused")
        files.state("trend", 0.2)
        until_positions(files.root, BTC="0.040")
        assert len(refusals(daemon, "max_symbol_notional")) == 1


def test_a_refusal_is_one_event_while_prices_move(files: Files) -> None:
    files.settings(QUICK + "[risk]\nmax_symbol_notional = 1000\n")
    files.portfolio({"trend": 1.0})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        daemon.wait_for("risk.refused")
        first = until(lambda: market(files.root, BTC)["price"])
        until(lambda: market(files.root, BTC)["price"] != first)
        let_resync(files.root)
        assert len(refusals(daemon, "max_symbol_notional")) == 1
        assert trades(files.root) == []


def test_max_gross_leverage_counts_all_markets(files: Files) -> None:
    files.settings(QUICK + "[risk]\nmax_gross_leverage = 1.5\n" + flat_market(files))
    files.portfolio({"one": 0.5, "two": 0.5}, leverage=2.0)
    files.state("one", 1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.200")
        files.state("two", -1.0, symbol="ETHUSDT")
        refused = daemon.wait_for("risk.refused", symbol=ETH)
        assert refused["limit"] == "max_gross_leverage"
        assert Decimal(refused["value"]) == 2
        let_resync(files.root)
        assert positions(files.root) == {BTC: Decimal("0.2")}
        files.state("one", 0.25)
        until_positions(files.root, BTC="0.050", ETH="-4")


def test_max_order_notional_splits_and_the_parts_add_up_to_the_target(files: Files) -> None:
    """Even where the last part is smaller than the no-trade band."""
    files.settings("[risk]\nmax_order_notional = 490\n" + flat_market(files))
    files.portfolio({"trend": 1.0})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until(lambda: market(files.root, BTC)["status"] == "in_step")
        daemon.terminate()
    assert all(quantity * 50_000 <= 490 for _, _, quantity in trades(files.root))
    assert positions(files.root) == {BTC: Decimal("0.2")}


def test_a_close_is_split_too_and_stays_reduce_only(files: Files) -> None:
    files.settings(flat_market(files))
    files.portfolio({"trend": 1.0})
    files.state("trend", 0.5)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        daemon.terminate()
    files.settings("[risk]\nmax_order_notional = 2000\n" + flat_market(files))
    files.state("trend", 0.0)
    with Daemon(files.root):
        until_positions(files.root)
    assert [(quantity, only) for _, _, quantity, only, _ in intents(files.root)[1:]] == [
        (Decimal("0.04"), True),
        (Decimal("0.04"), True),
        (Decimal("0.02"), True),
    ]


def test_max_orders_per_minute_holds_additions_back_and_not_reductions(files: Files) -> None:
    files.settings(QUICK + "[risk]\nmax_orders_per_minute = 2\n" + flat_market(files))
    files.portfolio({"btc": 0.25, "eth": 0.25, "bnb": 0.25})
    for name in ("btc", "eth"):
        files.state(name, 1.0, symbol=f"{name.upper()}USDT")
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.050", ETH="1")
        files.state("bnb", 1.0, symbol="BNBUSDT")
        refused = daemon.wait_for("risk.refused", limit="max_orders_per_minute")
        assert refused["value"] == "2"
        files.state("btc", 0.0)
        until_positions(files.root, ETH="1")
        let_resync(files.root)
        assert positions(files.root) == {ETH: Decimal(1)}
        assert [quantity for _, _, quantity in trades(files.root)] == [Decimal("0.05"), Decimal(1), Decimal("0.05")]


def test_a_state_that_is_too_old_neither_opens_nor_adds_but_reduces(files: Files) -> None:
    files.settings(QUICK + "[risk]\nstate_max_age_seconds = 60\n" + flat_market(files))
    files.portfolio({"trend": 1.0})
    old = time.time() - 3600
    files.state("trend", 0.5, updated_at=old)
    with Daemon(files.root) as daemon:
        refused = daemon.wait_for("risk.refused")
        assert (refused["limit"], refused["value"]) == ("state_max_age_seconds", "trend")
        files.state("trend", 0.5, updated_at=time.time())
        until_positions(files.root, BTC="0.100")
        files.state("trend", 0.8, updated_at=old)
        daemon.wait_for("risk.refused", since=daemon.events.index(refused) + 1)
        let_resync(files.root)
        assert positions(files.root) == {BTC: Decimal("0.1")}
        files.state("trend", 0.2, updated_at=old)
        until_positions(files.root, BTC="0.040")


def test_a_fresh_state_is_traded_at_once_and_not_at_the_next_resync(files: Files) -> None:
    """A strategy that republishes the same position says that it still stands by it."""
    files.settings("[reconciler]\nresync_seconds = 3600\n[risk]\nstate_max_age_seconds = 60\n" + flat_market(files))
    files.portfolio({"trend": 1.0})
    files.state("trend", 0.5, updated_at=time.time() - 3600)
    with Daemon(files.root) as daemon:
        daemon.wait_for("risk.refused", limit="state_max_age_seconds")
        files.state("trend", 0.5, updated_at=time.time())
        until_positions(files.root, BTC="0.100")


def test_a_position_beyond_max_position_is_a_rejected_file_and_changes_nothing(files: Files) -> None:
    files.settings(QUICK + "[risk]\nmax_position = 1.5\n" + flat_market(files))
    files.portfolio({"trend": 1.0})
    files.state("trend", 0.5)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        files.state("trend", 2.0)
        rejected = daemon.wait_for("state.rejected")
        assert "max_position" in rejected["mend"]
        let_resync(files.root)
        assert positions(files.root) == {BTC: Decimal("0.1")}


def test_a_drawdown_halts_and_a_restart_stays_halted(files: Files) -> None:
    """Fees of 20 % of the notional make the drawdown here."""
    files.settings(QUICK + "[risk]\nmax_drawdown = 0.1\n" + flat_market(files, others="fee_bps = 2000.0"))
    files.portfolio({"trend": 1.0})
    with Daemon(files.root) as daemon:
        let_resync(files.root, 1)
        files.state("trend", 0.9)
        tripped = daemon.wait_for("halt.tripped")
        assert "max_drawdown" in tripped["reason"]
        assert (files.root / "var/HALT").exists()
        daemon.terminate()
    with Daemon(files.root) as daemon:
        daemon.wait_for("halt.tripped")
        files.state("trend", 1.2)
        assert daemon.wait_for("risk.refused")["limit"] == "halt"


def test_a_spot_short_that_is_clipped_does_not_count_as_gross_exposure(files: Files) -> None:
    files.settings(QUICK + "[risk]\nmax_gross_leverage = 1.0\n" + flat_market(files, others='market_type = "spot"'))
    files.portfolio({"short": 0.5, "long": 0.5}, leverage=1.5)
    files.state("short", -1.0)
    with Daemon(files.root) as daemon:
        daemon.wait_for("target.clipped")
        files.state("long", 1.0, symbol="ETHUSDT")
        until(lambda: positions(files.root), lambda held: held == {"ETH/USDT": Decimal(3)})
