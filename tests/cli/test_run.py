"""`portfoliod run`: how it starts, stops and fails, by its exit code."""

from __future__ import annotations

import signal
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
    let_resync,
    market,
    positions,
    until,
    until_positions,
)
from tests.tasks.strange_venues import install

pytestmark = pytest.mark.started_anew


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a daemon that finds the drivers of another package."""
    return {"PYTHONPATH": install(tmp_path_factory.mktemp("site"))}


@pytest.mark.slow
def test_fault_42_a_second_daemon_exits_with_1_and_names_the_first(files: Files) -> None:
    files.portfolio({"trend": 0.5})
    with Daemon(files.root) as daemon:
        daemon.wait_for("venue.connected")
        for arguments in ((), ("--once",)):
            with Daemon(files.root, *arguments) as second:
                assert second.wait() == 1
                assert any(str(daemon.process.pid) in line for line in second.other_output)
        files.state("trend", 1.0)
        daemon.wait_for("order.filled")
        assert daemon.terminate() == 0
    with Daemon(files.root) as daemon:
        daemon.wait_for("daemon.started")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("[risk]\nmax_order_notinal = 5\n", ("risk.max_order_notinal", "max_order_notional", "portfoliod.toml")),
        ('[reconciler]\nno_trade_band = "wide"\n', ("reconciler.no_trade_band", "wide")),
        ("[optimzer]\n", ("optimzer", "optimizer")),
        ("[venues.paper]\nbalanc = 5\n", ("venues.paper.balanc", "balance")),
        ('[venues.x]\ndriver = "papr"\n', ("venues.x.driver", "paper")),
        ('default_venue = "nowhere"\n', ("default_venue", "nowhere")),
        ('[venues.paper]\nprices = "candles:missing"\n', ("venues.paper.prices", "missing")),
        ("[risk\n", ("portfoliod.toml",)),
        ("[risk]\nmax_drawdown = nan\n", ("risk.max_drawdown", "nan")),
    ],
)
def test_bad_settings_exit_with_78_and_name_the_key_and_the_nearest(
    files: Files, settings: str, named: tuple[str, ...]
) -> None:
    files.settings(settings)
    ended = run_command(files.root, "run")
    assert ended.returncode == 78, ended.stderr
    assert all(text in ended.stderr for text in named), ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0)])
def test_a_signal_stops_it_in_order(files: Files, number: signal.Signals, code: int) -> None:
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        daemon.wait_for("order.filled")
        daemon.process.send_signal(number)
        assert daemon.wait() == code
        assert daemon.events[-1]["event"] == "daemon.stopped"
    assert not list((files.root / "var").glob("*.db-wal")), "the databases are closed"


@pytest.mark.slow
def test_sighup_reads_the_settings_again_and_keeps_those_in_force_where_they_do_not_fit(files: Files) -> None:
    files.settings(QUICK)
    with Daemon(files.root) as daemon:
        daemon.wait_for("venue.connected")
        files.settings("[risk]\nmax_postion = 5\n")
        daemon.process.send_signal(signal.SIGHUP)
        assert "max_postion" in daemon.wait_for("settings.rejected")["found"]
        files.settings(QUICK)
        daemon.process.send_signal(signal.SIGHUP)
        assert daemon.wait_for("settings.accepted")["changed"] is False
        assert daemon.terminate() == 0


@pytest.mark.slow
def test_sighup_puts_new_limits_in_force(files: Files) -> None:
    """The settings are re-read, so a limit that was tightened holds from then on."""
    files.settings(QUICK + flat_market(files))
    files.portfolio({"trend": 1.0})
    files.state("trend", 0.5)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        files.settings(QUICK + "[risk]\nmax_symbol_notional = 6000\n" + flat_market(files))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("settings.accepted")
        files.state("trend", 1.0)
        daemon.wait_for("risk.refused", limit="max_symbol_notional")
        assert positions(files.root) == {BTC: Decimal("0.1")}


@pytest.mark.slow
def test_a_refusal_by_a_limit_is_5_from_once(files: Files) -> None:
    files.settings("[risk]\nmax_gross_leverage = 0.5\n")
    files.portfolio({"trend": 1.0})
    files.state("trend", 1.0)
    with Daemon(files.root, "--once") as daemon:
        assert daemon.wait() == 5
        assert daemon.named("risk.refused", limit="max_gross_leverage")


@pytest.mark.slow
def test_a_venue_that_cannot_be_reached_is_75_from_the_commands(files: Files) -> None:
    files.portfolio({"trend": 1.0})
    (files.root / "var").mkdir()
    (files.root / "var/paper-paper.db").write_bytes(b"this is no database" * 100)
    for command in (("run", "--once"), ("plan",)):
        ended = run_command(files.root, *command)
        assert ended.returncode == 75, (command, ended.stderr)
        assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_keys_that_are_refused_are_77_from_once_and_halt_the_daemon(files: Files, installed: dict[str, str]) -> None:
    files.settings('default_venue = "exchange"\n[venues.exchange]\ndriver = "refusing"\n')
    files.portfolio({"trend": 1.0})
    files.state("trend", 1.0)
    with Daemon(files.root, "--once", environment=installed) as daemon:
        assert daemon.wait() == 77
    with Daemon(files.root, environment=installed) as daemon:
        assert "exchange" in daemon.wait_for("halt.tripped")["reason"]
        assert (files.root / "var/HALT").exists()
        assert daemon.terminate() == 0


@pytest.mark.slow
def test_an_unreachable_venue_is_said_once_and_the_others_trade(files: Files, installed: dict[str, str]) -> None:
    files.settings(QUICK + flat_market(files) + '[venues.exchange]\ndriver = "unreachable"\n')
    files.portfolio({"one": 0.5, "two": 0.5}, exchanges={"two": "exchange"})
    files.state("one", 1.0)
    files.state("two", 1.0)
    with Daemon(files.root, environment=installed) as daemon:
        until_positions(files.root, BTC="0.100")
        files.state("one", 0.5)
        until_positions(files.root, BTC="0.050")
        assert len(daemon.named("venue.unreachable")) == 1
        assert not (files.root / "var/HALT").exists()
        until(lambda: daemon.status()["venues"]["exchange"]["problem"])
        assert daemon.terminate() == 0


@pytest.mark.slow
def test_once_waits_for_reductions_and_leaves_in_step(files: Files) -> None:
    files.settings(flat_market(files))
    files.portfolio({"btc": 0.5, "eth": 0.5})
    files.state("btc", 1.0)
    files.state("eth", -1.0, symbol="ETHUSDT")
    with Daemon(files.root, "--once") as daemon:
        assert daemon.wait() == 0
    assert positions(files.root) == {BTC: Decimal("0.1"), ETH: Decimal(-2)}


@pytest.mark.slow
def test_live_needs_both_the_settings_and_the_switch(files: Files) -> None:
    """On paper neither matters: nothing but the simulator is traded."""
    files.settings('mode = "live"\n')
    with Daemon(files.root) as daemon:
        daemon.wait_for("daemon.started")
        assert daemon.terminate() == 0
    assert run_command(files.root, "run", "--once", "--live").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["", 'mode = "live"\n'])
def test_an_exchange_is_only_looked_at_unless_the_settings_and_the_switch_say_live(
    files: Files, installed: dict[str, str], settings: str
) -> None:
    """It plans and says so, for that venue alone; the paper account beside it is traded."""
    exchange = '[venues.exchange]\ndriver = "paperlike"\n'
    files.settings(settings + QUICK + flat_market(files) + exchange)
    files.portfolio({"one": 0.5, "two": 0.5}, exchanges={"two": "exchange"})
    files.state("one", 1.0)
    files.state("two", 1.0)
    hold(files.root, BTC, "0.02", "exchange")
    with Daemon(files.root, environment=installed) as daemon:
        said = daemon.wait_for("venue.read_only")
        assert (said["venue"], "--live" in said["mend"]) == ("exchange", True)
        refused = daemon.wait_for("risk.refused", limit="mode", venue="exchange")
        assert "would buy 0.08" in refused["reason"]
        until_positions(files.root, BTC="0.100")
        until(lambda: market(files.root, BTC, "exchange")["status"] == "refused")
        assert "read only" in market(files.root, BTC, "exchange")["reason"]
        hold(files.root, BTC, "0.03", "exchange")
        daemon.wait_for("risk.refused", quantity="0.070")
        let_resync(files.root)
        assert len(daemon.named("venue.read_only")) == 1
        assert len(daemon.named("risk.refused")) == 2
        assert daemon.named("position.taken_over", venue="exchange") == []
        assert daemon.named("position.drifted") == []
        assert daemon.terminate() == 0
    until_positions(files.root, "exchange", BTC="0.03")
    with Daemon(files.root, "--once", environment=installed) as daemon:
        assert daemon.wait() == 5
    if settings:
        with Daemon(files.root, "--once", "--live", environment=installed) as daemon:
            assert daemon.wait() == 0
        until_positions(files.root, "exchange", BTC="0.100")


@pytest.mark.slow
def test_once_trades_where_it_can_before_it_exits_with_75(files: Files, installed: dict[str, str]) -> None:
    """A venue that is away keeps nothing on the others from being done."""
    files.settings(flat_market(files) + '[venues.exchange]\ndriver = "unreachable"\n')
    files.portfolio({"one": 0.5, "two": 0.5}, exchanges={"two": "exchange"})
    files.state("one", 1.0)
    files.state("two", 1.0)
    with Daemon(files.root, "--once", environment=installed) as daemon:
        assert daemon.wait() == 75
    until_positions(files.root, BTC="0.100")


@pytest.mark.slow
def test_the_position_mode_of_a_venue_is_its_own(files: Files) -> None:
    """A venue that was never reached has none."""
    files.settings(QUICK + flat_market(files))
    with Daemon(files.root) as daemon:
        daemon.wait_for("venue.connected")
        until(lambda: daemon.status()["venues"]["paper"]["position_mode"] == "one_way")
