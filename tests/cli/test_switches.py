"""halt, resume, flatten, unlock and retire, with the daemon up and down."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

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
    positions,
    trades,
    until,
    until_positions,
)

pytestmark = pytest.mark.slow


def trading(files: Files, **position: float) -> None:
    """Fill a workspace in which btc and eth each have half of 10 000 and want these positions."""
    files.settings(QUICK + flat_market(files))
    files.portfolio({"btc": 0.5, "eth": 0.5})
    for name in ("btc", "eth"):
        files.state(name, position.get(name, 1.0), symbol=f"{name.upper()}USDT")


def run(root: Path, *arguments: str) -> str:
    ended = run_command(root, *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_halt_refuses_additions_lets_reductions_through_and_survives_a_restart(files: Files) -> None:
    trading(files)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100", ETH="2")
        assert "too hot" in run(files.root, "halt", "too hot")
        assert daemon.wait_for("halt.tripped")["reason"] == "too hot"
        assert "too hot" in run(files.root, "halt", "another reason"), "the first reason stays"
        files.state("btc", 0.5)
        files.state("eth", 1.5, symbol="ETHUSDT")
        refused = daemon.wait_for("risk.refused")
        assert (refused["limit"], refused["value"], refused["symbol"]) == ("halt", "too hot", ETH)
        until_positions(files.root, BTC="0.050", ETH="2")
        daemon.kill()
    with Daemon(files.root) as daemon:
        daemon.wait_for("halt.tripped", reason="too hot")
        daemon.wait_for("risk.refused", symbol=ETH)
        let_resync(files.root)
        assert len(daemon.named("risk.refused")) == 1
        assert positions(files.root) == {BTC: Decimal("0.05"), ETH: Decimal(2)}
        assert until(daemon.status)["halt_reason"] == "too hot"
        assert "resumed" in run(files.root, "resume")
        daemon.wait_for("halt.cleared")
        until_positions(files.root, BTC="0.050", ETH="3")
        assert "not halted" in run(files.root, "resume")


def test_a_flip_stops_halfway_while_halted(files: Files) -> None:
    trading(files, eth=0.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        run(files.root, "halt")
        files.state("btc", -1.0)
        until_positions(files.root)
        daemon.wait_for("risk.refused", limit="halt")
        run(files.root, "resume")
        until_positions(files.root, BTC="-0.100")


def test_the_file_alone_halts_and_its_removal_clears(files: Files) -> None:
    trading(files, eth=0.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        (files.root / "var/HALT").touch()
        daemon.wait_for("halt.tripped")
        files.state("eth", 1.0, symbol="ETHUSDT")
        daemon.wait_for("risk.refused", limit="halt", symbol=ETH)
        (files.root / "var/HALT").unlink()
        daemon.wait_for("halt.cleared")
        until_positions(files.root, BTC="0.100", ETH="2")


def test_halt_and_resume_with_the_daemon_down_are_for_the_next_one(files: Files) -> None:
    trading(files)
    run(files.root, "halt", "maintenance")
    assert (files.root / "var/HALT").read_text().startswith("maintenance")
    with Daemon(files.root, "--once") as daemon:
        assert daemon.wait() == 5
    assert positions(files.root) == {}
    run(files.root, "resume")
    assert not (files.root / "var/HALT").exists()
    with Daemon(files.root, "--once") as daemon:
        assert daemon.wait() == 0
    until_positions(files.root, BTC="0.100", ETH="2")


@pytest.mark.parametrize("reason", ["flatten", "flatten  ", "we\nflatten\nnow"])
def test_the_reason_of_a_halt_never_closes_a_position(files: Files, reason: str) -> None:
    """var/HALT holds the reason beside the mark of `flatten`: no reason may be taken for that mark."""
    trading(files)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100", ETH="2")
        run(files.root, "halt", reason)
        daemon.wait_for("halt.tripped")
        let_resync(files.root)
        assert positions(files.root) == {BTC: Decimal("0.1"), ETH: Decimal(2)}


def test_flatten_closes_what_is_managed_and_leaves_the_rest_alone(files: Files) -> None:
    trading(files, eth=-1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100", ETH="-2")
        hold(files.root, "BNB/USDT:USDT", "7")
        said = run(files.root, "flatten", "--yes")
        assert "closed" in said
        assert "resume" in said
        until_positions(files.root, BNB="7")
        assert [(only, status) for *_, only, status in intents(files.root)[-2:]] == [(True, "done")] * 2
        files.state("btc", 0.9)
        daemon.wait_for("target.decided", decision=3)
        let_resync(files.root)
        until_positions(files.root, BNB="7")
        assert run_command(files.root, "flatten", "--yes").returncode == 0, "again, with nothing left"
        daemon.kill()
    with Daemon(files.root):
        let_resync(files.root)
        until_positions(files.root, BNB="7")
        run(files.root, "resume")
        until_positions(files.root, BTC="0.090", ETH="-2", BNB="7")


def test_flatten_with_the_daemon_down(files: Files) -> None:
    trading(files, eth=-1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100", ETH="-2")
        daemon.terminate()
    hold(files.root, "BNB/USDT:USDT", "7")
    assert "closed" in run(files.root, "flatten", "--yes")
    until_positions(files.root, BNB="7")
    assert (files.root / "var/HALT").exists()


def test_flatten_says_closed_only_once_everything_is(files: Files) -> None:
    """Also where the daemon takes its time: here somebody holds the journal's write lock for a while."""
    trading(files)
    with Daemon(files.root) as daemon, contextlib.ExitStack() as held:
        until_positions(files.root, BTC="0.100", ETH="2")
        until(lambda: {row["status"] for row in daemon.status()["markets"]} == {"in_step"})
        blocker = held.enter_context(contextlib.closing(sqlite3.connect(files.root / "var/journal.db", timeout=5)))
        blocker.execute("BEGIN IMMEDIATE")
        flatten = subprocess.Popen(
            [sys.executable, "-m", "portfoliod", "--root", str(files.root), "flatten", "--yes"],
            stdout=subprocess.PIPE,
            text=True,
        )
        released = time.monotonic() + 3
        until(lambda: flatten.poll() is not None or time.monotonic() > released)
        blocker.rollback()
        said, _ = flatten.communicate(timeout=30)
        assert (flatten.returncode, positions(files.root)) == (0, {}), said


def test_flatten_asks_and_without_an_answer_does_nothing(files: Files) -> None:
    trading(files)
    ended = run_command(files.root, "flatten")
    assert ended.returncode == 130
    assert not (files.root / "var").exists()


def test_flatten_in_a_workspace_that_never_traded_is_done_at_once(files: Files) -> None:
    trading(files)
    assert run_command(files.root, "flatten", "--yes").returncode == 0
    assert positions(files.root) == {}


def test_flatten_with_a_locked_market_closes_the_others_and_says_which_is_left(files: Files) -> None:
    trading(files)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100", ETH="2")
        hold(files.root, BTC, "0.3")
        daemon.wait_for("symbol.locked")
        daemon.terminate()
    ended = run_command(files.root, "flatten", "--yes")
    assert ended.returncode != 0
    assert BTC in ended.stdout
    assert ETH not in ended.stdout
    until_positions(files.root, BTC="0.3")


def test_flatten_with_the_daemon_down_closes_what_it_can_reach(files: Files) -> None:
    """A venue that is away keeps nothing on the others open, and is 75 in the end."""
    trading(files)
    files.settings(QUICK + flat_market(files) + flat_market(files, "second"))
    files.portfolio({"btc": 0.5, "eth": 0.5}, exchanges={"btc": "second"})
    with Daemon(files.root) as daemon:
        until_positions(files.root, ETH="2")
        until_positions(files.root, "second", BTC="0.100")
        daemon.terminate()
    (files.root / "var/paper-second.db").write_bytes(b"this is no database" * 100)
    ended = run_command(files.root, "flatten", "--yes")
    assert ended.returncode == 75, ended.stderr
    assert "second" in ended.stderr
    assert positions(files.root) == {}


def test_unlock_of_what_is_not_locked_fails_and_says_what_is(files: Files) -> None:
    ended = run_command(files.root, "unlock", "BTCUSDT")
    assert ended.returncode == 1
    assert "nothing" in ended.stderr
    assert list(files.root.iterdir()) == []


def test_retire_closes_what_a_strategy_held(files: Files) -> None:
    trading(files)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100", ETH="2")
        assert "retired" in run(files.root, "retire", "btc")
        daemon.wait_for("strategy.retired", strategy="btc")
        until_positions(files.root, ETH="2")
        files.state("btc", 0.8)
        let_resync(files.root)
        until_positions(files.root, ETH="2")
        daemon.terminate()
    with Daemon(files.root) as daemon:
        let_resync(files.root)
        until_positions(files.root, ETH="2")
        assert "btc" not in until(daemon.status)["strategies"]


def test_retire_with_the_daemon_down_closes_at_the_next_start(files: Files) -> None:
    trading(files)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100", ETH="2")
        daemon.terminate()
    run(files.root, "retire", "eth")
    with Daemon(files.root, "--once") as daemon:
        assert daemon.wait() == 0
    until_positions(files.root, BTC="0.100")
    assert len(trades(files.root)) == 3


def test_retire_of_a_strategy_that_no_daemon_ever_saw(files: Files) -> None:
    """Its folder is there, so there is such a strategy."""
    trading(files)
    run(files.root, "retire", "btc")
    with Daemon(files.root, "--once") as daemon:
        assert daemon.wait() == 0
    until_positions(files.root, ETH="2")


@pytest.mark.parametrize("name", ["nobody", "../config", ".", "", "a b"])
def test_retire_of_nobody_fails(files: Files, name: str) -> None:
    trading(files)
    ended = run_command(files.root, "retire", name)
    assert ended.returncode in {1, 2}
    assert "Traceback" not in ended.stderr


def test_the_switches_leave_a_trace_in_the_journal_that_a_reader_can_follow(files: Files) -> None:
    trading(files, eth=0.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        hold(files.root, BTC, "0.2")
        daemon.wait_for("symbol.locked")
        ((symbol, expected, actual),) = journal(files.root, "SELECT symbol, expected, actual FROM locks")
        assert (symbol, Decimal(expected), Decimal(actual)) == (BTC, Decimal("0.1"), Decimal("0.2"))
        status = until(
            lambda: json.loads((files.root / "var/status.json").read_bytes()),
            lambda found: any(row["status"] == "locked" for row in found["markets"]),
        )
        assert "0.2" in next(row["reason"] for row in status["markets"] if row["symbol"] == BTC)
        run(files.root, "unlock", "btc-usdt")
        until_positions(files.root, BTC="0.100")
        assert journal(files.root, "SELECT * FROM locks") == []
