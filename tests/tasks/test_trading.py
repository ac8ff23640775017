"""From states and weights to positions: sizes, netting, order of orders, and what is left alone."""

from __future__ import annotations

import time
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise

import pytest

from tests.harness.daemon import Daemon
from tests.harness.workspace import Files
from tests.tasks.evidence import (
    BNB,
    BTC,
    ETH,
    LTC,
    QUICK,
    flat_market,
    intents,
    journal,
    let_resync,
    market,
    positions,
    trades,
    until,
    until_positions,
)


def test_a_position_is_account_value_times_leverage_times_the_weighted_positions_at_the_decisions_price(
    files: Files,
) -> None:
    files.portfolio({"one": 0.6, "two": 0.3}, leverage=1.7, account_value=12_345)
    files.state("one", 0.75)
    files.state("two", -0.4)
    with Daemon(files.root) as daemon:
        daemon.wait_for("order.filled")
        until(lambda: journal(files.root, "SELECT 1 FROM intents WHERE status = 'done'"))
        ((notional, price, quantity),) = journal(files.root, "SELECT notional, price, quantity FROM decisions")
        assert Decimal(notional) == Decimal(12_345) * Decimal("1.7") * (
            Decimal("0.6") * Decimal("0.75") - Decimal("0.3") * Decimal("0.4")
        )
        assert Decimal(quantity) == Decimal(notional) / Decimal(price)
        step = Decimal("0.001")
        steps = (Decimal(notional) / Decimal(price) / step).to_integral_value(ROUND_HALF_EVEN)
        assert positions(files.root) == {BTC: steps * step}


def test_opposite_strategies_cancel_and_the_book_is_that_of_the_net(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    files.portfolio({"long": 0.5, "short": 0.5})
    files.state("long", 1.0)
    files.state("short", -1.0, symbol="BTC/USDT")
    with Daemon(files.root) as daemon:
        decided = daemon.wait_for("target.decided", symbol=BTC)
        assert Decimal(decided["quantity"]) == 0
        let_resync(files.root)
        assert trades(files.root) == []
        files.state("short", -0.5, symbol="BTC-USDT")
        until_positions(files.root, BTC="0.050")
        files.state("long", 0.5)
        until_positions(files.root)
        assert intents(files.root)[-1][3] is True


@pytest.mark.slow
def test_a_restart_after_kill_decides_and_orders_nothing_and_decisions_are_numbered_on(files: Files) -> None:
    files.settings("[reconciler]\nresync_seconds = 0.2\nno_trade_band = 0.0\n")
    files.portfolio({"trend": 1.0})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until(lambda: positions(files.root))
        let_resync(files.root)
        decided, ordered = journal(files.root, "SELECT * FROM decisions"), intents(files.root)
        daemon.kill()
    with Daemon(files.root) as daemon:
        let_resync(files.root)
        assert journal(files.root, "SELECT * FROM decisions") == decided
        assert intents(files.root) == ordered
        files.state("trend", 0.5)
        assert daemon.wait_for("target.decided")["decision"] == 2
        assert [number for (number,) in journal(files.root, "SELECT number FROM decisions")] == [1, 2]


def test_a_flip_is_a_reduce_only_close_then_an_open(files: Files) -> None:
    files.settings(flat_market(files))
    files.portfolio({"trend": 1.0})
    files.state("trend", 0.5)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        files.state("trend", -0.25)
        until_positions(files.root, BTC="-0.050")
        daemon.terminate()
    assert intents(files.root) == [
        (BTC, "buy", Decimal("0.1"), False, "done"),
        (BTC, "sell", Decimal("0.1"), True, "done"),
        (BTC, "sell", Decimal("0.05"), False, "done"),
    ]


def test_reductions_of_all_markets_go_before_additions(files: Files) -> None:
    files.settings(flat_market(files))
    files.portfolio({"btc": 0.1, "eth": 0.4, "bnb": 0.1, "ltc": 0.4})
    for name in ("btc", "eth", "bnb", "ltc"):
        files.state(name, 1.0, symbol=f"{name.upper()}USDT")
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.020", ETH="1.6", BNB="2", LTC="40")
        before = len(intents(files.root))
        files.portfolio({"btc": 0.4, "eth": 0.1, "bnb": 0.4, "ltc": 0.1})
        until_positions(files.root, BTC="0.080", ETH="0.4", BNB="8", LTC="10")
        daemon.terminate()
    reducing = [reduces for _, _, _, reduces, _ in intents(files.root)[before:]]
    assert reducing == [True, True, False, False]


def test_two_flips_at_once_do_not_wait_for_each_other(files: Files) -> None:
    """Each flip reduces and then adds; neither addition has a reduction left to wait for once both are closed."""
    files.settings(flat_market(files))
    files.portfolio({"majors": 1.0})
    path = files.root / "strategies/majors/state.json"
    files.state("majors", 0.0)
    path.write_text('{"positions": {"BTCUSDT": 0.25, "ETHUSDT": 0.25}}')
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.050", ETH="1")
        path.write_text('{"positions": {"BTCUSDT": -0.25, "ETHUSDT": -0.25}}')
        until_positions(files.root, BTC="-0.050", ETH="-1")
        daemon.terminate()
    moments = [at for (at,) in journal(files.root, "SELECT at FROM intents ORDER BY number")][2:]
    assert len(moments) == 4
    # Additions wait up to 5 s for reductions that do not come.
    assert moments[-1] - moments[0] < 4.0


@pytest.mark.slow
def test_small_adjustments_stay_undone_but_closes_do_not(files: Files) -> None:
    files.settings(
        "[reconciler]\nresync_seconds = 0.2\nno_trade_band = 0.1\nmin_order_notional = 60\n" + flat_market(files)
    )
    files.portfolio({"trend": 1.0, "carry": 1e-9, "tiny": 0.0}, leverage=1.0)
    files.state("trend", 0.5)
    files.state("tiny", 1.0, symbol="ETHUSDT")
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        files.state("trend", 0.545)
        daemon.wait_for("target.decided", decision=2)
        let_resync(files.root)
        assert positions(files.root) == {BTC: Decimal("0.1")}
        until(lambda: "band" in market(files.root, BTC)["reason"])
        files.state("trend", 0.005)
        until_positions(files.root, BTC="0.001")
        files.state("trend", 0.01)
        daemon.wait_for("target.decided", decision=4)
        let_resync(files.root)
        assert positions(files.root) == {BTC: Decimal("0.001")}, "50 of notional is below min_order_notional"
        files.state("trend", 0.0)
        until_positions(files.root)
        # Weight 0: never named by a strategy with a weight, so never managed.
        assert {row["symbol"] for row in daemon.status()["markets"]} == {BTC}


@pytest.mark.slow
def test_a_price_that_moves_trades_nothing(files: Files) -> None:
    """Simulated prices move every second; with no band at all the target stays the quantity that was decided."""
    files.settings("[reconciler]\nresync_seconds = 0.2\nno_trade_band = 0.0\nmin_order_notional = 0\n")
    files.portfolio({"trend": 1.0}, account_value=10_000_000)
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until(lambda: trades(files.root))
        first = until(lambda: market(files.root, BTC)["price"])
        until(lambda: market(files.root, BTC)["price"] != first)
        let_resync(files.root)
        assert len(trades(files.root)) == 1
        assert len(daemon.named("target.decided")) == 1


def test_capital_equity_sizes_by_what_the_account_is_worth(files: Files) -> None:
    files.settings('capital = "equity"\n' + flat_market(files, others="balance = 5000\nfee_bps = 0.0"))
    files.portfolio({"trend": 1.0}, account_value=10_000)
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        assert Decimal(daemon.wait_for("target.decided")["notional"]) == 5000


def test_a_spot_market_is_never_held_short(files: Files) -> None:
    files.settings(QUICK + flat_market(files, others='market_type = "spot"'))
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until(lambda: positions(files.root), lambda held: held == {"BTC/USDT": Decimal("0.1")})
        since = daemon.mark()
        files.state("trend", -1.0)
        clipped = daemon.wait_for("target.clipped", since=since)
        assert clipped["level"] == "warning"
        until(lambda: positions(files.root), lambda held: held == {})
        let_resync(files.root)
        assert positions(files.root) == {}


@pytest.mark.slow
def test_a_state_that_changes_while_the_daemon_starts_is_not_left_to_the_slow_scan(files: Files) -> None:
    """Between the first look and the watch lies a gap; what changes in it is seen once the watch is up."""
    files.settings(flat_market(files))
    files.portfolio({"trend": 1.0})
    files.state("trend", 0.5)
    with Daemon(files.root) as daemon:
        daemon.wait_for("state.accepted")
        files.state("trend", 1.0)
        changed = time.time()
        until_positions(files.root, BTC="0.200")
        # A scan that finds what the watch missed comes every 5 s.
        assert time.time() - changed < 3.0


def test_one_event_of_several_makes_one_decision_a_market(files: Files) -> None:
    """A state that is rewritten with the same position, or a new time only, decides nothing."""
    files.settings(QUICK + flat_market(files))
    files.portfolio({"trend": 1.0})
    files.state("trend", 0.5)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        for moment in range(5):
            files.state("trend", 0.5, updated_at=1_700_000_000 + moment, note="again")
        files.state("other", 1.0, symbol="ETHUSDT")
        daemon.wait_for("state.accepted", strategy="other")
        let_resync(files.root)
        assert len(daemon.named("target.decided")) == 1
        assert len(trades(files.root)) == 1


def test_several_markets_of_one_strategy_follow_its_weight_and_leverage(files: Files) -> None:
    files.settings(flat_market(files))
    files.portfolio({"majors": 0.5}, leverage=2.0)
    files.state("majors", 0.0)
    (files.root / "strategies/majors/state.json").write_text(
        '{"positions": {"BTCUSDT": 0.5, "ETH/USDT:USDT": -0.25, "BNB-USDT": 0}}'
    )
    with Daemon(files.root):
        until_positions(files.root, BTC="0.100", ETH="-1")
        files.portfolio({"majors": 0.5}, leverage=1.0)
        until_positions(files.root, BTC="0.050", ETH="-0.500")
        (files.root / "strategies/majors/state.json").write_text('{"positions": {"LTCUSDT": 1}}')
        until_positions(files.root, LTC="50")


@pytest.mark.slow
def test_what_stays_is_in_step_with_status_and_journal(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    files.portfolio({"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25})
    for name, base in zip("abcd", ("BTC", "ETH", "BNB", "LTC"), strict=True):
        files.state(name, 0.8, symbol=f"{base}USDT")
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.040", ETH="0.8", BNB="4", LTC="20")
        status = until(
            daemon.status,
            lambda found: [row["status"] for row in found["markets"]] == ["in_step"] * 4,
        )
        assert [row["symbol"] for row in status["markets"]] == sorted([BTC, ETH, BNB, LTC])
        for row in status["markets"]:
            assert Decimal(row["target"]) == Decimal(row["position"]) == positions(files.root)[row["symbol"]]
        expected = dict(journal(files.root, "SELECT symbol, expected FROM books"))
        assert {symbol: Decimal(text) for symbol, text in expected.items()} == positions(files.root)
        numbers = [number for (number,) in journal(files.root, "SELECT number FROM decisions ORDER BY number")]
        assert all(later == earlier + 1 for earlier, later in pairwise(numbers))


@pytest.mark.slow
def test_once_reconciles_and_exits_in_step(files: Files) -> None:
    files.settings(flat_market(files))
    files.portfolio({"trend": 1.0})
    files.state("trend", 0.5)
    for position, held in ((0.5, "0.100"), (-0.5, "-0.100"), (-0.5, "-0.100")):
        files.state("trend", position)
        with Daemon(files.root, "--once") as daemon:
            assert daemon.wait() == 0
        until_positions(files.root, BTC=held)
    assert len(trades(files.root)) == 3
