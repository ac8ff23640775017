"""kill -9 while states flip: whatever line it hits, nothing is sent twice, nothing is lost, nothing is open."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import pytest

from tests.harness.daemon import Daemon
from tests.harness.workspace import Files
from tests.tasks.evidence import BTC, ETH, QUICK, flat_market, journal, positions, query, until, until_positions

pytestmark = pytest.mark.slow


def assert_everything_is_explained(root: Path) -> None:
    """The journal and the paper account tell the same story."""
    ours = journal(root, "SELECT trade_id, client_id, symbol, side, quantity, price FROM fills")
    theirs = query(
        root / "var/paper-paper.db", "SELECT CAST(id AS TEXT), client_id, symbol, side, quantity, price FROM trades"
    )
    assert sorted(ours) == sorted(theirs)
    sent = journal(root, "SELECT client_id FROM intents WHERE status = 'done'")
    assert sorted(sent) == sorted(query(root / "var/paper-paper.db", "SELECT client_id FROM orders"))
    assert journal(root, "SELECT * FROM intents WHERE status IN ('intended', 'unknown', 'working')") == []
    assert journal(root, "SELECT * FROM locks") == []
    expected = {symbol: Decimal(text) for symbol, text in journal(root, "SELECT symbol, expected FROM books")}
    assert {symbol: quantity for symbol, quantity in expected.items() if quantity} == positions(root)


@pytest.mark.parametrize("seed", range(2))
def test_eight_random_kills_while_states_flip(files: Files, seed: int) -> None:
    chance = random.Random(seed)
    files.settings(QUICK + flat_market(files, others="balance = 1000000"))
    files.portfolio({"one": 0.5, "two": 0.5})
    size, sign = 0, 1
    for _ in range(8):
        with Daemon(files.root) as daemon:
            daemon.wait_for("venue.connected")
            for _ in range(chance.randrange(1, 4)):
                since = daemon.mark()
                size, sign = size + 1, -sign
                files.state("one", sign * size / 10)
                files.state("two", -sign * size / 5, symbol="ETHUSDT")
                event = chance.choice(["target.decided", "order.intended", "order.sent", "order.filled"])
                daemon.wait_for(event, since=since)
            daemon.kill()
    files.state("one", 0.5)
    files.state("two", -0.5, symbol="ETHUSDT")
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.050", ETH="-1")
        until(lambda: {row["status"] for row in daemon.status()["markets"]} == {"in_step"})
        assert daemon.terminate() == 0
    assert_everything_is_explained(files.root)
    assert positions(files.root).keys() == {BTC, ETH}


def test_a_kill_in_the_middle_of_a_split_order_sends_the_rest_and_no_more(files: Files) -> None:
    files.settings(QUICK + "[risk]\nmax_order_notional = 100\nmax_orders_per_minute = 0\n" + flat_market(files))
    files.portfolio({"one": 1.0})
    files.state("one", 1.0)
    for sent in (3, 9, 20):
        with Daemon(files.root) as daemon:
            until(lambda: len(journal(files.root, "SELECT 1 FROM intents")), sent.__le__)
            daemon.kill()
    files.state("one", 0.5)
    with Daemon(files.root) as daemon:
        until(lambda: {row["status"] for row in daemon.status()["markets"]} == {"in_step"})
        daemon.terminate()
    assert Decimal("0.095") <= positions(files.root)[BTC] <= Decimal("0.105"), "within the no-trade band"
    assert_everything_is_explained(files.root)
