"""A workspace that was on paper goes live: its paper money sizes nothing, and every command says the same."""

from __future__ import annotations

import json
import os
from decimal import Decimal

import pytest

from tests.cli.inspected_venues import install
from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files
from tests.tasks.evidence import QUICK, flat_market, journal, until, until_positions

pytestmark = pytest.mark.slow


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the drivers of another package are found."""
    return {**os.environ, "PYTHONPATH": install(tmp_path_factory.mktemp("site"))}


@pytest.mark.parametrize("routed_by", ["default_venue", "exchanges"])
def test_a_thousand_trade_a_thousand_whatever_the_paper_account_holds(
    files: Files, installed: dict[str, str], routed_by: str
) -> None:
    on_paper = QUICK + flat_market(files)
    files.settings('capital = "equity"\n' + on_paper)
    files.portfolio({"trend": 1.0})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.200")
        assert daemon.terminate() == 0
    main = '[venues.main]\ndriver = "quiet"\nprices = "candles:recorded"\nbalance = 1000\n'
    default = 'default_venue = "main"\n' if routed_by == "default_venue" else ""
    files.settings(f'mode = "live"\ncapital = "equity"\n{default}{on_paper}{main}')
    files.portfolio({"trend": 1.0}, exchanges={} if default else {"trend": "main"})
    planned = json.loads(run_command(files.root, "plan", "--json", environment=installed).stdout)
    assert [order["notional"] for order in planned["orders"] if order["venue"] == "main"] == ["1000.00"]
    with Daemon(files.root, "--live", environment=installed) as daemon:
        until_positions(files.root, "main", BTC="0.020")
        until_positions(files.root)
        until(lambda: daemon.status()["account_value"], lambda value: value is not None and 990 < value <= 1000)
        assert daemon.terminate() == 0
    (sized,) = journal(files.root, "SELECT account_value FROM decisions WHERE venue = 'main'")
    assert Decimal(sized[0]) == 1000
    checked = json.loads(run_command(files.root, "check", "--online", "--json", environment=installed).stdout)
    assert any(line.startswith("capital: the equity of main, 999.") for line in checked["fine"]), checked
    assert "venue paper: not opened, nobody is routed to it" in checked["fine"]
    with Daemon(files.root, "--live", environment=installed) as daemon:
        daemon.wait_for("daemon.ready")
        assert daemon.status()["venues"].keys() == {"main"}
        assert not daemon.named("venue.connected", venue="paper")
