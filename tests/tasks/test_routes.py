"""Strategies on several venues, and those whose venue or market does not exist."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.harness.daemon import Daemon
from tests.harness.workspace import Files
from tests.tasks.evidence import (
    BTC,
    QUICK,
    flat_market,
    journal,
    let_resync,
    market,
    positions,
    until,
    until_positions,
)

pytestmark = pytest.mark.slow


def test_strategies_go_to_their_venues_and_a_new_route_closes_here_and_opens_there(files: Files) -> None:
    files.settings(QUICK + flat_market(files) + flat_market(files, "second"))
    files.portfolio({"one": 0.5, "two": 0.5}, exchanges={"two": "second"})
    files.state("one", 1.0)
    files.state("two", -1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.100")
        until_positions(files.root, "second", BTC="-0.100")
        files.portfolio({"one": 0.5, "two": 0.5}, exchanges={"two": "second", "one": "second"})
        until_positions(files.root)
        until_positions(files.root, "second")
        files.portfolio({"one": 0.5, "two": 0.5}, exchanges={"one": "second"})
        until_positions(files.root, BTC="-0.100")
        until_positions(files.root, "second", BTC="0.100")
        until(lambda: [venue["connected"] for venue in daemon.status()["venues"].values()] == [True, True])


def test_an_unknown_venue_refuses_its_strategy_alone_and_keeps_what_it_held(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    files.portfolio({"one": 0.5, "two": 0.5})
    files.state("one", 0.5)
    files.state("two", 0.5, symbol="ETHUSDT")
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.050", ETH="1")
        files.portfolio({"one": 0.5, "two": 0.5}, exchanges={"one": "papre"})
        refused = daemon.wait_for("target.refused", strategy="one")
        assert refused["found"] == "papre"
        files.state("two", 1.0, symbol="ETHUSDT")
        until_positions(files.root, BTC="0.050", ETH="2")
        problems = until(lambda: [row for row in daemon.status()["problems"] if row["where"]])
        assert any("papre" in row["found"] and row["mend"] for row in problems)
        assert until(lambda: daemon.status()["strategies"]["one"]["problem"])
        files.portfolio({"one": 0.5, "two": 0.5}, exchanges={"one": "paper"})
        files.state("one", 1.0)
        until_positions(files.root, BTC="0.100", ETH="2")
        until(lambda: daemon.status()["problems"] == [])
        assert len(daemon.named("target.refused")) == 1


def test_an_unknown_symbol_refuses_its_strategy_alone(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    files.portfolio({"one": 0.5, "two": 0.5})
    files.state("one", 1.0, symbol="BTCUSTD")
    files.state("two", 1.0, symbol="ETHUSDT")
    with Daemon(files.root) as daemon:
        refused = daemon.wait_for("target.refused", strategy="one")
        assert "BTCUSTD" in refused["found"]
        assert BTC in refused["found"], "the nearest market is named"
        until_positions(files.root, ETH="2")
        files.state("one", 1.0)
        until_positions(files.root, BTC="0.100", ETH="2")


def test_a_market_that_the_venue_no_longer_lists_stops_that_market_alone(files: Files) -> None:
    """The journal still has a target there; the daemon says so and trades the others."""
    files.settings(QUICK + flat_market(files))
    files.portfolio({"one": 0.5, "two": 0.5})
    files.state("one", 0.5)
    files.state("two", 0.5, symbol="ETHUSDT")
    with Daemon(files.root):
        until_positions(files.root, BTC="0.050", ETH="1")
        until(lambda: len(journal(files.root, "SELECT 1 FROM intents WHERE status = 'done'")) == 2)
    (files.root / "recorded/BTCUSDT-1h.csv").unlink()
    with Daemon(files.root) as daemon:
        daemon.wait_for("venue.connected")
        files.state("two", 1.0, symbol="ETHUSDT")
        until_positions(files.root, BTC="0.050", ETH="2")
        assert daemon.terminate() == 0


def test_a_venue_that_was_removed_from_the_settings_leaves_the_others_trading(files: Files) -> None:
    files.settings(QUICK + flat_market(files) + flat_market(files, "second"))
    files.portfolio({"one": 0.5, "two": 0.5}, exchanges={"two": "second"})
    files.state("one", 0.5)
    files.state("two", 0.5)
    with Daemon(files.root):
        until_positions(files.root, BTC="0.050")
        until_positions(files.root, "second", BTC="0.050")
    files.settings(QUICK + flat_market(files))
    with Daemon(files.root) as daemon:
        daemon.wait_for("target.refused", strategy="two")
        files.state("one", 1.0)
        until_positions(files.root, BTC="0.100")
        let_resync(files.root)
        assert positions(files.root, "second") == {BTC: Decimal("0.05")}
        until(lambda: market(files.root, BTC)["status"] == "in_step")
