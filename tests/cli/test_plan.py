"""`portfoliod plan` says what the daemon would do, and does nothing."""

from __future__ import annotations

import json
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files
from tests.tasks.evidence import BTC, ETH, QUICK, flat_market, hold, journal, trades, until, until_positions

ORDER_KEYS = {"venue", "symbol", "side", "quantity", "notional", "reduce_only", "reason"}
SKIPPED_KEYS = {"venue", "symbol", "difference", "reason"}
ADDITIONS = {"notes"}
"""Keys that SPEC does not name."""

BASES = ("btc", "eth", "bnb", "ltc", "sol", "ada")


def planned(root: Path) -> dict[str, Any]:
    ended = run_command(root, "plan", "--json")
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    assert result.keys() - ADDITIONS == {"version", "orders", "skipped", "turnover"}
    assert all(order.keys() == ORDER_KEYS for order in result["orders"])
    assert all(skip.keys() == SKIPPED_KEYS for skip in result["skipped"])
    return result


def orders(result: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    return [
        (order["symbol"].partition("/")[0], order["side"], order["quantity"], order["reduce_only"])
        for order in result["orders"]
    ]


def reason(result: dict[str, Any], base: str) -> str:
    (text,) = (skip["reason"] for skip in result["skipped"] if skip["symbol"].startswith(f"{base}/"))
    return str(text)


def run_until_done(root: Path) -> int:
    with Daemon(root, "--once") as daemon:
        return daemon.wait()


def everything(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def want(files: Files, **positions: float) -> None:
    for base, position in positions.items():
        files.state(base, position, symbol=f"{base.upper()}USDT")


@pytest.mark.slow
def test_a_fresh_workspace_is_planned_and_nothing_is_created_in_it(files: Files) -> None:
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    before = everything(files.root)
    result = planned(files.root)
    assert [(order["symbol"], order["side"], order["reason"]) for order in result["orders"]] == [(BTC, "buy", "open")]
    assert result["turnover"] == pytest.approx(float(result["orders"][0]["notional"]) / 10_000, abs=2e-6)
    assert run_command(files.root, "plan", "--exit-code").returncode == 4
    assert everything(files.root) == before


def test_an_empty_workspace_has_nothing_to_trade(tmp_path: Path) -> None:
    ended = run_command(tmp_path, "plan", "--exit-code")
    assert ended.returncode == 0
    assert "optimize" in ended.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_plan_is_what_the_daemon_then_trades(files: Files) -> None:
    """Open, add, reduce, flip; inside the band and below the minimum nothing."""
    files.settings(flat_market(files))
    files.portfolio(dict.fromkeys(BASES, 0.125), account_value=80_000)
    want(files, btc=0, eth=0.5, bnb=1.0, ltc=0.5, sol=1.0, ada=0)
    assert run_until_done(files.root) == 0
    before = len(trades(files.root))
    want(files, btc=1.0, eth=1.0, bnb=0.5, ltc=-0.25, sol=1.01, ada=0.0008)
    result = planned(files.root)
    assert orders(result) == [
        ("BNB", "sell", "10", True),
        ("LTC", "sell", "50", True),
        ("BTC", "buy", "0.2", False),
        ("ETH", "buy", "2", False),
        ("LTC", "sell", "25", False),
    ]
    assert "band" in reason(result, "SOL")
    assert "min_order_notional" in reason(result, "ADA")
    assert result["turnover"] == (5_000 + 5_000 + 10_000 + 5_000 + 2_500) / 80_000
    table = run_command(files.root, "plan")
    assert table.returncode == 0
    assert all(text in table.stdout for text in ("BTC/USDT:USDT", "flip", "band", "min_order_notional"))
    assert run_until_done(files.root) == 0
    done = [(symbol.partition("/")[0], side, quantity) for symbol, side, quantity in trades(files.root)[before:]]
    assert Counter(done) == Counter((base, side, Decimal(quantity)) for base, side, quantity, _ in orders(result))
    again = planned(files.root)
    assert (again["orders"], again["turnover"]) == ([], 0)
    assert run_command(files.root, "plan", "--exit-code").returncode == 0


@pytest.mark.slow
def test_while_halted_only_reductions_are_planned(files: Files) -> None:
    files.settings(flat_market(files))
    files.portfolio({"btc": 0.5, "eth": 0.5, "bnb": 0.0}, account_value=20_000)
    want(files, btc=1.0, eth=0.5)
    assert run_until_done(files.root) == 0
    assert run_command(files.root, "halt", "lunch").returncode == 0
    want(files, btc=-0.5, eth=1.0)
    result = planned(files.root)
    assert orders(result) == [("BTC", "sell", "0.2", True)]
    assert "lunch" in reason(result, "ETH")
    assert "lunch" in reason(result, "BTC"), "the second leg of the flip"
    assert run_command(files.root, "resume").returncode == 0
    assert len(planned(files.root)["orders"]) == 3


@pytest.mark.slow
def test_a_locked_market_and_a_drifted_one_are_skipped_with_the_reason(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    files.portfolio({"btc": 0.5, "eth": 0.5})
    want(files, btc=1.0, eth=1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100", ETH="2")
        hold(files.root, BTC, "0.5")
        daemon.wait_for("symbol.locked")
        daemon.terminate()
    hold(files.root, ETH, "3")
    result = planned(files.root)
    assert result["orders"] == []
    assert "locked" in reason(result, "BTC")
    assert "drift" in reason(result, "ETH")


def test_an_unknown_symbol_and_an_unknown_venue_are_named_and_the_others_planned(files: Files) -> None:
    files.settings(flat_market(files))
    files.portfolio({"typo": 0.3, "lost": 0.3, "eth": 0.4}, exchanges={"lost": "nowhere"})
    files.state("typo", 1.0, symbol="BTCUSTD")
    want(files, lost=1.0, eth=1.0)
    ended = run_command(files.root, "plan", "--json")
    assert [order["symbol"] for order in json.loads(ended.stdout)["orders"]] == [ETH]
    for name in ("typo", "BTCUSTD", "lost", "nowhere"):
        assert name in ended.stdout


def test_a_state_that_is_too_old_is_skipped_as_the_daemon_would(files: Files) -> None:
    files.settings("[risk]\nstate_max_age_seconds = 60\n" + flat_market(files))
    files.portfolio({"btc": 1.0})
    files.state("btc", 1.0, updated_at=time.time() - 3600)
    result = planned(files.root)
    assert result["orders"] == []
    assert "old" in reason(result, "BTC")


@pytest.mark.slow
def test_a_limit_that_refuses_is_the_reason(files: Files) -> None:
    files.settings("[risk]\nmax_symbol_notional = 100\n" + flat_market(files))
    files.portfolio({"btc": 1.0})
    want(files, btc=1.0)
    result = planned(files.root)
    assert result["orders"] == []
    assert "100" in reason(result, "BTC")
    assert run_until_done(files.root) == 5


@pytest.mark.slow
def test_all_parts_of_a_split_order_are_in_the_plan(files: Files) -> None:
    files.settings("[risk]\nmax_order_notional = 4000\n" + flat_market(files))
    files.portfolio({"btc": 1.0})
    want(files, btc=1.0)
    result = planned(files.root)
    assert run_until_done(files.root) == 0
    traded = sum(quantity for _, _, quantity in trades(files.root))
    assert sum(Decimal(order["quantity"]) for order in result["orders"]) == traded
    assert result["turnover"] == 1.0


@pytest.mark.slow
def test_flattening_is_planned_as_closes(files: Files) -> None:
    files.settings(flat_market(files))
    files.portfolio({"btc": 0.5, "eth": 0.5})
    want(files, btc=1.0, eth=-1.0)
    assert run_until_done(files.root) == 0
    (files.root / "var/HALT").write_text("by hand\nflatten\n")
    assert orders(planned(files.root)) == [("BTC", "sell", "0.1", True), ("ETH", "buy", "2", True)]


@pytest.mark.slow
def test_a_venue_that_was_removed_does_not_keep_the_others_from_being_planned(files: Files) -> None:
    files.settings(flat_market(files) + flat_market(files, "second"))
    files.portfolio({"btc": 0.5, "eth": 0.5}, exchanges={"eth": "second"})
    want(files, btc=0.5, eth=0.5)
    assert run_until_done(files.root) == 0
    assert len(journal(files.root, "SELECT 1 FROM targets")) == 2
    files.settings(flat_market(files))
    want(files, btc=1.0)
    ended = run_command(files.root, "plan", "--json")
    assert "Traceback" not in ended.stderr
    assert [order["symbol"] for order in json.loads(ended.stdout)["orders"]] == [BTC]


@pytest.mark.slow
def test_a_plan_beside_a_running_daemon_disturbs_nothing(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    files.portfolio({"btc": 0.5})
    want(files, btc=1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        until(lambda: daemon.status()["markets"] and daemon.status()["markets"][0]["status"] == "in_step")
        assert planned(files.root)["orders"] == []
        want(files, btc=0.5)
        until_positions(files.root, BTC="0.050")
        assert daemon.terminate() == 0
